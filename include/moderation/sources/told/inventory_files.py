"""The data files of an S3 Inventory report: CSV, ORC or Parquet, as batches with lower_snake columns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import IO, Any
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.orc
import pyarrow.parquet as pq

from moderation.sources.base import SourceError
from moderation.sources.listing import BATCH_ROWS

_WANTED = ("bucket", "key", "size", "last_modified_date", "e_tag", "is_latest", "is_delete_marker")
# Keys are URL-encoded, so no value has a blank of its own at its end, nor a quote.
_AROUND = ' \t"'
_BLOCK_BYTES = 2 * 1024 * 1024

Reader = Callable[[IO[bytes], str, str], Iterator[pa.RecordBatch]]


def _csv(file: IO[bytes], uri: str, schema: str) -> Iterator[pa.RecordBatch]:
    """A gzipped file without header; its keys are URL-encoded, those of the other formats are not."""
    names = [_snake(name) for name in schema.split(",")]
    bad: list[str] = []

    def refuse(row: Any) -> str:
        if not (row.text or "").strip(_AROUND):
            return "skip"
        bad.append(f"{uri} line {row.number}: {row.actual_columns} columns, {row.expected_columns} expected")
        return "error"

    try:
        with pa.input_stream(file, compression="gzip") as unpacked:
            batches = pa.csv.open_csv(
                unpacked,
                pa.csv.ReadOptions(column_names=names, block_size=_BLOCK_BYTES, use_threads=False),
                pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
                pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=[name for name in _WANTED if name in names],
                ),
            )
            for batch in map(_bare, batches):
                place = batch.schema.get_field_index("key")
                yield batch if place < 0 else batch.set_column(place, "key", _decoded(batch.column(place)))
    except pa.ArrowInvalid as error:
        if bad:
            raise SourceError(bad[0]) from error
        if "Empty CSV file" in str(error):
            return
        raise SourceError(f"{uri} cannot be unpacked: {error}; run the inventory again") from error
    except OSError as error:
        raise SourceError(f"{uri} cannot be unpacked: {error}; run the inventory again") from error


def _bare(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows without blanks around their values, and without those in which there is nothing else."""
    columns = [pc.utf8_trim(column, _AROUND) for column in batch.columns]
    rows = pa.RecordBatch.from_arrays(columns, schema=batch.schema)
    if "" not in pc.unique(rows.column(0)).to_pylist():  # the bucket, which is one in all rows
        return rows
    empty = functools.reduce(pc.and_, [pc.equal(column, "") for column in columns])
    return rows.filter(pc.invert(empty))


def _decoded(keys: pa.StringArray) -> pa.StringArray:
    coded = pc.match_substring_regex(keys, "[%+]")
    if not pc.any(coded, min_count=0).as_py():
        return keys
    plain = pa.array([unquote_plus(key) for key in keys.filter(coded).to_pylist()], pa.string())
    return pc.replace_with_mask(keys, coded, plain)


def _parquet(file: IO[bytes], uri: str, _schema: str) -> Iterator[pa.RecordBatch]:
    try:
        parquet = pq.ParquetFile(file, page_checksum_verification=True)
        columns = [name for name in parquet.schema_arrow.names if name in _WANTED]
        yield from parquet.iter_batches(BATCH_ROWS, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{uri} is no readable Parquet file: {error}; run the inventory again") from error


def _orc(file: IO[bytes], uri: str, _schema: str) -> Iterator[pa.RecordBatch]:
    try:
        orc = pa.orc.ORCFile(file)
        columns = [name for name in orc.schema.names if name in _WANTED]
        for stripe in range(orc.nstripes):
            batch = orc.read_stripe(stripe, columns=columns)
            yield from (batch.slice(start, BATCH_ROWS) for start in range(0, batch.num_rows, BATCH_ROWS))
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{uri} is no readable ORC file: {error}; run the inventory again") from error


def _snake(name: str) -> str:
    """``LastModifiedDate`` of a CSV report is ``last_modified_date`` in the other formats."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name.strip()).strip("_")


READERS: dict[str, Reader] = {"CSV": _csv, "ORC": _orc, "Parquet": _parquet}
"""By the ``fileFormat`` of a report's manifest."""
