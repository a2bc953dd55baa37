"""The warehouse in pandas: one import for notebooks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from moderation.query import queries
from moderation.query.answers import QueryError, ask, fence, resolve
from moderation.settings import Settings, surroundings
from moderation.variables.local_stack import CHECKOUT, taken
from moderation.variables.machine import MachineSettings
from moderation.warehouses import missing
from moderation.warehouses.reading import DEFAULT_WAIT_SECONDS, open_warehouse, tables

__all__ = ["QueryError", "contents", "query"]


def query(
    text: str,
    parameters: Sequence[Any] = (),
    *,
    warehouse: Path | str | None = None,
    load_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
    published: bool = False,
    wait_seconds: float = DEFAULT_WAIT_SECONDS,
) -> pd.DataFrame:
    """The answer as a data frame. The file is open only while the query runs. Times are UTC.

    Days are ``datetime64``; DECIMAL columns, as the ready queries have for percents and dollars, floats. A
    warehouse that lacks published loads is warned of.

    :param text: SQL, the name of a ready query, or the name of a table.
    :param parameters: values for the question marks of SQL.
    :param warehouse: the DuckDB file; ``MODERATION_WAREHOUSE`` by default.
    :param load_id: look at one load only.
    :param since: only days (``dt``) from this one on.
    :param until: only days up to this one.
    :param published: read the published files themselves, wherever ``MODERATION_TABLES_URI`` is.
    :param wait_seconds: how long to wait while a load writes, at most.
    :raises QueryError: the name means nothing, or the SQL is wrong.
    :raises moderation.errors.WarehouseError: the file is missing, busy or not readable.
    """
    shown: dict[str, Any] = {"load_id": load_id, "since": since, "until": until}
    if published:
        # Iceberg is slow to import.
        from moderation.query.published_views import open_published  # noqa: PLC0415

        opened = _published(open_published, shown)
    else:
        opened = open_warehouse(_file(warehouse), wait_seconds=wait_seconds, **shown)
    with opened as connection:
        if not published:
            fence(connection)
            told = missing.told(_file(warehouse), connection, command=Settings.from_env().command)
            if told:
                warnings.warn(told, stacklevel=2)
        names = [name for name, _ in tables(connection)]
        try:
            table = ask(connection, resolve(text, names), parameters).to_arrow_table()
        except duckdb.Error as error:
            raise QueryError(str(error).strip()) from error
    numbers = [
        field.with_type(pa.float64()) if pa.types.is_decimal(field.type) else field for field in table.schema
    ]
    return table.cast(pa.schema(numbers)).to_pandas(date_as_object=False)


def contents(*, warehouse: Path | str | None = None) -> pd.DataFrame:
    """Tables and ready queries: name, what it is, rows (of tables) or the question it answers."""
    with open_warehouse(_file(warehouse)) as connection:
        rows = [
            (name, "view" if number is None else "table", "" if number is None else f"{number:,} rows")
            for name, number in tables(connection)
        ]
    rows += [(ready.name, "ready query", ready.answers) for ready in queries.queries()]
    return pd.DataFrame(rows, columns=["name", "kind", "content"])


@contextmanager
def _published(open_published: Callable[..., Any], shown: dict[str, Any]) -> Iterator[Any]:
    """The published files, of the checkout's local services if the notebook was told of nothing else."""
    with taken(surroundings(), CHECKOUT, print) as local:
        if local is not None:
            local.check(endpoint=MachineSettings.from_env().s3_endpoint)
        with open_published(Settings.from_env(), **shown, warn=warnings.warn) as connection:
            yield connection


def _file(warehouse: Path | str | None) -> Path | str:
    return Settings.from_env().warehouse_path if warehouse is None else warehouse
