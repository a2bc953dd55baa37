"""The ready queries in Redshift's and Athena's words give DuckDB's answers on a real server.

Neither engine runs here. What sqlglot says in their dialects is read back by their grammars and run on
PostgreSQL: a word that changed its meaning on the way shows as another answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
import psycopg
import pytest
import sqlglot

from moderation.policy.thresholds import Thresholds
from moderation.query import queries
from moderation.tables.standing import ALL_TABLES
from moderation.warehouses.duckdb import TYPES
from moderation.warehouses.views import in_use, postgres_views
from support import small_warehouse
from support.postgres_server import Postgres

THRESHOLDS = {
    "as asked": Thresholds(),
    "of labels": Thresholds(version="it's 2", default=60.0, labels={"Violence": 99.0, "Weapons": 55.0}),
}


@pytest.fixture(scope="module", params=THRESHOLDS.values(), ids=THRESHOLDS.keys())
def thresholds(request: pytest.FixtureRequest) -> Thresholds:
    found: Thresholds = request.param
    return found


@pytest.fixture(scope="module")
def story(
    tmp_path_factory: pytest.TempPathFactory, thresholds: Thresholds
) -> Iterator[duckdb.DuckDBPyConnection]:
    path = small_warehouse.small(tmp_path_factory.mktemp("story") / "small.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        dialect = in_use.Dialect(create="CREATE OR REPLACE TEMP VIEW")
        for statement in in_use.views(thresholds, dialect).values():
            connection.execute(statement)
        yield connection


@pytest.fixture(scope="module")
def in_postgres(
    story: duckdb.DuckDBPyConnection, postgres_server: Postgres, thresholds: Thresholds
) -> Iterator[psycopg.Connection[Any]]:
    """The same rows in PostgreSQL."""
    with psycopg.connect(postgres_server.new_database(), autocommit=True) as connection:
        for spec in ALL_TABLES.values():
            types = (TYPES[field.type].replace("DOUBLE", "DOUBLE PRECISION") for field in spec.schema)
            columns = (f'"{name}" {kind}' for name, kind in zip(spec.schema.names, types, strict=True))
            connection.execute(f"CREATE TABLE {spec.name} ({', '.join(columns)})")
            rows = story.execute(f"SELECT {', '.join(spec.schema.names)} FROM {spec.name}").fetchall()
            with connection.cursor().copy(f"COPY {spec.name} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        connection.execute(postgres_views.labels("public"))
        for statement in (
            *postgres_views.verdicts_views("public"),
            *postgres_views.in_use_views(thresholds, "public"),
        ):
            connection.execute(statement)
        yield connection


@pytest.mark.parametrize("name", in_use.view_names())
def test_what_counts_is_the_same_in_duckdb_and_postgresql(
    name: str, story: duckdb.DuckDBPyConnection, in_postgres: psycopg.Connection[Any]
) -> None:
    text = f"SELECT * FROM {name} ORDER BY ALL"
    here = story.execute(text)
    columns = [f'"{column[0]}"' for column in here.description or ()]
    there = in_postgres.execute(f"SELECT {', '.join(columns)} FROM {name}").fetchall()
    assert Counter(there) == Counter(here.fetchall())


def test_an_image_is_flagged_when_one_of_its_labels_reaches_its_own_threshold(
    story: duckdb.DuckDBPyConnection, thresholds: Thresholds
) -> None:
    rows = story.execute(
        "SELECT load_id, manifest_id, line_number, name, confidence, l1 FROM labels"
    ).fetchall()
    met = [row for row in rows if row[4] >= thresholds.of(row[3], asked=0.0)]
    best = {row[:3]: max(other[4] for other in met if other[:3] == row[:3]) for row in met}
    found = story.execute(
        "SELECT load_id, manifest_id, line_number, max_confidence FROM images_in_use WHERE flagged"
    ).fetchall()
    assert {row[:3]: row[3] for row in found} == best
    assert best
    assert len(story.execute("SELECT * FROM labels_in_use").fetchall()) == len(met)


@pytest.mark.parametrize("dialect", ["redshift", "athena"])
@pytest.mark.parametrize("name", [query.name for query in queries.queries()])
def test_the_answer_is_the_same_in_other_words(
    name: str,
    dialect: str,
    story: duckdb.DuckDBPyConnection,
    in_postgres: psycopg.Connection[Any],
    thresholds: Thresholds,
) -> None:
    (text,) = sqlglot.transpile(queries.sql_for(name, dialect), read=dialect, write="postgres")
    answer = in_postgres.execute(text).fetchall()
    assert answer == story.execute(queries.query(name).sql).fetchall()
    assert answer or thresholds != Thresholds()
