"""Loads reach a real PostgreSQL server whole, once, and bit for bit."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest

from moderation import stages
from moderation.errors import WarehouseBusyError, WarehouseError
from moderation.maintenance.erasure import erase as erasing
from moderation.maintenance.erasure.erase import Elsewhere
from moderation.maintenance.erasure.wanted import Wanted
from moderation.schema import IMAGES, LABELS, TABLES, physical_schema
from moderation.settings import Settings
from moderation.tables.catalog import NAMESPACE, open_catalog
from moderation.warehouses import configured, postgres
from moderation.warehouses.duckdb import DuckDBWarehouse
from moderation.warehouses.folder import FolderMirror
from moderation.warehouses.postgres import PostgresWarehouse
from support import published_loads
from support.copied_images import Gallery
from support.postgres_server import PASSWORD
from support.published_loads import publish_odd, publish_plain
from support.put_back import MadeOnce


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    return MadeOnce(tmp_path_factory.mktemp("load"))


@pytest.fixture
def published(made_once: MadeOnce, bucket: str, aws_env: Any, s3_client: Any) -> Settings:
    """Tables with one load of six images, which is only read."""
    return made_once.get(s3_client, bucket, lambda made: publish_plain(made, s3_client, "run-a")).settings


@pytest.fixture
def load_id(made_once: MadeOnce, published: Settings) -> str:
    return str(made_once.made)


def found(uri: str, name: str, schema: str = "moderation") -> pa.Table:
    """A table's rows in the types of the schema, so that nothing is compared as text."""
    table = TABLES[name]
    with psycopg.connect(uri) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        columns = ", ".join(f'"{column}"' for column in table.schema.names)
        cursor = connection.execute(f'SELECT {columns} FROM "{schema}"."{name}"')
        rows = [dict(zip(table.schema.names, row, strict=True)) for row in cursor]
    return pa.Table.from_pylist(rows, physical_schema(table))


def count(uri: str, sql: str) -> int:
    with psycopg.connect(uri) as connection:
        (number,) = connection.execute(sql).fetchone() or (0,)
        return int(number)


def assert_same(settings: Settings, uri: str, schema: str = "moderation") -> None:
    for name, table in published_loads.expected(settings).items():
        assert published_loads.rows(found(uri, name, schema)) == published_loads.rows(table), name


@pytest.mark.slow
def test_every_row_and_bit_arrives_and_loading_twice_changes_nothing(settings, s3_client, postgres_uri):
    load_ids = [publish_odd(settings, s3_client), publish_plain(settings, s3_client, "plain")]
    warehouse = PostgresWarehouse(settings, postgres_uri)
    counts = [warehouse.load(load_id) for load_id in (*load_ids, *load_ids)]
    assert counts[:2] == counts[2:]
    assert (counts[0]["images"], counts[0]["anomalies"], counts[0]["loads"]) == (11, 1, 1)
    assert_same(settings, postgres_uri)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param("duckdb", marks=pytest.mark.long), "postgres"])
def test_another_threshold_holds_after_a_load_that_has_nothing_to_bring_and_no_row_is_written(  # noqa: PLR0917 - fixtures
    kind, settings, s3_client, postgres_uri, tmp_path, aws_env
):
    settings = replace(settings, warehouses=(kind if kind == "duckdb" else postgres_uri,))

    def ask(sql: str) -> list[Any]:
        if kind == "postgres":
            with psycopg.connect(postgres_uri) as there:
                return there.execute(sql.replace("FROM ", "FROM moderation.")).fetchall()
        with duckdb.connect(str(settings.warehouse_path), read_only=True) as here:
            return here.execute(sql).fetchall()

    load_id = publish_odd(settings, s3_client)
    stages.load(load_id, settings=settings)
    rows = ask("SELECT * FROM labels_l1")
    flagged = ask("SELECT count(*) FROM images_in_use WHERE flagged")
    assert flagged == ask("SELECT count(*) FROM images WHERE label_count > 0") != [(0,)]
    file = tmp_path / "thresholds.toml"
    file.write_text('version = "strict"\ndefault = 100\n')
    aws_env.setenv("MODERATION_THRESHOLDS", str(file))
    assert stages.load(settings=settings) == []
    assert ask("SELECT version, label, from_percent FROM thresholds_in_use") == [("strict", None, 100.0)]
    assert ask("SELECT count(*) FROM images_in_use WHERE flagged") < flagged
    assert ask("SELECT * FROM labels_l1") == rows


