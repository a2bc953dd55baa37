"""The entries of some names, asked for one part of a listing after another.

Both the listing and the runs are in order of ``source_ref``, so consecutive parts of the listing go through a
run as a merge does: a file stays open until the listing has passed it, and a row group that the next part
needs too is not decoded again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from moderation.tables.ledger.layout import Part, Run
from moderation.tables.ledger.orders import BY_NAME, MD5, with_etags
from moderation.tables.ledger.runs import Files
from moderation.tables.source_ref_ranges import NAME, range_in

_GROUPS_A_TASK = 4
_AT_ONCE = 6
"""Threads: half of the time they wait for S3."""

_HELD_BYTES = 256 << 20
"""What is kept decoded for the next part of the listing."""


@dataclass(frozen=True)
class _Group:
    """A row group of a part, and those of the asked names that it may have.

    :param goes_on: it may also have names beyond the part of the listing.
    """

    part: Part
    number: int
    names: pa.Array
    goes_on: bool

    @property
    def key(self) -> tuple[str, int]:
        return self.part.name, self.number


class Lookup:
    """Reads runs by name; to be closed by leaving its ``with`` block. Not for two threads at once.

    :raises LedgerDamagedError: from :meth:`about`: a part is missing or not what was written.
    """

    def __init__(self, files: Files, runs: Iterable[Run]) -> None:
        self._files = files
        self._parts = [part for run in runs for part in run]
        self._ranges: dict[str, list[tuple[str, str] | None]] = {}
        self._idle: dict[str, list[pq.ParquetFile]] = {}
        self._held: dict[tuple[str, int], pa.Table] = {}
        self._open: dict[str, ExitStack] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ledger")

    def __enter__(self) -> Lookup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)  # first: its threads read the files
        self._close(list(self._open))
        self._held.clear()

    def about(self, columns: Sequence[str], names: pa.Array | pa.ChunkedArray) -> list[pa.RecordBatch]:
        """The entries whose ``source_ref`` is one of the names.

        :param columns: of `layout.COLUMNS`, in the order wanted.
        :param names: in any order, but in that of ``source_ref`` nothing is read twice.
        """
        wanted = _ordered(names)
        if not len(wanted):
            return []
        first, last = wanted[0].as_py(), wanted[-1].as_py()
        # Each reader of a file holds its whole footer: megabytes, times threads, times files.
        self._close(part.name for part in self._parts if part.last < first)
        parts = [part for part in self._parts if part.first <= last and part.last >= first]
        for part in parts:
            self._idle.setdefault(part.name, [])
            self._open.setdefault(part.name, ExitStack())
        chosen = self._pool.map(lambda part: self._groups(part, wanted), parts)
        tasks = [
            groups[at : at + _GROUPS_A_TASK]
            for groups in chosen
            for at in range(0, len(groups), _GROUPS_A_TASK)
        ]
        needed = {group.key for task in tasks for group in task}
        for key in self._held.keys() - needed:
            del self._held[key]
        found = self._pool.map(lambda task: self._read(task, columns), tasks)
        return [batch for batches in found for batch in batches]

    def _groups(self, part: Part, wanted: pa.Array) -> list[_Group]:
        if part.name not in self._ranges:
            with self._opened(part) as file:
                groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
                self._ranges[part.name] = [range_in(group) for group in groups]
        found = []
        last = wanted[-1].as_py()
        for number, between in enumerate(self._ranges[part.name]):
            names = wanted if between is None else _from_to(wanted, between)
            if len(names):
                found.append(_Group(part, number, names, between is None or between[1] > last))
        return found

    def _read(self, groups: Sequence[_Group], columns: Sequence[str]) -> list[pa.RecordBatch]:
        """Names first, for of most row groups nothing else is read when few of the names are known; all at
        once, in one request instead of two, after a group in which some are.
        """
        found: list[pa.RecordBatch] = []
        every, some_known = (
            list(dict.fromkeys([NAME, *columns, *([MD5] if "etag" in columns else [])])),
            False,
        )
        types = pa.schema([BY_NAME.schema.field(name) for name in columns])
        with self._opened(groups[0].part) as file:
            for group in groups:
                needed = every if some_known else [NAME]
                table = _with_columns(self._held.pop(group.key, None), file, group.number, needed)
                wanted = pc.is_in(table[NAME], value_set=group.names)
                some_known = pc.any(wanted).as_py()
                if some_known:
                    table = _with_columns(table, file, group.number, every)
                    known = table.filter(wanted)
                    known = with_etags(known) if MD5 in known.column_names else known
                    found += known.select(list(columns)).cast(types).to_batches()
                if group.goes_on:
                    self._hold(group, table)
        return found

    def _hold(self, group: _Group, table: pa.Table) -> None:
        if sum(held.nbytes for held in list(self._held.values())) + table.nbytes <= _HELD_BYTES:
            self._held[group.key] = table

    def _close(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._open:
                del self._idle[name]
                self._open.pop(name).close()

    @contextmanager
    def _opened(self, part: Part) -> Iterator[pq.ParquetFile]:
        """The part, for one thread at a time; it stays open for the next."""
        idle = self._idle[part.name]
        try:
            file = idle.pop()
        except IndexError:
            file = self._open[part.name].enter_context(self._files.open(part, BY_NAME))
        with self._files.told(part):
            yield file
        idle.append(file)


def _with_columns(
    table: pa.Table | None, file: pq.ParquetFile, number: int, columns: Sequence[str]
) -> pa.Table:
    """The row group with these columns, of which those that the table has are not read."""
    there = dict(zip(table.column_names, table.columns, strict=True)) if table is not None else {}
    lacking = [name for name in columns if name not in there]
    if table is not None and not lacking:
        return table
    read = file.read_row_group(number, lacking, use_threads=False)
    for name, column in there.items():
        read = read.append_column(name, column)
    return read


def _ordered(names: pa.Array | pa.ChunkedArray) -> pa.Array:
    texts = names.cast(pa.string()).drop_null()
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    if pc.all(pc.less_equal(texts[:-1], texts[1:]), min_count=0).as_py():
        return texts
    return texts.take(pc.sort_indices(texts))


def _from_to(names: pa.Array, between: tuple[str, str]) -> pa.Array:
    # In Python text is compared by code points, which is the order of its bytes in UTF-8.
    places = range(len(names))
    begin = bisect_left(places, between[0], key=lambda place: names[place].as_py())
    end = bisect_right(places, between[1], lo=begin, key=lambda place: names[place].as_py())
    return names[begin:end]
