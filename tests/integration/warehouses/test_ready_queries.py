"""The ready queries in Redshift's and Athena's words give DuckDB's answers on a real server.

Neither engine runs here. What sqlglot says in their dialects is read back by their grammars and run on
PostgreSQL: a word that changed its meaning on the way shows as another answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import psycopg
import pytest
import sqlglot

from moderation.query import queries
from moderation.schema import TABLES
from moderation.warehouses.duckdb import TYPES
from support import small_warehouse
from support.postgres_server import Postgres


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    path = small_warehouse.small(tmp_path_factory.mktemp("story") / "small.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def in_postgres(
    story: duckdb.DuckDBPyConnection, postgres_server: Postgres
) -> Iterator[psycopg.Connection[Any]]:
    """The same rows in PostgreSQL."""
    with psycopg.connect(postgres_server.new_database()) as connection:
        for spec in TABLES.values():
            types = (TYPES[field.type].replace("DOUBLE", "DOUBLE PRECISION") for field in spec.schema)
            columns = (f'"{name}" {kind}' for name, kind in zip(spec.schema.names, types, strict=True))
            connection.execute(f"CREATE TABLE {spec.name} ({', '.join(columns)})")
            rows = story.execute(f"SELECT {', '.join(spec.schema.names)} FROM {spec.name}").fetchall()
            with connection.cursor().copy(f"COPY {spec.name} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        yield connection


@pytest.mark.parametrize("dialect", ["redshift", "athena"])
@pytest.mark.parametrize("name", [query.name for query in queries.queries()])
def test_the_answer_is_the_same_in_other_words(
    name: str, dialect: str, story: duckdb.DuckDBPyConnection, in_postgres: psycopg.Connection[Any]
) -> None:
    (text,) = sqlglot.transpile(queries.sql_for(name, dialect), read=dialect, write="postgres")
    answer = in_postgres.execute(text).fetchall()
    assert answer == story.execute(queries.query(name).sql).fetchall()
    assert answer
