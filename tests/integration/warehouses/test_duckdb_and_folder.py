from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moderation import schema
from moderation.errors import WarehouseBusyError, WarehouseError
from moderation.publish.commit import publish
from moderation.query.published_views import open_published
from moderation.schema import TABLES
from moderation.settings import Settings
from moderation.tables.standing import ALL_TABLES
from moderation.warehouses import duckdb as duckdb_warehouse
from moderation.warehouses.duckdb import DuckDBWarehouse
from moderation.warehouses.folder import SCHEMA_FILE, FolderMirror
from moderation.warehouses.reading import open_warehouse
from support import planned_runs, published_loads
from support.planned_runs import Run, answer, content_types, line, weapon_violence


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.long)])
def settings(request: pytest.FixtureRequest, tmp_path: Path, bucket: str, aws_env: Any) -> Settings:
    made = planned_runs.make_settings(tmp_path, bucket, tables=request.param)
    return replace(made, parquet_mirror=tmp_path / "mirror")


in_s3_too = pytest.mark.parametrize("settings", ["local", "s3"], indirect=True)
"""What S3 could break by itself is shown there in the short suite too."""


def published(settings: Settings, s3_client: Any, name: str = "run-a") -> str:
    """A load of 4 images: one drawn, one weapon, one clean, one failed."""
    run = Run(settings, s3_client, name=name)
    refs = [f"s3://archive/{name}/{n}.jpg" for n in range(4)]
    drawn = content_types(Illustrated=60, Animated=72.7257)
    bodies = [answer(weapon_violence(), ContentTypes=drawn), answer(weapon_violence(80)), answer()]
    run.manifest(
        refs,
        b"\n".join(line(ref, body) for ref, body in zip(refs, bodies, strict=False)),
        summary={"errors": [{"source-ref": refs[3], "code": "ImageTooLarge", "message": "16 MB"}]},
    )
    return publish(settings, run.store(), run.records).load_id