def columns_of(uri: str, view: str) -> list[str]:
    with psycopg.connect(uri) as connection:
        return [
            part.name for part in connection.execute(f"SELECT * FROM moderation.{view}").description or ()
        ]


def without(uri: str, view: str, column: str) -> None:
    """Make a view as the release before had it, which did not know this column."""
    names = ", ".join(f'"{name}"' for name in columns_of(uri, view) if name != column)
    with psycopg.connect(uri) as connection:
        (text,) = connection.execute("SELECT pg_get_viewdef(%s)", [f"moderation.{view}"]).fetchone() or ("",)
        query = str(text).rstrip(";")
        connection.execute(f"DROP VIEW moderation.{view} CASCADE")
        connection.execute(f"CREATE VIEW moderation.{view} AS SELECT {names} FROM ({query}) AS known")


def test_a_view_keeps_its_columns_while_workers_of_the_release_before_load_and_gets_all_when_told(
    published, load_id, postgres_uri, caplog
):
    settings = replace(published, warehouses=(postgres_uri,))
    stages.load(load_id, settings=settings)
    views = {
        "labels": "model_version",
        "labels_l1_in_use": "model_version",
        "images_in_use": "transcoded_from",
    }
    whole = {view: columns_of(postgres_uri, view) for view in (*views, "labels_in_use")}
    for view, column in views.items():
        without(postgres_uri, view, column)
    with psycopg.connect(postgres_uri) as connection:
        connection.execute("CREATE VIEW analyst AS SELECT source_ref FROM moderation.images_in_use")
        (flagged,) = connection.execute("SELECT count(*) FROM moderation.images_in_use").fetchone() or ()

    with caplog.at_level(logging.INFO, logger="moderation"):
        stages.load(load_id, settings=settings)
    for view, column in views.items():
        assert set(whole[view]) - set(columns_of(postgres_uri, view)) == {column}
        assert f"{view} lacks {column}" in caplog.text
    assert "moderation load --new-columns" in caplog.text

    assert stages.load(new_columns=True, settings=settings) == []
    for view, names in whole.items():
        found_now = columns_of(postgres_uri, view)
        assert sorted(found_now) == sorted(names), view
    assert count(postgres_uri, "SELECT count(*) FROM analyst") == flagged == 6
    assert_same(settings, postgres_uri)
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="moderation"):
        stages.load(load_id, settings=settings)
    assert "lacks" not in caplog.text
    assert columns_of(postgres_uri, "images_in_use") == whole["images_in_use"]


class _DiesInTable:
    """Reads like the real reader and breaks in the middle of one table."""

    def __init__(self, real: Any, name: str) -> None:
        self._real, self._name = real, name

    def __call__(self, catalog: Any, table: Any, load: Any) -> Iterator[Any]:
        yield from self._real(catalog, table, load)
        if table.name == self._name:
            raise OSError("the connection to S3 is gone")


