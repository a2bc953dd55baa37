"""The Glue catalog, on moto's server: tables made, loads published and read, nothing of ours in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
import pyarrow as pa
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session
from moto.server import ThreadedMotoServer
from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.exceptions import CommitFailedException

from moderation.maintenance import compaction
from moderation.maintenance.compaction import compact
from moderation.publish import commit
from moderation.publish.commit import PublishError
from moderation.query.published_views import open_published
from moderation.schema import LOADS, TABLES, physical_schema
from moderation.settings import Settings
from moderation.storage.files import Storage
from moderation.tables.catalog import NAMESPACE, ensure_tables, open_catalog
from moderation.tables.published import loads_in
from moderation.tables.swap import data_files
from moderation.warehouses.duckdb import DuckDBWarehouse
from support import published_loads
from support.killed import killed_at
from support.published_loads import publish_odd, publish_plain


@pytest.fixture(scope="module")
def glue_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def glue(settings: Settings, glue_endpoint: str, aws_env: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings of a Glue catalog that has nothing in it."""
    aws_env.setenv("AWS_ENDPOINT_URL_GLUE", glue_endpoint)
    yield replace(settings, catalog_uri="glue")
    client = boto3.client("glue", endpoint_url=glue_endpoint, region_name="us-east-1")
    for database in client.get_databases()["DatabaseList"]:
        for table in client.get_tables(DatabaseName=database["Name"])["TableList"]:
            client.delete_table(DatabaseName=database["Name"], Name=table["Name"])
        client.delete_database(Name=database["Name"])
    client.close()


@pytest.mark.slow
def test_loads_are_published_into_glue_and_read_from_it_bit_for_bit(glue, s3_client, tmp_path, settings):
    load_ids = [publish_odd(glue, s3_client), publish_plain(glue, s3_client, "plain")]
    publish_odd(glue, s3_client)  # again: the same load, once
    with open_catalog(glue) as catalog:
        assert isinstance(catalog, GlueCatalog)
        assert sorted(loads_in(catalog).column("load_id").to_pylist()) == sorted(load_ids)
        for name, table in published_loads.expected(glue).items():
            scanned = catalog.load_table((NAMESPACE, name)).scan().to_arrow().cast(table.schema)
            assert published_loads.rows(scanned) == published_loads.rows(table), name
    assert DuckDBWarehouse(glue).load(load_ids[0])["images"] == 11


def test_glue_shows_athena_tables_that_it_can_read(glue, glue_endpoint, s3_client):
    """What Athena looks at: table type, where the metadata is, columns in order, and how files match them."""
    with open_catalog(glue) as catalog:
        tables = ensure_tables(catalog, glue)
    client = boto3.client("glue", endpoint_url=glue_endpoint, region_name="us-east-1")
    for name, table in tables.items():
        shown = client.get_table(DatabaseName=NAMESPACE, Name=name)["Table"]
        assert shown["TableType"] == "EXTERNAL_TABLE"
        assert shown["Parameters"]["table_type"] == "ICEBERG"
        assert shown["Parameters"]["metadata_location"] == table.metadata_location
        columns = [column["Name"] for column in shown["StorageDescriptor"]["Columns"]]
        assert columns == TABLES[name].schema.names
        assert "schema.name-mapping.default" in table.properties  # the files have no field ids
    client.close()


@pytest.mark.slow
def test_a_commit_against_a_table_that_moved_on_is_refused(glue):
    schema = physical_schema(LOADS)
    row = {field.name: 0 for field in schema if pa.types.is_integer(field.type)} | {"cost_usd": 0.0}
    row |= dict.fromkeys(("load_id", "run_key", "digest"), "x") | {"dt": date(2026, 11, 22)}
    rows = pa.Table.from_pylist([row], schema)
    with open_catalog(glue) as one, open_catalog(glue) as other:
        stale = ensure_tables(one, glue)["loads"]
        other.load_table((NAMESPACE, "loads")).append(rows)
        with pytest.raises(CommitFailedException):
            stale.append(rows)
        assert loads_in(one).num_rows == 1


@pytest.mark.long  # in Glue the answer that is lost, below, is what another catalog does not show
@pytest.mark.parametrize("step", ["added images", "uploaded loads"])
def test_a_publish_killed_at_a_step_ends_with_the_same_rows_in_glue(step, glue, s3_client):
    with killed_at(step, commit):
        publish_plain(glue, s3_client, "run-a")
    with open_catalog(glue) as catalog:
        assert loads_in(catalog).num_rows == 0
    publish_plain(glue, s3_client, "run-a")
    assert {name: table.num_rows for name, table in published_loads.expected(glue).items()} == {
        "images": 6, "labels_l1": 6, "labels_l2": 6, "labels_l3": 6, "jobs": 1, "anomalies": 0, "loads": 1,
    }  # fmt: skip


