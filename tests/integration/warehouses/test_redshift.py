"""The Redshift load, statement by statement on a real PostgreSQL: whole, once, and safe to repeat.

What this cannot show is Redshift itself: its COPY is done here by the test's own code, from the real manifest
and the real files in S3, as AWS documents it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from moderation.errors import WarehouseError
from moderation.publish.commit import publish
from moderation.schema import TABLES, physical_schema
from moderation.settings import Settings
from moderation.warehouses import redshift, sql
from moderation.warehouses.redshift import RedshiftSql
from support import published_loads
from support.planned_runs import Run, answer, label, line
from support.published_loads import publish_odd, publish_plain
from support.redshift_on_postgres import RedshiftOnPostgres

SQL = RedshiftSql(iam_role="arn:aws:iam::123456789012:role/redshift")


class Cluster:
    """The stand-in with its tables made."""

    def __init__(self, settings: Settings, s3_client: Any, uri: str) -> None:
        self.settings = settings
        self.api = RedshiftOnPostgres(uri, s3_client)
        self.uri = uri
        self.set_up()

    def set_up(self) -> None:
        assert self.run(SQL.setup()) == "FINISHED"
        known = self.known()
        for statements in (SQL.add_columns(known), SQL.view(known)):
            assert not statements or self.run(statements) == "FINISHED"

    def known(self) -> dict[str, set[str]]:
        number = self.api.execute_statement(
            Database="dev", WorkgroupName="moderation", Sql=SQL.known_columns()
        )["Id"]
        found: dict[str, set[str]] = {}
        for table, column in self.api.get_statement_result(Id=number)["Records"]:
            found.setdefault(table["stringValue"], set()).add(column["stringValue"])
        return found

    def run(self, statements: list[str]) -> str:
        """As one transaction, the way BatchExecuteStatement does; returns its status."""
        number = self.api.batch_execute_statement(
            Database="dev", WorkgroupName="moderation", Sqls=statements
        )["Id"]
        return str(self.api.describe_statement(Id=number)["Status"])

    def load(self, load_id: str) -> str:
        day, copies = redshift.write_manifests(self.settings, load_id)
        return self.run(SQL.load(load_id, day, copies))

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        columns = TABLES[name].schema.names
        listed = ", ".join(f'"{column}"' for column in columns)
        with psycopg.connect(self.uri) as connection:
            connection.execute("SET TIME ZONE 'UTC'")
            found = connection.execute(f"SELECT {listed} FROM moderation.{name}")
            records = [dict(zip(columns, row, strict=True)) for row in found]
        return published_loads.rows(pa.Table.from_pylist(records, physical_schema(TABLES[name])))

    def assert_same(self) -> None:
        for name, table in published_loads.expected(self.settings).items():
            assert self.rows(name) == published_loads.rows(table), name


@pytest.fixture
def cluster(settings: Settings, s3_client: Any, postgres_uri: str) -> Cluster:
    return Cluster(settings, s3_client, postgres_uri)


@pytest.mark.slow
def test_every_row_and_bit_arrives_and_loading_or_setting_up_twice_changes_nothing(
    cluster, settings, s3_client
):
    load_ids = [publish_odd(settings, s3_client), publish_plain(settings, s3_client, "plain")]
    for load_id in (*load_ids, *load_ids):
        cluster.set_up()
        assert cluster.load(load_id) == "FINISHED"
    cluster.assert_same()
    with psycopg.connect(cluster.uri) as connection:
        levels = connection.execute("SELECT level, count(*) FROM moderation.labels GROUP BY 1 ORDER BY 1")
        assert [level for level, _ in levels] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    "dies_before",
    [
        pytest.param('COPY "moderation_staging_jobs"', marks=pytest.mark.long),
        'INSERT INTO "moderation"."labels_l2"',
        pytest.param("DELETE", marks=pytest.mark.long),  # of the same transaction as the inserts
    ],
)
def test_a_crash_anywhere_leaves_the_tables_as_they_were(dies_before, cluster, settings, s3_client):
    first, second = (publish_plain(settings, s3_client, name, images=3) for name in ("run-a", "run-b"))
    cluster.load(first)
    before = {name: cluster.rows(name) for name in TABLES}
    cluster.api.dies_before = dies_before
    assert cluster.load(second) == "FAILED"
    assert {name: cluster.rows(name) for name in TABLES} == before
    assert cluster.load(second) == "FINISHED"
    cluster.assert_same()


@pytest.mark.slow
def test_the_manifest_names_every_file_with_its_size_and_is_the_same_each_time(cluster, settings, s3_client):
    load_id = publish_odd(settings, s3_client)
    _, copies = redshift.write_manifests(settings, load_id)
    assert redshift.write_manifests(settings, load_id)[1] == copies
    for copy in copies:
        bucket, _, key = copy.manifest_uri.removeprefix("s3://").partition("/")
        entries = json.loads(s3_client.get_object(Bucket=bucket, Key=key)["Body"].read())["entries"]
        assert entries
        for entry in entries:
            bucket, _, key = entry["url"].removeprefix("s3://").partition("/")
            head = s3_client.head_object(Bucket=bucket, Key=key)
            assert entry == {
                "url": entry["url"],
                "mandatory": True,
                "meta": {"content_length": head["ContentLength"]},
            }


@pytest.mark.slow
def test_a_text_that_is_too_wide_costs_no_row_and_is_cut_between_characters(
    cluster, settings, s3_client, caplog
):
    wide, fits = "é" * 513, "é" * 512  # 1,026 and 1,024 bytes
    run = Run(settings, s3_client, name="wide")
    refs = [f"s3://archive/wide/{number}.jpg" for number in range(3)]
    names = (wide, fits, "plain")
    bodies = [answer([label(name, "", 1, 77.7)]) for name in names]
    run.manifest(refs, b"\n".join(line(ref, body) for ref, body in zip(refs, bodies, strict=True)))
    load_id = publish(settings, run.store(), run.records).load_id
    assert redshift.write_manifests(settings, load_id) == redshift.write_manifests(settings, load_id)
    assert "labels_l1.name: 1 rows have a text of more than 1,024 bytes" in caplog.text
    for _ in range(2):
        assert cluster.load(load_id) == "FINISHED"
    with psycopg.connect(cluster.uri) as connection:
        found = connection.execute(
            "SELECT name, octet_length(name) FROM moderation.labels_l1 ORDER BY line_number"
        ).fetchall()
    assert found == [("é" * 510 + "…", 1023), (fits, 1024), ("plain", 5)]
    assert wide in published_loads.expected(settings)["labels_l1"].column("name").to_pylist()


def test_columns_of_a_later_release_are_found_and_added(cluster):
    with psycopg.connect(cluster.uri) as connection:
        connection.execute("ALTER TABLE moderation.jobs DROP COLUMN anomalies")
    added = SQL.add_columns(cluster.known())
    assert added == ['ALTER TABLE "moderation"."jobs" ADD COLUMN "anomalies" BIGINT']
    assert cluster.run(added) == "FINISHED"


def test_a_label_column_of_a_later_release_is_in_the_view_too(cluster):
    """A view that names a column before the tables have it cannot be made, nor one with another column
    replaced: Redshift takes the same ones only."""
    with psycopg.connect(cluster.uri) as connection:
        connection.execute("DROP VIEW moderation.labels CASCADE")
        for level in (1, 2, 3):
            connection.execute(f"ALTER TABLE moderation.labels_l{level} DROP COLUMN model_version")
        connection.execute("CREATE VIEW moderation.labels AS SELECT 3 AS level, * FROM moderation.labels_l3")
    cluster.set_up()
    with psycopg.connect(cluster.uri) as connection:
        found = connection.execute("SELECT * FROM moderation.labels").description
    assert [column.name for column in found or []] == [*sql.LABELS_COLUMNS]
    assert SQL.view(cluster.known()) == []


def test_local_tables_and_unknown_loads_are_refused(settings, tmp_path):
    with pytest.raises(WarehouseError, match="MODERATION_TABLES_URI"):
        redshift.write_manifests(replace(settings, tables_uri=str(tmp_path)), "load")
    with pytest.raises(WarehouseError, match="'load' is not published"):
        redshift.write_manifests(settings, "load")