@pytest.mark.slow
@pytest.mark.parametrize(
    "dies_in",
    [
        pytest.param("images", marks=pytest.mark.long),  # one transaction: as in any later table
        pytest.param("labels_l3", marks=pytest.mark.long),
        "loads",
    ],
)
def test_a_crash_in_the_middle_leaves_the_database_as_it_was(
    dies_in, settings, s3_client, postgres_uri, monkeypatch
):
    first, second = (publish_plain(settings, s3_client, name) for name in ("run-a", "run-b"))
    warehouse = PostgresWarehouse(settings, postgres_uri)
    warehouse.load(first)
    with monkeypatch.context() as patch:
        patch.setattr(postgres, "read_load", _DiesInTable(postgres.read_load, dies_in))
        with pytest.raises(WarehouseError, match=r"S3 is gone.*run the load task again"):
            warehouse.load(second)
    assert set(found(postgres_uri, "images").column("load_id").to_pylist()) == {first}
    warehouse.load(second)
    assert_same(settings, postgres_uri)


@pytest.mark.slow
def test_a_server_that_ends_the_session_leaves_nothing_behind(published, load_id, postgres_uri, monkeypatch):
    real = postgres.read_load

    def ended(catalog: Any, table: Any, load: Any) -> Iterator[Any]:
        with psycopg.connect(postgres_uri, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'moderation' AND datname = current_database()"
            )
        yield from real(catalog, table, load)

    with monkeypatch.context() as patch:
        patch.setattr(postgres, "read_load", ended)
        with pytest.raises(WarehouseError, match="run the load task again"):
            PostgresWarehouse(published, postgres_uri).load(load_id)
    assert count(postgres_uri, "SELECT count(*) FROM pg_tables WHERE schemaname = 'moderation'") == 0
    PostgresWarehouse(published, postgres_uri).load(load_id)
    assert_same(published, postgres_uri)


