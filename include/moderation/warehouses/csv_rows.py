"""Rows as the CSV that PostgreSQL's COPY reads."""

from __future__ import annotations

import io
import logging

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

_NUL_STAND_IN = "\N{SYMBOL FOR NULL}"

_log = logging.getLogger(__name__)


def as_csv(batch: pa.RecordBatch, table: str) -> bytes:
    """Rows as CSV: texts quoted, nulls empty, doubles in the shortest form that reads back the same."""
    body = _write_csv(batch)
    if b"\0" in body:
        _log.warning("%s: texts with NUL characters; PostgreSQL gets %s instead", table, _NUL_STAND_IN)
        arrays = [
            pc.replace_substring(column, "\0", _NUL_STAND_IN) if pa.types.is_string(column.type) else column
            for column in batch.columns
        ]
        body = _write_csv(pa.RecordBatch.from_arrays(arrays, schema=batch.schema))
    return body


def _write_csv(batch: pa.RecordBatch) -> bytes:
    sink = io.BytesIO()
    csv.write_csv(batch, sink, csv.WriteOptions(include_header=False))
    return sink.getvalue()
