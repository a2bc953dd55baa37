"""A plan's inputs, written in portions and read by manifest, so that memory is little whatever the plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from moderation.plan.plan import INPUTS_SCHEMA, PlanError
from moderation.storage import parquet
from moderation.storage.row_file import RowFile

COPY = -1
"""Stands in place of a manifest's number with the inputs that get the answers of others."""

LATER = frozenset(INPUTS_SCHEMA.names[INPUTS_SCHEMA.get_field_index("origin") :])
"""Columns that plans of earlier releases may lack."""

_BATCH_ROWS = 32_768


def numbered(
    accepted: RowFile, lines: list[int], rejected: RowFile, copies: Iterable[pa.Table] = ()
) -> Iterator[pa.Table]:
    """The rows of all inputs (`plan.INPUTS_SCHEMA`): the manifests' in order, the rejected, then the copies.

    :param accepted: rows of `sources.listing.SCHEMA`, and ``copies`` with them or not; what is beyond the
        last manifest is left out.
    :param lines: how many of them each manifest has.
    :param copies: `plan.INPUTS_SCHEMA` but for ``line_number``.
    """
    ends = np.cumsum(lines, dtype=np.int64)
    start, total = 0, sum(lines)
    for portion in accepted.portions():
        rows = portion.slice(0, total - start)
        place = np.arange(start, start + len(rows))
        manifest = np.searchsorted(ends, place, side="right")
        number = place - np.concatenate([[0], ends])[manifest] + 1
        yield _as_inputs(rows, pa.array(manifest, pa.int32()), pa.array(number, pa.int64()))
        start += len(rows)
        if start == total:
            break
    for portion in rejected.portions():
        size = len(portion)
        yield _as_inputs(portion, pa.nulls(size, pa.int32()), pa.nulls(size, pa.int64()))
    start = 0
    for portion in copies:
        number = pa.array(np.arange(start + 1, start + len(portion) + 1))
        yield portion.set_column(INPUTS_SCHEMA.get_field_index("line_number"), "line_number", number)
        start += len(portion)


def _as_inputs(rows: pa.Table, manifest: pa.Array, line_number: pa.Array) -> pa.Table:
    numbered = rows.append_column("manifest", manifest).append_column("line_number", line_number)
    for name in sorted(LATER - set(rows.schema.names)):
        numbered = numbered.append_column(name, pa.nulls(len(rows), INPUTS_SCHEMA.field(name).type))
    return numbered.select(INPUTS_SCHEMA.names).cast(INPUTS_SCHEMA)


def iter_manifests(
    path: Path, *, manifests: int, where: str, empty: Collection[int] = ()
) -> Iterator[tuple[int | None, pa.Table]]:
    """The inputs of each manifest in order, then in portions the rejected ones under None, and the copies
    under :data:`COPY`.

    :param path: the plan's ``inputs.parquet``.
    :param manifests: how many manifests the plan has.
    :param where: the file's URI, for error messages.
    :param empty: manifests of which no line is left: all were erased.
    :raises PlanError: the file is no list of inputs, or not in the order of manifest and line.
    """
    try:
        with parquet.open_file(path) as file:
            yield from _grouped(file, manifests, where, frozenset(empty))
    except (OSError, pa.ArrowException) as error:
        raise PlanError(f"{where} is damaged ({error}); plan the run again") from error


def _grouped(
    file: pq.ParquetFile, manifests: int, where: str, empty: frozenset[int]
) -> Iterator[tuple[int | None, pa.Table]]:
    missing = set(INPUTS_SCHEMA.names) - set(file.schema_arrow.names)
    if missing - LATER:
        raise PlanError(f"{where} lacks the columns {sorted(missing)}; plan the run again")
    expected = 0
    waiting: list[pa.Table] = []
    for batch in file.iter_batches(_BATCH_ROWS, columns=[*file.schema_arrow.names]):
        table = pa.Table.from_batches([batch])
        for name in missing:
            table = table.append_column(name, pa.nulls(len(table), INPUTS_SCHEMA.field(name).type))
        table = table.select(INPUTS_SCHEMA.names).cast(INPUTS_SCHEMA)
        unsent = table.filter(pc.is_null(table.column("manifest")))
        is_copy = pc.is_valid(unsent.column("answer_of_load_id"))
        for number, part in _runs(table.filter(pc.is_valid(table.column("manifest")))):
            if number != expected and waiting:
                yield expected, pa.concat_tables(waiting)
                waiting, expected = [], expected + 1
            while number != expected and not waiting and expected in empty:
                yield expected, INPUTS_SCHEMA.empty_table()
                expected += 1
            if number != expected or number >= manifests:
                raise PlanError(
                    f"{where} has an input of manifest {number} where {expected} of {manifests} is next; "
                    "plan the run again"
                )
            waiting.append(part)
        if (copies := unsent.filter(is_copy)).num_rows:
            yield COPY, copies
        if (rejected := unsent.filter(pc.invert(is_copy))).num_rows:
            yield None, rejected
    if waiting:
        yield expected, pa.concat_tables(waiting)
        expected += 1
    while expected in empty and expected < manifests:
        yield expected, INPUTS_SCHEMA.empty_table()
        expected += 1
    if expected != manifests:
        raise PlanError(f"{where} ends after {expected} of {manifests} manifests; plan the run again")


def _runs(table: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """Slices of equal manifest numbers."""
    encoded = pc.run_end_encode(table.column("manifest").combine_chunks())
    start = 0
    for value, end in zip(encoded.values.to_pylist(), encoded.run_ends.to_pylist(), strict=True):
        yield value, table.slice(start, end - start)
        start = end
