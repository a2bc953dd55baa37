"""Which images are gone at their source, into the table `gone`.

Marked when a source was listed, apart from any load: it is true of the source whether the run that lists it
has anything to publish or not. What a run fails to mark, the next whole listing marks.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from moderation.errors import ModerationError
from moderation.publish.standing import StandingTable, open_standing
from moderation.schema import physical_schema
from moderation.settings import Settings
from moderation.sources.gone import Looked
from moderation.storage import tombstones
from moderation.tables.catalog import load_table
from moderation.tables.faults import TablesDamagedError, is_forbidden
from moderation.tables.published import scan
from moderation.tables.source_ref_ranges import NAME, range_of
from moderation.tables.standing import GONE

_AT_ONCE = 500_000
"""Rows of one commit: some 50 MB in memory."""

_log = logging.getLogger(__name__)


def mark(settings: Settings, looked: Looked) -> None:
    """Mark the images that are gone, and no longer those that came back; may be repeated, also after a kill.

    A table that cannot be written is told in the log and stops no run.
    """
    if not (len(looked.missing) or len(looked.back) or looked.is_damaged):
        return
    try:
        with open_standing(settings, GONE) as table:
            marked = _add(table, looked)
            freed = _remove(table, looked.back)
    except (ModerationError, OSError, pa.ArrowException) as error:
        _log.warning("what is gone at %s is not marked, its next listing does it: %s", looked.source, error)
        return
    _log.info(
        "%s: %d images are gone, %d came back, %d were gone before",
        looked.source,
        marked,
        freed,
        looked.still,
    )


def forget_gone(settings: Settings, source_refs: Collection[str]) -> int:
    """Take images out of the table, all out of one that is damaged; may be repeated.

    Older snapshots still have them.

    :returns: how many rows.
    :raises StandingError: the table's own list is damaged, or a file is gone.
    :raises StandingBusyError, lease.LeaseBusy: a run marks images now.
    """
    with open_standing(settings, GONE) as table:
        try:
            return _remove(table, pa.array(sorted(source_refs), pa.string()))
        except TablesDamagedError as error:
            _begin_anew(table, physical_schema(GONE).empty_table(), error)
            return 0


def _add(table: StandingTable, looked: Looked) -> int:
    """Add those that another run has not marked meanwhile, and that were not erased; returns how many.

    A table that is damaged is begun anew: each listing says the same again.
    """
    rows = _rows(looked)
    if erased := tombstones.load(table.storage.s3_client, table.settings):
        rows = rows.filter(pc.invert(erased.mask(rows)))
    try:
        opened = load_table(table.catalog, GONE)
        between = None if looked.is_damaged else range_of(looked.missing)
        for batch in scan(opened, GONE, GONE.schema.names, between=between):
            there = batch.column(NAME).cast(pa.string())
            rows = rows.filter(pc.invert(pc.is_in(rows.column(NAME), value_set=there)))
    except TablesDamagedError as error:
        _begin_anew(table, rows, error)
        return rows.num_rows
    for start in range(0, rows.num_rows, _AT_ONCE):
        table.append(rows.slice(start, _AT_ONCE), key=NAME)
    return rows.num_rows


def _begin_anew(table: StandingTable, rows: pa.Table, error: TablesDamagedError) -> None:
    if is_forbidden(error.__cause__):
        raise error
    _log.warning("the table %s is begun anew: %s", GONE.name, error)
    table.replace_all(rows)


def _rows(looked: Looked) -> pa.Table:
    count = len(looked.missing)
    columns = {
        "dt": pa.repeat(pa.scalar(looked.at.date(), pa.date32()), count),
        NAME: looked.missing,
        "gone_at": pa.repeat(pa.scalar(looked.at, GONE.schema.field("gone_at").type), count),
        "source": pa.repeat(looked.source, count),
    }
    return pa.table(columns).cast(physical_schema(GONE))


def _remove(table: StandingTable, names: pa.Array) -> int:
    """Take rows out; returns how many."""
    removed = 0

    def without(rows: pa.Table) -> pa.Table | None:
        nonlocal removed
        named = pc.is_in(rows.column(NAME), value_set=names)
        count = pc.sum(named, min_count=0).as_py()
        removed += count
        return rows.filter(pc.invert(named)) if count else None

    if len(names):
        table.rewrite(without)
    return removed