@contextmanager
def _answer_lost(table: str, status: int | None) -> Iterator[list[str]]:
    """The first commit to a table lands, and nobody is told.

    moto does not look at VersionId: a repetition gets here what AWS answers to a version that was replaced.

    :param status: of the answer that comes instead; None for a connection that breaks.
    :returns: what became of each request, in their order.
    """
    done: list[str] = []
    versions: list[str] = []

    def before_send(request: Any, **_: Any) -> AWSResponse | None:
        body = json.loads(request.body)
        if body["TableInput"]["Name"] != table:
            return None
        if body["VersionId"] in versions:
            done.append("refused")
            return _answer(request.url, 400, "ConcurrentModificationException")
        if done:
            return None
        done.append("landed")
        versions.append(body["VersionId"])
        URLLib3Session().send(request)
        if status is None:
            raise ConnectionClosedError(endpoint_url=request.url)
        return _answer(request.url, status, "InternalServiceException")

    create = botocore.session.Session.create_client

    def create_client(self: Any, *arguments: Any, **keywords: Any) -> Any:
        client = create(self, *arguments, **keywords)
        client.meta.events.register("before-send.glue.UpdateTable", before_send)
        return client

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session.Session, "create_client", create_client)
        yield done


def _answer(url: str, status: int, code: str) -> AWSResponse:
    body = json.dumps({"__type": code, "Message": "in a test"}).encode()
    return AWSResponse(url, status, {}, SimpleNamespace(stream=lambda: iter([body])))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "status"), [pytest.param("images", 500, marks=pytest.mark.long), ("loads", None)]
)
def test_a_commit_whose_answer_is_lost_harms_no_table_and_a_rerun_publishes_once(
    table, status, glue, s3_client
):
    """boto3 repeats requests of its own accord, Glue refuses the repetition of one that landed, and whoever
    takes that for a failure removes the files that the table names by now."""
    publish_plain(glue, s3_client, "before")
    with _answer_lost(table, status) as done, pytest.raises(PublishError, match="run again"):
        publish_plain(glue, s3_client, "run-a")
    assert done == ["landed"]
    publish_plain(glue, s3_client, "run-a")
    found = {name: rows.num_rows for name, rows in published_loads.expected(glue).items()}
    assert found == {
        "images": 12, "labels_l1": 12, "labels_l2": 12, "labels_l3": 12,
        "jobs": 2, "anomalies": 0, "loads": 2,
    }  # fmt: skip


def _current_files(settings: Settings) -> dict[str, list[str]]:
    with open_catalog(settings) as catalog:
        return {
            name: [file.file_path for file in data_files(catalog.load_table((NAMESPACE, name)))]
            for name in TABLES
        }


@pytest.mark.long
def test_compaction_in_glue_keeps_every_row_and_every_file_that_a_kept_snapshot_needs(glue, s3_client):
    load_ids = [publish_plain(glue, s3_client, f"run-{number}") for number in range(3)]
    truth = {name: published_loads.rows(table) for name, table in published_loads.expected(glue).items()}
    with open_catalog(glue) as catalog:
        reader = catalog.load_table((NAMESPACE, "images"))  # a query that began before
    replaced = _current_files(glue)["images"]
    done = {table.table: table for table in compact(glue, orphan_age=timedelta(0))}
    assert (done["images"].merged, done["images"].written) == (3, 1)
    assert reader.scan().to_arrow().num_rows == 18
    with open_catalog(glue) as catalog:
        table = catalog.load_table((NAMESPACE, "images"))
        before = table.snapshots()[-2].snapshot_id
        assert table.scan(snapshot_id=before).to_arrow().num_rows == 18

    later = publish_plain(glue, s3_client, "later")
    done = {table.table: table for table in compact(glue, keep=timedelta(0), orphan_age=timedelta(0))}
    assert done["images"].expired > 0
    assert done["images"].removed > 0
    with Storage(glue) as storage:
        assert not any(storage.written_at(uri) for uri in replaced)
        assert all(storage.written_at(uri) for uris in _current_files(glue).values() for uri in uris)
    found = {name: published_loads.rows(table) for name, table in published_loads.expected(glue).items()}
    assert all(set(map(repr, truth[name])) <= set(map(repr, found[name])) for name in truth)
    with open_published(glue) as connection:
        ids = connection.execute("SELECT DISTINCT load_id FROM images ORDER BY 1").fetchall()
    assert [load_id for (load_id,) in ids] == sorted([*load_ids, later])
    assert DuckDBWarehouse(glue).load(load_ids[0])["images"] == 6


@pytest.mark.long
def test_a_publish_into_glue_during_a_compaction_loses_nothing(glue, s3_client, monkeypatch):
    for number in range(2):
        publish_plain(glue, s3_client, f"run-{number}")
    published: list[str] = []

    def reached(step: str) -> None:
        if step == "uploaded images" and not published:
            published.append(publish_plain(glue, s3_client, "meanwhile"))

    monkeypatch.setattr(compaction, "reached", reached)
    done = {table.table: table for table in compact(glue)}
    assert published
    assert done["images"].merged == 2
    found = published_loads.expected(glue)
    assert {name: found[name].num_rows for name in ("images", "labels_l3", "loads")} == {
        "images": 18, "labels_l3": 18, "loads": 3,
    }  # fmt: skip
