"""What people decided, from the log into the table `verdicts`, and back into a log that was lost.

The log is the only copy of human work until it is published. A publish that is killed and run again gives
each row once: what the table has already is left out by its id, whatever the log believes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from moderation.publish.standing import open_standing
from moderation.review.log import VerdictLog
from moderation.review.rows import VERDICTS as VERDICT_ROWS
from moderation.review.rows import Damaged
from moderation.review.verdict import ERASED, Verdict
from moderation.schema import physical_schema
from moderation.settings import Settings
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.published import scan
from moderation.tables.standing import VERDICTS
from moderation.tables.swap import data_files

_AT_ONCE = 50_000
"""Rows of one commit: some 50 MB in memory."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PublishedVerdicts:
    """What a publish brought.

    :param rows: verdicts that readers did not have before.
    :param first, last: when the first and the last of them were decided, ISO; None without any.
    :param rewritten: files that held rows which were erased since; older snapshots still name them.
    """

    rows: int
    rewritten: int = 0
    first: str | None = None
    last: str | None = None


def publish_verdicts(settings: Settings, log: VerdictLog) -> PublishedVerdicts:
    """Show readers every verdict of the log that they do not have yet; may be repeated, also after a kill.

    :raises StandingError: the table's own list is damaged, or a file is gone.
    :raises StandingBusyError, lease.LeaseBusy: another publish is under way.
    :raises TablesError: catalog or files cannot be read.
    """
    if _lacks_published(settings, log):
        log.mark_unpublished()
    if not log.waiting()[0]:
        return PublishedVerdicts(rows=0)
    rows, erased, times = 0, 0, []
    with open_standing(settings, VERDICTS) as table:
        while waiting := log.unpublished(_AT_ONCE):
            forgotten = [said.verdict_id for said in waiting if said.erased]
            if forgotten:
                erased += table.rewrite(partial(_forgetting, forgotten))
            rows += table.append(as_table(waiting), key="verdict_id")
            times += [said.decided_at for said in waiting]
            log.mark_published(waiting)
    _log.info("%d verdicts published, %d files with erased ones written anew", rows, erased)
    first, last = min(times).isoformat(), max(times).isoformat()
    return PublishedVerdicts(rows=rows, first=first, last=last, rewritten=erased)


def publish_anew(settings: Settings, log: VerdictLog) -> PublishedVerdicts:
    """Make the table from the log alone, whatever has become of its files; may be repeated, also when killed.

    :raises StandingError: the table's own list is damaged.
    :raises StandingBusyError, lease.LeaseBusy: another publish is under way.
    """
    log.mark_unpublished()
    with open_standing(settings, VERDICTS) as table:
        table.replace_all(physical_schema(VERDICTS).empty_table())
    return publish_verdicts(settings, log)


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
        done = log.restore(verdicts)
        new, known = new + done.new, known + done.known
    return new, known


def mend(settings: Settings, log: VerdictLog) -> tuple[int, list[Damaged]]:
    """Make what is damaged in the state say again what readers have, or else what its checksum tells.

    :returns: how many rows do, and the others: nobody knows what they said.
    """
    found = log.damaged()
    left = found
    for verdicts in published_verdicts(settings) if any(row.kind is VERDICT_ROWS for row in found) else ():
        left = log.mend(left, verdicts)
    left = log.put_right(left) if left else left
    return len(found) - len(left), left


def as_table(verdicts: Iterable[Verdict]) -> pa.Table:
    """The table's columns, in the order of time: equal verdicts give equal files."""
    rows = [verdict.as_row() for verdict in verdicts]
    rows.sort(key=lambda row: (row["decided_at"], row["verdict_id"]))
    return pa.Table.from_pylist(rows, physical_schema(VERDICTS))


def _lacks_published(settings: Settings, log: VerdictLog) -> bool:
    """Whether readers lack rows that the log takes for published: a damaged mark would hide them for good."""
    marked = log.count() - log.waiting()[0]
    if not marked:
        return False
    with open_catalog(settings) as catalog:
        table = load_table(catalog, VERDICTS)
        shown = sum(file.record_count for file in data_files(table)) if table is not None else 0
    if shown < marked:
        _log.warning("%d verdicts count as published, readers have %d: all are held against", marked, shown)
    return shown < marked


def _forgetting(verdict_ids: Sequence[str], rows: pa.Table) -> pa.Table | None:
    """The rows with what tells the image taken away from these verdicts; None when none is left to change."""
    named = pc.is_in(rows.column("verdict_id"), value_set=pa.array(sorted(verdict_ids), pa.string()))
    concerned = pc.and_(named, pc.invert(rows.column("erased")))
    if not pc.any(concerned).as_py():
        return None
    for name in ERASED:
        kept = pc.if_else(concerned, pa.scalar(None, rows.schema.field(name).type), rows.column(name))
        rows = _with_column(rows, name, kept)
    return _with_column(rows, "erased", pc.or_(rows.column("erased"), concerned))


def _with_column(rows: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values)
