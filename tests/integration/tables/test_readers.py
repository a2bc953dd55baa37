"""One suite, many engines: whoever reads the published tables from S3 gets the same rows, bit for bit.

All leave out loads that `loads` does not have. Where an engine's types are not ours is written down in
`DEVIATIONS`; where an engine answers otherwise than the others, in a test of its own.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.config import Config
from pyarrow.fs import S3FileSystem

from local_aws.seaweedfs import Credentials, SeaweedFS
from moderation.publish import commit
from moderation.schema import TABLES, physical_schema
from support import planned_runs, published_loads, readers
from support.killed import killed_at
from support.readers import READERS, Place

DATA_TABLES = ("images", "labels_l1", "labels_l2", "labels_l3")
EACH_TABLE = [
    pytest.param(name, marks=pytest.mark.long if name in ("labels_l1", "labels_l2") else ())
    for name in DATA_TABLES
]
"""The tables of labels differ in their columns alone; the short suite reads the one that has all of them."""

DEVIATIONS = {  # texts with 64-bit offsets in Arrow: the same texts
    "polars_over_files": {pa.string(): pa.large_string()},
    "polars_over_iceberg": {pa.string(): pa.large_string()},
    "daft_over_files": {pa.string(): pa.large_string()},
}


@pytest.fixture(scope="module")
def s3(s3_server: SeaweedFS, credentials: Credentials) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", credentials.access_key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", credentials.secret_key)
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint_url)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        client = boto3.session.Session().client(
            "s3", endpoint_url=s3_server.endpoint_url, config=Config(s3={"addressing_style": "path"})
        )
        yield client
        client.close()


def _place(folder: Path, s3: Any, server: SeaweedFS, credentials: Credentials) -> Place:
    bucket = f"test-{uuid.uuid4().hex[:16]}"
    s3.create_bucket(Bucket=bucket)
    settings = planned_runs.make_settings(folder, bucket, tables="s3")
    return Place(
        settings.tables_uri, server.endpoint_url, credentials.access_key, credentials.secret_key, settings
    )


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, s3: Any, s3_server: SeaweedFS, credentials: Credentials
) -> Place:
    """Two published loads, and one whose publish died with all its data in the tables."""
    made = _place(tmp_path_factory.mktemp("readers"), s3, s3_server, credentials)
    published_loads.publish_odd(made.settings, s3)
    published_loads.publish_plain(made.settings, s3, "plain", images=40)
    with killed_at("added anomalies", commit):
        published_loads.publish_plain(made.settings, s3, "died")
    return made


def digest(table: pa.Table) -> str:
    """SHA-256 of the rows in an order of their own, every bit of every value included."""
    whole = hashlib.sha256()
    for row in published_loads.rows(table):
        whole.update(repr(row).encode())
    return whole.hexdigest()


@pytest.fixture(scope="module")
def digests(place: Place) -> dict[str, str]:
    """Of the rows that were published, read file by file."""
    expected = published_loads.expected(place.settings)
    assert expected["images"].num_rows == 51
    return {name: digest(table) for name, table in expected.items()}


@pytest.mark.parametrize("table", EACH_TABLE)
@pytest.mark.parametrize("reader", READERS)
def test_every_engine_gives_the_same_rows(reader, table, place, digests):
    if reader == "daft_over_files" and not readers.DAFT_PYTHON.exists():
        pytest.skip("Daft has an environment of its own: run `make readers`")
    found = READERS[reader](place, table)
    schema = physical_schema(TABLES[table])
    theirs = DEVIATIONS.get(reader, {})
    assert [(field.name, field.type) for field in found.schema] == [
        (field.name, theirs.get(field.type, field.type)) for field in schema
    ]
    assert digest(found.cast(schema)) == digests[table]


@pytest.fixture
def filesystem(place: Place) -> S3FileSystem:
    return S3FileSystem(
        access_key=place.access_key,
        secret_key=place.secret_key,
        endpoint_override=place.endpoint_url,
        region="us-east-1",
    )


def test_pyarrow_and_pandas_must_be_told_to_leave_folder_names_alone(place, filesystem):
    """They alone refuse a column that is in the folder's name and in the file; the others take one."""
    folder = f"{place.tables_uri.removeprefix('s3://')}/labels_l3"
    with pytest.raises(pa.ArrowTypeError, match="Unable to merge"):
        pq.read_table(folder, filesystem=filesystem)
    with pytest.raises(pa.ArrowTypeError, match="Unable to merge"):
        pd.read_parquet(folder, filesystem=filesystem)
    assert pq.read_table(folder, filesystem=filesystem, partitioning=None).num_rows > 0


def test_pandas_alone_shows_days_as_objects_and_counts_with_nulls_as_doubles(place, filesystem):
    """Without ``dtype_backend="pyarrow"``."""
    folder = f"{place.tables_uri.removeprefix('s3://')}/images"
    types = pd.read_parquet(folder, filesystem=filesystem, partitioning=None).dtypes
    assert types["dt"].kind == "O"
    assert types["line_number"] == "float64"  # a rejected input has none
    assert types["max_confidence"] == "float64"


@pytest.mark.slow
def test_a_publish_that_died_at_its_last_step_is_seen_early_by_readers_of_plain_files_alone(
    tmp_path, s3, s3_server, credentials
):
    """The file of `loads` is there, its commit is not. Run again, all agree."""
    place = _place(tmp_path, s3, s3_server, credentials)
    published_loads.publish_plain(place.settings, s3, "first")
    with killed_at("uploaded loads", commit):
        published_loads.publish_plain(place.settings, s3, "second")
    assert readers.pyiceberg_scan(place, "images").num_rows == 6
    assert readers.pyarrow_dataset(place, "images").num_rows == 12
    published_loads.publish_plain(place.settings, s3, "second")
    for reader in (readers.pyiceberg_scan, readers.pyarrow_dataset, readers.duckdb_over_files):
        assert reader(place, "images").num_rows == 12
