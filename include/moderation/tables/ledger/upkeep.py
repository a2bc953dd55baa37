"""Brings the ledger up to the published loads, and makes it anew.

New entries become a run of their own; runs of about one size are merged, sixteen at a time, so that an entry
is written once and again with each sixteenfold growth. Two at once never corrupt it: files are written under
new names first, and the index is replaced only if it still is the one that was read.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from moderation.errors import ModerationError
from moderation.schema import IMAGES
from moderation.settings import Settings
from moderation.storage import s3_objects, scratch
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.faults import TablesDamagedError
from moderation.tables.ledger.layout import (
    COLUMNS,
    CONTENT_COLUMNS,
    Index,
    LedgerDamagedError,
    Run,
    discard,
    part_uri,
    read_index,
    rows_in,
    write_index,
)
from moderation.tables.ledger.orders import BY_CONTENT, BY_NAME, Order
from moderation.tables.ledger.runs import Chunks, Files, merged, write_run
from moderation.tables.outcomes import rows_of
from moderation.tables.published import known_load_ids, loads_in, scan

_log = logging.getLogger(__name__)

FAN_IN = 16
"""How many runs of about one size become one."""

_SMALLEST_TIER = 1_000
_COLUMNS = tuple(dict.fromkeys([*COLUMNS, *CONTENT_COLUMNS]))
ROWS_BESIDE_A_RUN = 2_000_000
"""How many rows a run merges at the most, of those that a run has no time for; `compact` merges all."""

_ATTEMPTS = 5
UNNAMED_AGE = timedelta(days=1)
"""How long a part that the index does not name is left alone: a reader may hold an older index, and an update
writes parts before it names them."""


@dataclass(frozen=True)
class Updated:
    """The ledger after an update.

    :param added: entries of loads that it lacked.
    :param written: rows written for that, merges included.
    :param damage: what was found damaged, for which all of it was made anew; "" for nothing.
    """

    index: Index
    added: int
    written: int
    damage: str = ""


def reached(step: str) -> None:
    """Called at the end of each step; the place where tests let an update die."""
    _log.debug("ledger: %s", step)


def bring_up(
    settings: Settings,
    *,
    anew: bool = False,
    most_rows: int | None = ROWS_BESIDE_A_RUN,
    prove: bool = False,
) -> Updated:
    """Add what the published loads have that the ledger lacks; repeated, it finds nothing to do.

    :param anew: make all of it from the tables.
    :param most_rows: merges of more rows are left to `compact`; None for all.
    :param prove: read every file first, and make all anew when one is damaged.
    :raises TablesError: the tables cannot be read, or have fewer rows than `loads` tells.
    :raises S3Error: S3 refuses.
    """
    damage = ""
    with s3_objects.open_client(settings) as s3:
        for _ in range(_ATTEMPTS):
            before = read_index(s3, settings)
            try:
                if prove and not anew:
                    _prove(s3, settings, before)
                updated = _updated(s3, settings, before, anew=anew, most_rows=most_rows)
            except LedgerDamagedError as error:
                _log.warning("%s", error)
                if read_index(s3, settings).etag == before.etag:  # else its files were merged meanwhile
                    anew, damage = True, str(error)
                continue
            if updated.index == before or write_index(s3, settings, updated.index):
                reached("named")
                return replace(updated, index=read_index(s3, settings), damage=damage)
            _log.info("the ledger was changed by another meanwhile; looking again")
        return Updated(read_index(s3, settings), 0, 0)


def try_bring_up(settings: Settings) -> None:
    """`bring_up` on the way of a run, which goes on without: readers take what is lacking from the tables."""
    try:
        done = bring_up(settings)
    except (ModerationError, OSError, pa.ArrowException) as error:
        _log.warning("the ledger lacks loads, planning reads these from the tables: %s", error)
        return
    if done.added:
        _log.info(
            "ledger: %d entries added, %d rows written, %d in all",
            done.added,
            done.written,
            done.index.entries,
        )


def tidy(settings: Settings, *, age: timedelta = UNNAMED_AGE) -> int:
    """Delete parts that nothing names, and return how many.

    :param age: how old they are at least.
    :raises S3Error: S3 refuses.
    """
    with s3_objects.open_client(settings) as s3:
        folder = part_uri(settings, "")
        # Listed first: what is named afterwards is found named.
        entries = [
            entry for entry in s3_objects.list_objects(s3, folder) if entry["Key"].endswith(".parquet")
        ]
        named = {file.name for file in read_index(s3, settings).files}
        limit = datetime.now(UTC) - age
        old = [
            name
            for entry in entries
            if (name := entry["Key"].rpartition("/")[2]) not in named and entry["LastModified"] <= limit
        ]
        for name in old:
            s3_objects.delete(s3, part_uri(settings, name))
        return len(old)


def forget(settings: Settings) -> None:
    """Forget the ledger after published rows were changed; the next run makes it anew.

    :raises S3Error: S3 refuses.
    """
    with s3_objects.open_client(settings) as s3:
        discard(s3, settings)


def _prove(s3: Any, settings: Settings, index: Index) -> None:
    with open_catalog(settings) as catalog, scratch.folder(None, "ledger") as folder:
        files = Files(settings, catalog.properties)
        for file in index.files:
            files.prove(s3, file, folder)


def _updated(s3: Any, settings: Settings, before: Index, *, anew: bool, most_rows: int | None) -> Updated:
    with open_catalog(settings) as catalog, scratch.folder(None, "ledger") as folder:
        known = known_load_ids(catalog)
        # What is not published any more must not count: loads cannot be told apart in a run.
        begun = Index(etag=before.etag) if anew or not before.loads <= known else before
        lacking = sorted(known - begun.loads)
        index = replace(begun, loads=frozenset(known))
        added = 0
        if lacking:
            loads = {load["load_id"]: load for load in loads_in(catalog).to_pylist()}
            wanted = sum(rows_of(loads[load_id], IMAGES) for load_id in lacking)
            table = load_table(catalog, IMAGES)
            rows = scan(table, IMAGES, _COLUMNS, load_ids=lacking, where=within(lacking))
            chunks = [Chunks(BY_NAME, folder), Chunks(BY_CONTENT, folder)]
            _take(rows, wanted, chunks)
            run, contents = (
                write_run(s3, settings, order, some.sorted(), folder)
                for order, some in zip((BY_NAME, BY_CONTENT), chunks, strict=True)
            )
            reached("written")
            added = rows_in(run)
            index = replace(
                index,
                runs=(*index.runs, *([run] if run else [])),
                contents=(*index.contents, *([contents] if contents else [])),
                written=index.written + added,
            )
        files = Files(settings, catalog.properties)
        runs, written = _merge(s3, files, BY_NAME, index.runs, folder=folder, most_rows=most_rows)
        contents_runs, _ = _merge(s3, files, BY_CONTENT, index.contents, folder=folder, most_rows=most_rows)
        index = replace(index, runs=runs, contents=contents_runs, written=index.written + written)
        return Updated(index, added, index.written - begun.written)


def within(load_ids: list[str]) -> str:
    """An Iceberg filter that leaves out files of none of these loads.

    :param load_ids: in order; at least one.
    """
    return f"load_id >= '{load_ids[0]}' and load_id <= '{load_ids[-1]}'"


def _take(rows: Iterator[pa.RecordBatch], wanted: int, chunks: Sequence[Chunks]) -> None:
    """Give the rows to each of these.

    :raises TablesDamagedError: there are fewer rows than published: they would be lacking for good.
    """
    seen = 0
    for batch in rows:
        seen += batch.num_rows
        for some in chunks:
            some.add(pa.Table.from_batches([batch]))
    if seen < wanted:
        raise TablesDamagedError(
            f"the table {IMAGES.name} has {seen:,} of {wanted:,} rows of the loads that the ledger lacks; "
            f"`{Settings.from_env().command} rebuild` makes the tables anew from the kept answers, "
            "without paying"
        )


def _merge(
    s3: Any, files: Files, order: Order, runs: tuple[Run, ...], *, folder: Path, most_rows: int | None
) -> tuple[tuple[Run, ...], int]:
    """The runs, those of about one size merged, and how many rows were written for that."""
    written = 0
    while True:
        tiers: dict[int, list[Run]] = defaultdict(list)
        for run in runs:
            tiers[_tier(rows_in(run))].append(run)
        due = [same for _, same in sorted(tiers.items()) if len(same) >= FAN_IN]
        due = [same for same in due if most_rows is None or sum(map(rows_in, same)) <= most_rows]
        if not due:
            return runs, written
        rows = sum(map(rows_in, due[0]))
        streams = [files.stream(run, order) for run in due[0]]
        run = write_run(s3, files.settings, order, merged(streams, order.key), folder)
        if rows_in(run) != rows:
            raise LedgerDamagedError(f"{rows:,} entries were merged into {rows_in(run):,}")
        runs = (*(other for other in runs if other not in due[0]), run)
        written += rows
        reached("merged")


def _tier(rows: int) -> int:
    """Runs of one tier differ in size by less than the fan-in."""
    tier = 0
    while rows >= _SMALLEST_TIER * FAN_IN**tier:
        tier += 1
    return tier
