"""Readers that look without a pause while publishes are killed, and compare all rows with what must be."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from chaos.readers import PartialLoad
from moderation import schema
from moderation.settings import Settings
from moderation.storage.files import Storage, is_s3, local_path
from moderation.storage.s3_objects import S3Error
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.faults import TablesError

Digests = dict[str, dict[str, tuple[int, int]]]
"""By table and load: how many rows, and the sum of their hashes without ``load_id``."""

_DATA = tuple(name for name in schema.TABLES if name != schema.LOADS.name)
_PASSING = (OSError, TablesError, duckdb.IOException, duckdb.InvalidInputException)
"""What a reader meets that lists files and finds one gone: it looks again."""


class Watch:
    """Looks again and again during the block; :meth:`check` raises what was seen.

    :param expected: what every load must hold, by reader, as :func:`digests_of` gives it.
    """

    def __init__(self, settings: Settings, expected: dict[str, dict[str, tuple[int, int]]]) -> None:
        self._settings, self._expected = settings, expected
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="readers", daemon=True)
        self._failure: BaseException | None = None
        self.looks = 0
        self.unfinished = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raise what a reader saw.

        :raises PartialLoad: a load that is not whole, is mixed with another attempt's rows, or there twice.
        """
        if self._failure:
            raise self._failure

    def _watch(self) -> None:
        try:
            while not self._over.is_set():
                for name, read in READERS.items():
                    self._look(name, read)
                self._over.wait(0.01)
        except BaseException as error:
            self._failure = error

    def _look(self, name: str, read: Callable[[Settings], tuple[list[str], Digests] | None]) -> None:
        try:
            found = read(self._settings)
        except _PASSING:
            return
        except S3Error as error:
            if error.is_missing:  # a stray file, listed before the next attempt removed it
                return
            raise
        if found is None:
            return
        loads, digests = found
        if len(loads) != len(set(loads)):
            raise PartialLoad(f"{name} found a load more than once in loads: {loads}")
        for table in _DATA:
            wanted = self._expected[name][table]
            for load in loads:
                if digests[table].get(load, (0, 0)) != wanted:
                    got = digests[table].get(load, (0, 0))
                    raise PartialLoad(f"{name}: load {load} has {got} in {table} instead of {wanted}")
        self.looks += 1
        self.unfinished += bool({load for table in digests.values() for load in table} - set(loads))


def expected_of(settings: Settings) -> dict[str, dict[str, tuple[int, int]]]:
    """What each reader finds of the one load of these tables."""
    expected = {}
    for name, read in READERS.items():
        found = read(settings)
        assert found, f"{name} finds no tables"
        (load,), digests = found
        expected[name] = {table: digests[table].get(load, (0, 0)) for table in _DATA}
    return expected


def _of_iceberg(settings: Settings) -> tuple[list[str], Digests] | None:
    """pyiceberg's own reader."""
    with open_catalog(settings) as catalog:
        loads = load_table(catalog, schema.LOADS)
        if loads is None:
            return None
        known = loads.scan(selected_fields=("load_id",)).to_arrow()["load_id"].to_pylist()
        digests: Digests = {}
        for name in _DATA:
            table = load_table(catalog, schema.TABLES[name])
            if table is None:
                return None
            digests[name] = _digests(name, table.scan().to_arrow())
    return known, digests


def _of_duckdb(settings: Settings) -> tuple[list[str], Digests] | None:
    """DuckDB over the files that the catalog names."""
    if is_s3(settings.tables_uri):
        return None
    with open_catalog(settings) as catalog:
        tables = {name: load_table(catalog, spec) for name, spec in schema.TABLES.items()}
        if None in tables.values():
            return None
        known = _rows(_files(tables[schema.LOADS.name])).column("load_id").to_pylist()
        for table in tables.values():
            table.refresh()  # the data after the loads
        return known, {name: _digests(name, _rows(_files(tables[name]))) for name in _DATA}


def _files(table: Any) -> list[str]:
    return [str(local_path(task.file.file_path)) for task in table.scan().plan_files()]


def _of_files(settings: Settings) -> tuple[list[str], Digests] | None:
    """A reader that knows no catalog, only the Parquet files of the folders; ``loads`` first."""
    with Storage(settings) as storage:

        def read(name: str) -> pa.Table:
            files = [
                uri
                for uri in storage.list(f"{settings.tables_uri}/{name}")
                if uri.endswith(".parquet") and "/." not in uri
            ]
            if not is_s3(settings.tables_uri):
                return _rows([str(local_path(uri)) for uri in files])
            parts = [pq.read_table(io.BytesIO(storage.read(uri))) for uri in files]
            return pa.concat_tables(parts, promote_options="permissive") if parts else _rows([])

        known = read(schema.LOADS.name).column("load_id").to_pylist()
        return known, {name: _digests(name, read(name)) for name in _DATA}


def _rows(files: list[str]) -> pa.Table:
    if not files:
        return pa.table({"load_id": pa.array([], pa.string())})
    with duckdb.connect() as connection:
        return connection.read_parquet(files, union_by_name=True, hive_partitioning=False).to_arrow_table()


def _digests(name: str, rows: pa.Table) -> dict[str, tuple[int, int]]:
    columns = [f'"{column}"' for column in schema.TABLES[name].schema.names if column != "load_id"]
    if rows.num_rows == 0:
        return {}
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        query = f"SELECT load_id, count(*), sum(hash({', '.join(columns)})) FROM rows GROUP BY load_id"
        return {load: (count, int(total)) for load, count, total in connection.execute(query).fetchall()}


READERS: dict[str, Callable[[Settings], tuple[list[str], Digests] | None]] = {
    "an Iceberg reader": _of_iceberg,
    "DuckDB on the catalog's files": _of_duckdb,
    "a reader of plain files": _of_files,
}
__all__ = ["READERS", "Watch", "expected_of"]