def query(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with open_warehouse(settings.warehouse_path) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.slow
@in_s3_too
def test_a_load_is_queryable_with_every_column_of_the_contract(settings, s3_client):
    load_id = published(settings, s3_client)
    rows = DuckDBWarehouse(settings).load(load_id)
    assert rows == {
        "images": 4, "labels_l1": 2, "labels_l2": 2, "labels_l3": 2, "jobs": 1, "anomalies": 0, "loads": 1,
    }  # fmt: skip
    for name, table in schema.TABLES.items():
        columns = query(settings, f"SELECT column_name FROM duckdb_columns() WHERE table_name = '{name}'")
        assert [column for (column,) in columns] == table.schema.names
    found = query(settings, "SELECT l1, l3, content_type, confidence FROM labels_l3 ORDER BY confidence")
    assert found == [
        ("Violence", "Weapon Violence", "none", 80.0),
        ("Violence", "Weapon Violence", "illustrated_animated", 99.86129760742188),
    ]
    assert query(settings, "SELECT level, count(*) FROM labels GROUP BY 1 ORDER BY 1") == [
        (1, 2),
        (2, 2),
        (3, 2),
    ]


@pytest.mark.slow
def test_labels_are_found_by_the_path_that_a_person_knows(settings, s3_client):
    DuckDBWarehouse(settings).load(published_loads.publish_odd(settings, s3_client))
    DuckDBWarehouse(settings).load(published(settings, s3_client))
    named = query(settings, "SELECT DISTINCT source_ref, origin FROM labels WHERE origin IS NOT NULL")
    of_images = "SELECT source_ref, origin FROM images WHERE origin IS NOT NULL AND label_count > 0"
    assert sorted(named) == sorted(query(settings, of_images))
    assert ("s3://archive/odd/100%25/50%.jpg", "/home/anna/odd/100%25/50%.jpg") in named
    labels = query(settings, "SELECT sum(label_count)::BIGINT FROM images")
    assert query(settings, "SELECT count(*) FROM labels") == labels
    with open_published(settings) as connection:
        found = connection.execute("SELECT DISTINCT source_ref, origin FROM labels WHERE origin IS NOT NULL")
        assert sorted(found.fetchall()) == sorted(named)


@pytest.mark.slow
def test_loading_twice_leaves_the_rows_once(settings, s3_client):
    load_ids = [published(settings, s3_client, name) for name in ("run-a", "run-b")]
    warehouse = DuckDBWarehouse(settings)
    for load_id in (*load_ids, *load_ids):
        warehouse.load(load_id)
    assert query(settings, "SELECT count(*), count(DISTINCT source_ref) FROM images") == [(8, 8)]
    assert query(settings, "SELECT count(*) FROM loads") == [(2,)]


@pytest.mark.slow
def test_a_crash_in_the_middle_leaves_the_file_as_it_was(settings, s3_client, monkeypatch):
    first, second = (published(settings, s3_client, name) for name in ("run-a", "run-b"))
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(first)
    real = duckdb_warehouse.read_load

    def dies(catalog: Any, table: schema.TableSpec, load: Any) -> Iterator[Any]:
        if table.name == "labels_l3":
            raise OSError("the disk is gone")
        return real(catalog, table, load)

    with monkeypatch.context() as patch:
        patch.setattr(duckdb_warehouse, "read_load", dies)
        with pytest.raises(WarehouseError, match=r"the disk is gone.*run the load task again"):
            warehouse.load(second)
    assert query(settings, "SELECT DISTINCT load_id FROM images") == [(first,)]
    warehouse.load(second)
    assert query(settings, "SELECT count(*) FROM images") == [(8,)]


def test_a_load_that_is_not_published_is_refused(settings, s3_client):
    with pytest.raises(WarehouseError, match=r"'no-such-load' is not published"):
        DuckDBWarehouse(settings).load("no-such-load")


def test_a_column_of_a_later_release_is_added_to_an_older_file(settings, s3_client):
    load_id = published(settings, s3_client)
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        connection.execute("CREATE TABLE images (load_id VARCHAR, source_ref VARCHAR)")
        connection.execute("INSERT INTO images VALUES ('old', 's3://archive/old.jpg')")
    DuckDBWarehouse(settings).load(load_id)
    assert query(settings, "SELECT load_id, status FROM images WHERE load_id = 'old'") == [("old", None)]
    assert query(settings, "SELECT count(*) FROM images WHERE status = 'moderated'") == [(3,)]


@contextmanager
def held_open(path: Path) -> Iterator[None]:
    """Another process that has the file open for writing."""
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield
        finally:
            process.communicate("")


def test_a_file_that_somebody_else_has_open_is_a_clear_error_after_a_bounded_wait(settings, s3_client):
    load_id = published(settings, s3_client)
    with (
        held_open(settings.warehouse_path),
        pytest.raises(WarehouseBusyError, match=r"warehouse\.duckdb: process \d+ .*still after 0\.2 s"),
    ):
        DuckDBWarehouse(settings, wait_seconds=0.2).load(load_id)
    assert DuckDBWarehouse(settings, wait_seconds=0).load(load_id)["images"] == 4


def test_a_file_of_no_bytes_that_a_killed_process_left_is_replaced(settings, s3_client):
    load_id = published(settings, s3_client)
    settings.warehouse_path.touch()
    settings.warehouse_path.with_name(".warehouse.duckdb.tmp").write_bytes(b"half a header")
    assert DuckDBWarehouse(settings, wait_seconds=0).load(load_id)["images"] == 4
    assert not list(settings.warehouse_path.parent.glob(".warehouse*"))


def test_of_many_that_make_the_file_at_once_all_succeed(settings, s3_client):
    load_id = published(settings, s3_client)
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(DuckDBWarehouse(settings)._make) for _ in range(16)]:
            with suppress(BlockingIOError):  # another made it, or is about to
                future.result()
    assert DuckDBWarehouse(settings, wait_seconds=0).load(load_id)["images"] == 4


def test_a_file_that_is_no_duckdb_file_is_named(settings, s3_client):
    load_id = published(settings, s3_client)
    settings.warehouse_path.write_bytes(b"something else" * 1000)
    with pytest.raises(WarehouseError, match=r"warehouse\.duckdb: cannot be opened"):
        DuckDBWarehouse(settings, wait_seconds=0).load(load_id)


@pytest.mark.slow
@in_s3_too
def test_the_mirror_has_the_published_files_and_nothing_else(settings, s3_client):
    load_ids = [published(settings, s3_client, name) for name in ("run-a", "run-b")]
    mirror = FolderMirror(settings)
    for load_id in (*load_ids, load_ids[0]):
        counts = mirror.load(load_id)
    assert counts["images"] == 1
    assert counts["loads"] == 1
    folder = settings.parquet_mirror
    assert folder is not None
    assert not list(folder.rglob(".*"))
    with duckdb.connect() as connection:
        known = f"SELECT load_id FROM read_parquet('{folder}/loads/**/*.parquet')"
        images = f"read_parquet('{folder}/images/**/*.parquet')"
        assert connection.execute(f"SELECT count(*) FROM {images} WHERE load_id IN ({known})").fetchone() == (
            8,
        )


