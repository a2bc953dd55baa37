"""What shadows answered, into the table ``shadow_answers``; never into ``images`` or the ledger."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from moderation.adapters.shadow import answers
from moderation.adapters.shadow.sample import load
from moderation.analyse.detect.request import DetectOptions
from moderation.publish.standing import open_standing
from moderation.schema import physical_schema
from moderation.settings import Settings
from moderation.tables.standing import SHADOW_ANSWERS


def forget_shadow_answers(settings: Settings, contents: Collection[str]) -> int:
    """Take the rows of contents out of the table; may be repeated. Older snapshots still have them.

    :returns: how many rows.
    :raises StandingError: the table's own list is damaged, or a file is gone.
    :raises StandingBusyError, lease.LeaseBusy: another publish is under way.
    """
    gone = pa.array(sorted(contents), pa.string())
    with open_standing(settings, SHADOW_ANSWERS) as table:
        rows = pa.Table.from_batches(table.rows(), physical_schema(SHADOW_ANSWERS))
        named = pc.is_in(rows.column("content"), value_set=gone)
        kept = rows.filter(pc.invert(named))
        if kept.num_rows != rows.num_rows:
            table.replace_all(kept)
    return rows.num_rows - kept.num_rows


def publish_shadow(settings: Settings, shadow_id: str, *, options: DetectOptions | None = None) -> int:
    """Show readers what a shadow answered by now; may be repeated, also after a kill.

    :returns: how many rows are there of it.
    :raises ShadowError: there is no such shadow.
    :raises StandingError: the table's own list is damaged, or a file is gone.
    :raises StandingBusyError, lease.LeaseBusy: another publish is under way.
    """
    rows = answers.rows(settings, load(settings, shadow_id), options=options)
    if not rows.num_rows:
        return 0
    with open_standing(settings, SHADOW_ANSWERS) as table:
        table.append(rows, key="answer_id")
    return int(rows.num_rows)
