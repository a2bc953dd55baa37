"""Engines that read the published tables from S3, each as its users would write it.

A reader gets the place and a table's name and answers with the rows of published loads, and with the types
that it found itself.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import s3fs
from pyarrow.fs import S3FileSystem

from moderation.query.published_views import open_published
from moderation.settings import Settings
from moderation.tables.catalog import NAMESPACE, open_catalog
from moderation.warehouses.duckdb import DuckDBWarehouse

ROOT = Path(__file__).parents[2]
DAFT_PYTHON = ROOT / ".tools" / "readers" / "bin" / "python"
"""Daft wants an older pyarrow than ours, so it has an environment of its own."""


@dataclass(frozen=True)
class Place:
    """Where the tables are and how to reach them."""

    tables_uri: str
    endpoint_url: str
    access_key: str
    secret_key: str
    settings: Settings


Reader = Callable[[Place, str], pa.Table]


def _fsspec(place: Place) -> dict[str, object]:
    return {
        "key": place.access_key,
        "secret": place.secret_key,
        "client_kwargs": {"endpoint_url": place.endpoint_url, "region_name": "us-east-1"},
        "skip_instance_cache": True,
    }


def duckdb_over_files(place: Place, name: str) -> pa.Table:
    def files(table: str) -> str:
        return f"read_parquet('{place.tables_uri}/{table}/**/*.parquet', hive_partitioning = false)"

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register_filesystem(s3fs.S3FileSystem(**_fsspec(place)))
        sql = f"SELECT * FROM {files(name)} WHERE load_id IN (SELECT load_id FROM {files('loads')})"
        return connection.sql(sql).to_arrow_table()


def duckdb_warehouse(place: Place, name: str) -> pa.Table:
    warehouse = DuckDBWarehouse(place.settings)
    loads = pyarrow_dataset(place, "loads").column("load_id").to_pylist()
    for load_id in loads:
        warehouse.load(load_id)
    with duckdb.connect(str(place.settings.warehouse_path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.table(name).to_arrow_table()


def duckdb_published(place: Place, name: str) -> pa.Table:
    with open_published(place.settings) as connection:
        return connection.table(name).to_arrow_table()


def pyarrow_dataset(place: Place, name: str) -> pa.Table:
    filesystem = S3FileSystem(
        access_key=place.access_key,
        secret_key=place.secret_key,
        endpoint_override=place.endpoint_url,
        region="us-east-1",
    )
    root = place.tables_uri.removeprefix("s3://")
    loads = ds.dataset(f"{root}/loads", filesystem=filesystem).to_table(columns=["load_id"])
    table = ds.dataset(f"{root}/{name}", filesystem=filesystem)
    return table.to_table(filter=pc.field("load_id").isin(loads.column("load_id")))


def polars_over_files(place: Place, name: str) -> pa.Table:
    options = {
        "aws_access_key_id": place.access_key,
        "aws_secret_access_key": place.secret_key,
        "aws_endpoint_url": place.endpoint_url,
        "aws_region": "us-east-1",
    }

    def scan(table: str) -> pl.LazyFrame:
        return pl.scan_parquet(
            f"{place.tables_uri}/{table}/**/*.parquet", storage_options=options, hive_partitioning=False
        )

    known = scan("loads").select("load_id")
    return scan(name).join(known, on="load_id", how="semi").collect().to_arrow()


def polars_over_iceberg(place: Place, name: str) -> pa.Table:
    with open_catalog(place.settings) as catalog:

        def scan(table: str) -> pl.LazyFrame:
            # Its native reader plans with a package of its own and warns without it.
            return pl.scan_iceberg(catalog.load_table((NAMESPACE, table)), reader_override="pyiceberg")

        known = scan("loads").select("load_id")
        return scan(name).join(known, on="load_id", how="semi").collect().to_arrow()


def pandas_over_files(place: Place, name: str) -> pa.Table:
    def read(table: str) -> pd.DataFrame:
        return pd.read_parquet(
            f"{place.tables_uri}/{table}",
            storage_options=_fsspec(place),
            partitioning=None,  # by default: "Unable to merge", for folders and files both have the column
            dtype_backend="pyarrow",
        )

    frame = read(name)
    known = read("loads")["load_id"]
    return pa.Table.from_pandas(frame[frame["load_id"].isin(known)], preserve_index=False)


def pyiceberg_scan(place: Place, name: str) -> pa.Table:
    with open_catalog(place.settings) as catalog:
        loads = catalog.load_table((NAMESPACE, "loads")).scan(selected_fields=("load_id",)).to_arrow()
        rows = catalog.load_table((NAMESPACE, name)).scan().to_arrow()
    return rows.filter(pc.is_in(rows.column("load_id"), value_set=loads.column("load_id").combine_chunks()))


def daft_over_files(place: Place, name: str) -> pa.Table:
    script = Path(__file__).with_name("read_with_daft.py")
    asked = {key: value for key, value in asdict(place).items() if isinstance(value, str)} | {"table": name}
    for _ in range(3):  # Seen once to fail and then never again; what it says the last time is reported
        done = subprocess.run(
            [str(DAFT_PYTHON), str(script)],
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=300,
            env={"DO_NOT_TRACK": "1", "DAFT_ANALYTICS_ENABLED": "0", "DAFT_PROGRESS_BAR": "0"},
            check=False,
        )
        if not done.returncode:
            break
    else:
        raise AssertionError(done.stderr.decode()[-2000:])
    with pa.ipc.open_stream(done.stdout) as stream:
        return stream.read_all()


READERS: dict[str, Reader] = {
    reader.__name__: reader
    for reader in (
        duckdb_over_files,
        duckdb_warehouse,
        duckdb_published,
        pyarrow_dataset,
        polars_over_files,
        polars_over_iceberg,
        pandas_over_files,
        pyiceberg_scan,
        daft_over_files,
    )
}