@pytest.mark.slow
def test_pandas_and_pyarrow_read_the_mirror_without_being_told_anything(settings, s3_client):
    load_ids = [published(settings, s3_client, name) for name in ("run-a", "run-b")]
    mirror = FolderMirror(settings)
    for load_id in load_ids:
        mirror.load(load_id)
    truth = published_loads.expected(settings)
    for name in ("images", "labels_l1", "labels_l2", "labels_l3", "jobs", "loads"):
        folder = settings.parquet_mirror / name
        assert published_loads.rows(pq.read_table(folder)) == published_loads.rows(truth[name])
        frame = pd.read_parquet(folder, dtype_backend="pyarrow")
        assert list(frame.columns) == TABLES[name].schema.names
        assert sorted(frame["load_id"].unique()) == sorted(load_ids)


def test_a_table_of_which_no_load_has_a_row_is_read_like_the_others(settings, s3_client):
    run = Run(settings, s3_client)
    ref = "s3://archive/clean.jpg"
    run.manifest([ref], line(ref, answer()))
    FolderMirror(settings).load(publish(settings, run.store(), run.records).load_id)
    readers = (
        lambda folder: duckdb.read_parquet(f"{folder}/*.parquet").to_arrow_table(),
        lambda folder: pl.read_parquet(f"{folder}/*.parquet").to_arrow(),
        lambda folder: pl.read_parquet(folder).to_arrow(),
        lambda folder: pa.Table.from_pandas(pd.read_parquet(folder)),
        pq.read_table,
    )
    for name, table in TABLES.items():
        for read in readers:
            found = read(settings.parquet_mirror / name)
            assert found.column_names == table.schema.names
            assert found.num_rows == {"images": 1, "jobs": 1, "loads": 1}.get(name, 0)


@pytest.mark.slow
def test_a_mirror_of_an_earlier_release_becomes_readable_where_no_load_has_a_row(settings, s3_client):
    load_ids = [published(settings, s3_client, name) for name in ("run-a", "run-b")]
    mirror = FolderMirror(settings)
    for load_id in load_ids:
        mirror.load(load_id)
    loads = published_loads.expected(settings)["loads"].to_pylist()
    assert mirror.lacks(loads) == []
    for path in settings.parquet_mirror.rglob(SCHEMA_FILE):
        path.unlink()

    (lacked,) = mirror.lacks(loads)
    mirror.load(lacked)

    assert mirror.lacks(loads) == []
    assert len(list(settings.parquet_mirror.rglob(SCHEMA_FILE))) == len(ALL_TABLES)


def test_the_mirror_shows_a_load_of_a_table_at_once_or_not_at_all(settings, s3_client, monkeypatch):
    load_id = published(settings, s3_client)
    mirror = FolderMirror(settings)
    seen = []
    replace_file = Path.replace

    def look_first(path: Path, target: Path) -> Path:
        seen.append([found.name for found in target.parent.glob("*.parquet")])
        return replace_file(path, target)

    monkeypatch.setattr(Path, "replace", look_first)
    mirror.load(load_id)
    of_the_load = [found for found in seen if found]
    assert of_the_load == [[SCHEMA_FILE]] * len(of_the_load)
    files = [path for path in settings.parquet_mirror.glob("*/*") if path.name != SCHEMA_FILE]
    assert len(of_the_load) == len(files) > 3
    assert len({file.parent for file in files}) == len(files)


@in_s3_too
def test_the_mirror_completes_a_copy_that_was_cut_off(settings, s3_client):
    load_id = published(settings, s3_client)
    mirror = FolderMirror(settings)
    mirror.load(load_id)
    assert settings.parquet_mirror is not None
    (file,) = settings.parquet_mirror.glob(f"images/{load_id}-*.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    mirror.load(load_id)
    assert file.read_bytes() == whole


def test_the_mirror_is_not_taken_in_by_a_file_of_another_load_with_as_many_rows(settings, s3_client):
    ids = [published(settings, s3_client, name) for name in ("run-a", "run-b")]
    mirror = FolderMirror(settings)
    loads = published_loads.expected(settings)["loads"].to_pylist()
    for load_id in ids:
        mirror.load(load_id)
    first, second = ((settings.parquet_mirror / "images").glob(f"{load_id}-*") for load_id in ids)
    (first,), (second,) = first, second
    body = first.read_bytes()
    first.write_bytes(second.read_bytes())
    assert mirror.lacks(loads) == [ids[0]]
    mirror.load(ids[0])
    assert mirror.lacks(loads) == []
    assert first.read_bytes() == body


def test_without_a_folder_the_mirror_says_which_variable_to_set(settings):
    with pytest.raises(WarehouseError, match="MODERATION_PARQUET_DIR"):
        FolderMirror(replace(settings, parquet_mirror=None))
