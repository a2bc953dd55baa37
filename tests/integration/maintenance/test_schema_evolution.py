"""What a later release of the schema means for files, tables and warehouses that an earlier one wrote."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moderation import schema
from moderation.maintenance.compaction import compact
from moderation.maintenance.rebuild import RebuildError, rebuild
from moderation.query.published_views import open_published
from moderation.schema import TableSpec
from moderation.settings import Settings
from moderation.tables import standing
from moderation.tables.catalog import NAMESPACE, load_table, open_catalog
from moderation.tables.published import published_images
from moderation.tables.swap import data_files
from moderation.warehouses import load_files
from moderation.warehouses.duckdb import DuckDBWarehouse
from moderation.warehouses.folder import FolderMirror
from support.published_loads import publish_plain

NEW = "shutter_seconds"


@contextmanager
def later_release(monkeypatch: pytest.MonkeyPatch) -> Iterator[TableSpec]:
    """The schema with one more column at the end of `images`, as a later release would have it."""
    column = pa.field(NEW, pa.float64(), metadata={"doc": "New.", "unit": "s", "example": "0.1"})
    later = replace(schema.IMAGES, schema=schema.IMAGES.schema.append(column))
    former = schema.IMAGES
    with monkeypatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("moderation.") and getattr(module, "IMAGES", None) is former:
                patch.setattr(module, "IMAGES", later)
        patch.setitem(schema.TABLES, "images", later)
        patch.setitem(standing.ALL_TABLES, "images", later)
        yield later


def load_everywhere(settings: Settings, load_id: str) -> None:
    for warehouse in (DuckDBWarehouse(settings), FolderMirror(settings)):
        warehouse.load(load_id)


@pytest.mark.slow
@pytest.mark.parametrize(
    "compacted",
    [pytest.param(False, id="as published", marks=pytest.mark.long), pytest.param(True, id="compacted")],
)
def test_a_new_column_leaves_old_files_readable_and_new_ones_loadable(
    local_settings, s3_client, monkeypatch, compacted
):
    settings = local_settings
    old = publish_plain(settings, s3_client, "old")
    load_everywhere(settings, old)
    with later_release(monkeypatch) as images:
        new = publish_plain(settings, s3_client, "new")
        if compacted:
            compact(settings)
        found = published_images(settings, ["load_id", NEW])
        assert sorted(found.column("load_id").to_pylist()) == sorted([old] * 6 + [new] * 6)
        with open_catalog(settings) as catalog:
            table = load_table(catalog, images)
            assert table is not None
            assert [entry.name for entry in table.schema().fields][-1] == NEW
            assert table.scan().to_arrow().num_rows == 12
            for load in ({"load_id": load_id, "dt": day(table)} for load_id in (old, new)):
                batches = list(load_files.read_load(catalog, images, load))
                assert sum(batch.num_rows for batch in batches) == 6
                assert batches[0].schema.names == images.schema.names
        for load_id in (old, new):
            load_everywhere(settings, load_id)
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
        sql = f"SELECT count(*), count(DISTINCT load_id), count({NEW}) FROM images"
        assert connection.execute(sql).fetchone() == (12, 2, 0)
    assert settings.parquet_mirror is not None
    folder = settings.parquet_mirror / "images"
    plain = {
        "pyarrow": pq.read_table(folder),
        "pandas": pa.Table.from_pandas(pd.read_parquet(folder, dtype_backend="pyarrow")),
        "polars": pl.read_parquet(f"{folder}/*.parquet").to_arrow(),
        "duckdb": duckdb.sql(f"FROM '{folder}/*.parquet'").to_arrow_table(),
    }
    for engine, found in plain.items():
        assert found.schema.names == images.schema.names, engine
        assert (found.num_rows, found.column(NEW).null_count) == (12, 12), engine


@pytest.mark.slow
@pytest.mark.parametrize(
    "compacted",
    [pytest.param(False, id="as published", marks=pytest.mark.long), pytest.param(True, id="compacted")],
)
def test_readers_of_the_published_tables_find_a_new_column_in_old_and_new_files(
    settings, s3_client, monkeypatch, compacted
):
    old = publish_plain(settings, s3_client, "old")
    with later_release(monkeypatch) as images:
        with open_published(settings) as connection:  # before this release has published anything
            nothing_yet = connection.execute(f"SELECT count(*), count({NEW}) FROM images").fetchone()
        assert nothing_yet == (6, 0)
        new = publish_plain(settings, s3_client, "new")
        if compacted:
            compact(settings)
        with open_published(settings) as connection:
            views = connection.table("images").to_arrow_table()
            one_load = connection.execute("SELECT count(*) FROM labels").fetchone()
        with open_catalog(settings) as catalog:
            table = catalog.load_table((NAMESPACE, "images"))
            found = {
                "views": views,
                "pyiceberg": table.scan().to_arrow(),
                "polars": pl.scan_iceberg(table, reader_override="pyiceberg").collect().to_arrow(),
            }
        assert one_load == (36,)
        for engine, rows in found.items():
            assert rows.schema.names == images.schema.names, engine
            assert (rows.num_rows, rows.column(NEW).null_count) == (12, 12), engine
            assert set(rows.column("load_id").to_pylist()) == {old, new}, engine


@pytest.mark.slow
def test_the_earlier_release_still_reads_what_a_later_one_wrote(local_settings, s3_client, monkeypatch):
    settings = local_settings
    with later_release(monkeypatch):
        new = publish_plain(settings, s3_client, "new")
    old = publish_plain(settings, s3_client, "old")
    images = published_images(settings, schema.IMAGES.schema.names)
    assert sorted(images.column("load_id").to_pylist()) == sorted([old] * 6 + [new] * 6)
    for load_id in (old, new):
        load_everywhere(settings, load_id)


def day(table: Any) -> Any:
    return table.scan(selected_fields=("dt",)).to_arrow().column("dt")[0].as_py()


@pytest.mark.slow
def test_the_earlier_release_never_writes_rows_again_without_a_later_ones_columns(
    local_settings, s3_client, monkeypatch
):
    """A deployment that was rolled back goes on compacting; what it does not know would be gone for good."""
    settings = local_settings
    with later_release(monkeypatch):
        for name in ("one", "two"):
            publish_plain(settings, s3_client, name)
    with open_catalog(settings) as catalog:
        before = {file.file_path for file in data_files(catalog.load_table((NAMESPACE, "images")))}
    done = {table.table: table.merged for table in compact(settings)}
    assert (done["images"], done["labels_l3"]) == (0, 2)
    with pytest.raises(RebuildError, match=f"images has columns of a later release .{NEW}"):
        rebuild(settings)
    with open_catalog(settings) as catalog:
        assert {file.file_path for file in data_files(catalog.load_table((NAMESPACE, "images")))} == before