@pytest.mark.long
def test_many_loads_at_once_into_an_empty_database_leave_each_row_once(settings, s3_client, postgres_uri):
    load_ids = [publish_plain(settings, s3_client, f"run-{n}", images=3) for n in range(2)]
    warehouse = PostgresWarehouse(settings, postgres_uri)
    threads = [threading.Thread(target=warehouse.load, args=[load_id]) for load_id in load_ids * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert_same(settings, postgres_uri)


def test_a_lock_that_somebody_keeps_is_a_clear_error_after_a_bounded_wait(published, load_id, postgres_uri):
    PostgresWarehouse(published, postgres_uri).load(load_id)
    with psycopg.connect(postgres_uri) as other:
        other.execute("LOCK TABLE moderation.images")
        with pytest.raises(WarehouseBusyError, match=r"still in the way after 0\.2 s"):
            PostgresWarehouse(published, postgres_uri, wait_seconds=0.2).load(load_id)
    assert PostgresWarehouse(published, postgres_uri).load(load_id)["images"] == 6


@pytest.mark.long
def test_readers_are_not_held_up_by_a_load(settings, s3_client, postgres_uri, monkeypatch):
    load_ids = [publish_plain(settings, s3_client, name) for name in ("run-a", "run-b")]
    warehouse = PostgresWarehouse(settings, postgres_uri)
    warehouse.load(load_ids[0])
    real, seen = postgres.read_load, []

    def watched(catalog: Any, table: Any, load: Any) -> Iterator[Any]:
        with psycopg.connect(postgres_uri) as reader:
            reader.execute("SET lock_timeout = '2s'")
            seen.append(reader.execute("SELECT count(*) FROM moderation.labels").fetchone())
        yield from real(catalog, table, load)

    monkeypatch.setattr(postgres, "read_load", watched)
    warehouse.load(load_ids[1])
    assert seen == [(18,)] * len(TABLES)
    assert count(postgres_uri, "SELECT count(*) FROM moderation.labels") == 36


def test_a_column_of_a_later_release_is_added_to_an_older_table(published, load_id, postgres_uri):
    with psycopg.connect(postgres_uri) as connection:
        connection.execute("CREATE SCHEMA moderation")
        connection.execute("CREATE TABLE moderation.images (load_id text, source_ref text)")
        connection.execute("INSERT INTO moderation.images VALUES ('old', 's3://archive/old.jpg')")
    PostgresWarehouse(published, postgres_uri).load(load_id)
    images = "SELECT count(*) FROM moderation.images WHERE "
    assert count(postgres_uri, images + "load_id = 'old' AND status IS NULL") == 1
    assert count(postgres_uri, images + "status = 'moderated'") == 6


def test_the_view_unites_the_levels_and_the_columns_are_documented(published, load_id, postgres_uri):
    PostgresWarehouse(published, postgres_uri).load(load_id)
    with psycopg.connect(postgres_uri) as connection:
        levels = connection.execute(
            "SELECT level, count(*), count(l2), count(l3) FROM moderation.labels GROUP BY 1 ORDER BY 1"
        ).fetchall()
        assert levels == [(1, 6, 0, 0), (2, 6, 6, 0), (3, 6, 6, 6)]
        described = connection.execute(
            "SELECT col_description(attrelid, attnum) FROM pg_attribute "
            "WHERE attrelid = 'moderation.labels_l1'::regclass AND attname = 'confidence'"
        ).fetchone()
        assert described == ("Exactly as answered, bit for bit.",)


def test_a_text_with_a_nul_is_kept_readable(published, load_id, postgres_uri, monkeypatch, caplog):
    real = postgres.read_load

    def with_nul(catalog: Any, table: Any, load: Any) -> Iterator[pa.RecordBatch]:
        for batch in real(catalog, table, load):
            index = batch.schema.get_field_index("name")
            yield batch if index < 0 else batch.set_column(index, "name", pa.array(["a\0b"] * len(batch)))

    monkeypatch.setattr(postgres, "read_load", with_nul)
    with caplog.at_level(logging.WARNING):
        PostgresWarehouse(published, postgres_uri).load(load_id)
    assert found(postgres_uri, "labels_l1").column("name").to_pylist() == ["a\u2400b"] * 6
    assert "NUL characters" in caplog.text


@pytest.mark.parametrize("schema", ["moderation", 'Odd "name"\'s; DROP'])
def test_another_schema_is_a_parameter_of_the_uri(schema, published, load_id, postgres_uri):
    PostgresWarehouse(published, postgres_uri, schema=schema).load(load_id)
    with psycopg.connect(postgres_uri) as connection:
        found_in = connection.execute(
            "SELECT table_schema FROM information_schema.tables WHERE table_name = 'images'"
        ).fetchall()
    assert found_in == [(schema,)]


def test_the_stage_loads_every_warehouse_that_the_environment_names(published, load_id, postgres_uri, caplog):
    listed = Settings.from_env(
        {
            "MODERATION_WAREHOUSES": f"duckdb, {postgres_uri}?schema=one&connect_timeout=5, airflow:pg",
            "MODERATION_WAREHOUSE": str(published.warehouse_path),
            "MODERATION_TABLES_URI": published.tables_uri,
            "MODERATION_CATALOG_URI": published.catalog_uri,
        }
    )
    assert PASSWORD not in repr(listed)
    with caplog.at_level(logging.DEBUG):
        stages.load(load_id, settings=listed, connection_uri={"pg": postgres_uri}.__getitem__)
    assert PASSWORD not in caplog.text
    for schema in ("one", "moderation"):
        assert count(postgres_uri, f"SELECT count(*) FROM {schema}.images") == 6
    with pytest.raises(WarehouseError, match=r"airflow:pg is an Airflow connection"):
        configured.configured(listed)


@pytest.mark.slow
def test_a_schema_is_given_every_load_that_it_lacks(settings, s3_client, postgres_uri):
    first, second = (publish_plain(settings, s3_client, name, images=2) for name in ("run-a", "run-b"))
    listed = replace(settings, warehouses=(postgres_uri,))
    assert stages.load(second, settings=listed) == sorted([first, second])
    assert count(postgres_uri, "SELECT count(DISTINCT load_id) FROM moderation.images") == 2
    assert stages.load(settings=listed) == []
    with psycopg.connect(postgres_uri) as connection:
        connection.execute("DELETE FROM moderation.images WHERE load_id = %s", [first])
    assert stages.load(settings=listed) == [first]
    with psycopg.connect(postgres_uri) as connection:
        connection.execute("DROP TABLE moderation.labels_l2 CASCADE")
    assert stages.load(settings=listed) == sorted([first, second])
    assert stages.load(settings=listed) == []


@pytest.mark.slow
def test_an_erased_image_is_in_no_row_any_more_and_the_load_is_whole(  # noqa: PLR0917 - fixtures
    settings, s3_client, bucket, postgres_uri, tmp_path, monkeypatch
):
    monkeypatch.setenv("MODERATION_SPOOL_DIR", str(tmp_path / "spool"))
    gallery = Gallery(settings, s3_client, bucket)
    gallery.put(a=1, b=2, c=1)
    PostgresWarehouse(settings, postgres_uri).load(gallery.run("night").load_id)
    wanted = Wanted(frozenset([gallery.ref("b")]))
    listed = replace(settings, warehouses=(postgres_uri,))
    assert not erasing.erase(listed, wanted, elsewhere=lambda _: Elsewhere()).left
    kept = [gallery.ref("a"), gallery.ref("c")]
    assert sorted(found(postgres_uri, "images")["source_ref"].to_pylist()) == kept
    assert_same(settings, postgres_uri)
    assert stages.load(settings=listed) == []


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("postgresql://owner:s3cret%zz@127.0.0.1/db", "percent-encoded"),
        ("postgresql://owner:s3cret/more@127.0.0.1/db", "run the load task again|percent-encoded"),
        ("postgresql://owner:s3cret@127.0.0.1:1/db?connect_timeout=2", "127.0.0.1/db: load"),
    ],
)
def test_no_error_tells_the_password(uri, message, published, load_id):
    with pytest.raises(WarehouseError, match=message) as caught:
        PostgresWarehouse(published, uri).load(load_id)
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cret" not in str(error)
        error = error.__cause__


