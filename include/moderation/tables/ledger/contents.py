"""Published answers by content, without reading the history: first bits, then whole rows of what fits."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog

from moderation.schema import IMAGES
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.catalog import load_table
from moderation.tables.ledger.known import current
from moderation.tables.ledger.layout import CONTENT_COLUMNS, LedgerDamagedError, Part, discard, read_index
from moderation.tables.ledger.orders import BITS, BY_CONTENT
from moderation.tables.ledger.runs import Files
from moderation.tables.ledger.upkeep import within
from moderation.tables.published import scan

_AT_ONCE = 6
"""Threads: most of the time they wait for S3."""

_GROUPS_A_TASK = 16
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")
_log = logging.getLogger(__name__)


def stream_answers(settings: Settings, catalog: Catalog, bits: np.ndarray) -> Iterator[pa.RecordBatch]:
    """The published rows of contents that begin with these bits, of the loads that are published now.

    Some rows twice, others besides.

    :param catalog: an open one.
    :param bits: `orders.bits_of` the contents, each once, in rising order.
    :returns: `layout.CONTENT_COLUMNS`.
    :raises TablesError: the tables, of which loads are read that the ledger lacks, cannot be read.
    """
    with s3_objects.open_client(settings) as s3:
        while True:
            index, loads = current(s3, settings, catalog)
            parts = [part for run in index.contents for part in run]
            try:
                yield from found_in(Files(settings, catalog.properties), parts, bits)
                break
            except LedgerDamagedError as error:
                if read_index(s3, settings).etag == index.etag:
                    _log.warning("%s", error)
                    discard(s3, settings)
                # Otherwise its runs were merged meanwhile and the old ones deleted.
    if lacking := sorted(loads - index.loads):
        where = within(lacking)
        yield from scan(load_table(catalog, IMAGES), IMAGES, CONTENT_COLUMNS, load_ids=lacking, where=where)


def found_in(files: Files, parts: Iterable[Part], bits: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Their rows of contents that begin with these bits; see `stream_answers`.

    :raises LedgerDamagedError: a part is missing or not what was written.
    """
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="contents") as pool:
        placed = _ahead(pool, lambda part: (part, _places(files, part, bits)), parts)
        tasks = (
            (part, some)
            for part, places in placed
            for some in np.split(places, np.flatnonzero(np.diff(places // _rows_a_task())) + 1)
            if len(some)
        )
        for batches in _ahead(pool, lambda task: _rows(files, *task), tasks):
            yield from batches


def _rows_a_task() -> int:
    return BY_CONTENT.group_rows * _GROUPS_A_TASK


def _places(files: Files, part: Part, bits: np.ndarray) -> np.ndarray:
    """Which rows of the part begin with such bits."""
    told = part.bits
    if told is None or told.rows != part.rows:
        raise LedgerDamagedError(f"{part.name} has no first bits; the ledger is made anew from the tables")
    if not len(bits):
        return np.zeros(0, dtype=np.int64)
    found, start = [], 0
    with files.open(told) as file:
        for number in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(number)
            if _may_hold(group, bits):
                has = file.read_row_group(number, use_threads=False)[BITS.names[0]].to_numpy()
                at = np.minimum(np.searchsorted(bits, has), len(bits) - 1)
                found.append(start + np.flatnonzero(bits[at] == has))
            start += group.num_rows
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _may_hold(group: pq.RowGroupMetaData, bits: np.ndarray) -> bool:
    told = group.column(0).statistics
    if told is None or not told.has_min_max:
        return True
    return bool(np.searchsorted(bits, told.min, "left") < np.searchsorted(bits, told.max, "right"))


def _rows(files: Files, part: Part, places: np.ndarray) -> list[pa.RecordBatch]:
    """These rows of the part, whole."""
    found: list[pa.RecordBatch] = []
    with files.open(part, BY_CONTENT) as file:
        groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
        ends = np.cumsum([group.num_rows for group in groups])
        number_of = np.searchsorted(ends, places, side="right")
        for number in np.unique(number_of).tolist():
            table = file.read_row_group(number, use_threads=False)
            begin = int(ends[number]) - len(table)
            some = table.take(pa.array(places[number_of == number] - begin))
            found += some.cast(BY_CONTENT.schema).to_batches()
    return found


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[_Given], _Made], items: Iterable[_Given]
) -> Iterator[_Made]:
    """What the pool makes of the items, in their order, a few of them ahead of who takes it."""
    waiting: deque[Future[Any]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > 2 * _AT_ONCE:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
