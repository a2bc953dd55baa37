"""Rows that DuckDB reads once, as a stream, and what goes wrong in them meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa


@contextmanager
def streamed(
    connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> Iterator[None]:
    """Let SQL read the batches under a name, once, inside the block.

    :raises Exception: what the batches raise, as it is: DuckDB would word it as an error of its own, of
        which nobody could tell any more whether it passes.
    """
    faults: list[Exception] = []

    def kept() -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except Exception as error:
            faults.append(error)
            raise

    connection.register(name, pa.RecordBatchReader.from_batches(schema, kept()))
    try:
        yield
    except duckdb.Error as error:
        # It stays registered: a transaction that is aborted lets nothing be changed.
        if faults:
            raise faults[0] from error
        raise
    connection.unregister(name)
