"""Rows of a Parquet file whose ``source_ref`` lies in a range, without reading the row groups of others.

Files of pictures are written in order of ``source_ref``, and Parquet tells the smallest and the greatest
value of each row group: so asking a big file about one part of a listing reads one part of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

NAME = "source_ref"
_BATCH_ROWS = 16_384


def range_of(names: pa.Array | pa.ChunkedArray) -> tuple[str, str] | None:
    """The smallest and the greatest of the names by the bytes of their UTF-8; None for none."""
    found = pc.min_max(names).as_py()
    return None if found["min"] is None else (found["min"], found["max"])


def batches_between(
    file: pq.ParquetFile,
    columns: Sequence[str],
    between: tuple[str, str] | None,
    needs: Callable[[pq.RowGroupMetaData], bool] = lambda group: True,
) -> Iterator[pa.RecordBatch]:
    """The file's rows in batches.

    :param columns: to be read; with a range ``source_ref`` must be one of them.
    :param between: only rows with a ``source_ref`` from the one to the other, both included; None for all.
    :param needs: whether a row group is read at all.
    """
    for number in groups_between(file, between):
        if not needs(file.metadata.row_group(number)):
            continue
        # One group at a time: what a file buffers ahead, it buffers for all groups that it is asked for.
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=[number], columns=list(columns)):
            yield batch if between is None else batch.filter(_within(batch.column(NAME), between))


def groups_between(file: pq.ParquetFile, between: tuple[str, str] | None) -> list[int]:
    """Numbers of the row groups that may hold such a ``source_ref``; None for all."""
    groups = range(file.metadata.num_row_groups)
    if between is None:
        return list(groups)
    return [number for number in groups if _may_hold(file.metadata.row_group(number), between)]


def range_in(group: pq.RowGroupMetaData, column_name: str = NAME) -> tuple[str, str] | None:
    """The smallest and the greatest value of a row group; None when it does not tell."""
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == column_name:
            known = column.statistics
            return (known.min, known.max) if known is not None and known.has_min_max else None
    return None


def _may_hold(group: pq.RowGroupMetaData, between: tuple[str, str]) -> bool:
    known = range_in(group)
    # In Python text is compared by code points, which is the order of its bytes in UTF-8.
    return known is None or (known[0] <= between[1] and known[1] >= between[0])


def _within(names: pa.Array, between: tuple[str, str]) -> pa.BooleanArray:
    texts = names.cast(pa.string())
    return pc.and_(pc.greater_equal(texts, between[0]), pc.less_equal(texts, between[1]))