def test_a_load_that_is_not_published_is_refused(settings, s3_client, postgres_uri):
    with pytest.raises(WarehouseError, match=r"'no-such-load' is not published"):
        PostgresWarehouse(settings, postgres_uri).load("no-such-load")


def test_the_largest_table_has_the_indexes_that_loads_and_lookups_need(published, load_id, postgres_uri):
    PostgresWarehouse(published, postgres_uri).load(load_id)
    with psycopg.connect(postgres_uri) as connection:
        for table in (IMAGES, *LABELS.values()):
            indexes = connection.execute(
                "SELECT indexdef FROM pg_indexes WHERE tablename = %s", [table.name]
            ).fetchall()
            assert {definition.rpartition("(")[2] for (definition,) in indexes} == {
                "load_id)",
                "source_ref)",
            }


@pytest.mark.slow
def test_part_of_a_load_is_refused_by_every_warehouse(settings, s3_client, postgres_uri, tmp_path):
    """A table that was rolled back, or that lost a file, has fewer rows than were published."""
    settings = replace(settings, parquet_mirror=tmp_path / "mirror")
    load_id = publish_plain(settings, s3_client, "run-a", images=3)
    with open_catalog(settings) as catalog:
        catalog.load_table((NAMESPACE, "labels_l2")).delete("l1 = 'Violence'")
    for warehouse in (
        DuckDBWarehouse(settings), FolderMirror(settings), PostgresWarehouse(settings, postgres_uri),
    ):  # fmt: skip
        with pytest.raises(WarehouseError, match=r"labels_l2 has 0 rows .* says 3; .*moderation rebuild"):
            warehouse.load(load_id)
    with psycopg.connect(postgres_uri) as connection:
        assert connection.execute("SELECT to_regclass('moderation.images')").fetchone() == (None,)
