"""What people decided, from the log into the table `verdicts`, and back into a log that was lost.

The log is the only copy of human work until it is published. A publish that is killed and run again gives each
row once: what the table has already is left out by its id, whatever the log believes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.publish.standing import open_standing
from moderation.review.log import VerdictLog
from moderation.review.verdict import ERASED, Verdict
from moderation.schema import physical_schema
from moderation.settings import Settings
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.published import scan
from moderation.tables.standing import VERDICTS

_AT_ONCE = 50_000
"""Rows of one commit: some 50 MB in memory."""

_ALSO_ERASED = ("load_id", "manifest_id", "line_number", "item_id")
"""Besides what the log forgets: through these the image could be found in the table images."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PublishedVerdicts:
    """What a publish brought.

    :param rows: verdicts that readers did not have before.
    :param first, last: when the first and the last of them were decided, ISO; None without any.
    """

    rows: int
    first: str | None = None
    last: str | None = None


def publish_verdicts(settings: Settings, log: VerdictLog) -> PublishedVerdicts:
    """Show readers every verdict of the log that they do not have yet; may be repeated, also after a kill.

    :raises StandingError: the table's own list is damaged, or a file is gone.
    :raises StandingBusyError, lease.LeaseBusy: another publish is under way.
    :raises TablesError: catalog or files cannot be read.
    """
    waiting = log.unpublished(_AT_ONCE)
    if not waiting:
        return PublishedVerdicts(rows=0)
    rows = 0
    times = []
    with open_standing(settings, VERDICTS) as table:
        while waiting:
            rows += table.append(as_table(waiting), key="verdict_id")
            times += [waiting_one.decided_at for waiting_one in waiting]
            log.mark_published([waiting_one.verdict_id for waiting_one in waiting])
            waiting = log.unpublished(_AT_ONCE)
    _log.info("%d verdicts published", rows)
    return PublishedVerdicts(rows=rows, first=min(times).isoformat(), last=max(times).isoformat())


def published_verdicts(settings: Settings) -> Iterator[list[Verdict]]:
    """All verdicts that readers have, in parts."""
    with open_catalog(settings) as catalog:
        for batch in scan(load_table(catalog, VERDICTS), VERDICTS, VERDICTS.schema.names):
            yield [Verdict.from_row(row) for row in batch.to_pylist()]


def restore(settings: Settings, log: VerdictLog) -> tuple[int, int]:
    """Bring what readers have into the log, which may have lost some of it; returns new and known ones."""
    new = known = 0
    with open_standing(settings, VERDICTS):
        pass  # a catalog that was lost has the table again
    for verdicts in published_verdicts(settings):
        done = log.append(verdicts)
        log.mark_published([verdict.verdict_id for verdict in verdicts])
        new, known = new + done.new, known + done.known
    return new, known


def as_table(verdicts: Iterable[Verdict]) -> pa.Table:
    """The table's columns, in the order of time: equal verdicts give equal files."""
    rows = [row_of(verdict) for verdict in verdicts]
    rows.sort(key=lambda row: (row["decided_at"], row["verdict_id"]))
    return pa.Table.from_pylist(rows, physical_schema(VERDICTS))


def row_of(verdict: Verdict) -> dict[str, Any]:
    """The verdict's row; of an erased one nothing is left that leads to the image."""
    row = verdict.as_row()
    return row | dict.fromkeys(_ALSO_ERASED) if verdict.erased else row


def without(contents: Sequence[str], source_refs: Sequence[str], rows: pa.Table) -> pa.Table | None:
    """The rows with what tells these images taken away; None when no row is about them.

    :param source_refs: keys; with one of them every verdict on its content is meant.
    """
    concerned = pc.or_(
        _among(rows.column("content"), contents), _among(rows.column("source_ref"), source_refs)
    )
    if not pc.any(concerned).as_py():
        return None
    for name in (*ERASED, *_ALSO_ERASED):
        place = rows.schema.get_field_index(name)
        kept = pc.if_else(concerned, pa.scalar(None, rows.schema.field(name).type), rows.column(name))
        rows = rows.set_column(place, rows.schema.field(name), kept)
    place = rows.schema.get_field_index("erased")
    return rows.set_column(place, rows.schema.field("erased"), pc.or_(rows.column("erased"), concerned))


def _among(column: pa.ChunkedArray, values: Sequence[str]) -> pa.ChunkedArray:
    return pc.fill_null(pc.is_in(column, value_set=pa.array(sorted(values), pa.string())), False)


def contents_of(settings: Settings, source_refs: Sequence[str]) -> set[str]:
    """The contents that published verdicts name beside these keys."""
    wanted = set(source_refs)
    with open_catalog(settings) as catalog:
        batches = scan(load_table(catalog, VERDICTS), VERDICTS, ["content", "source_ref"])
        return {
            row["content"]
            for batch in batches
            for row in batch.to_pylist()
            if row["source_ref"] in wanted and row["content"]
        }
