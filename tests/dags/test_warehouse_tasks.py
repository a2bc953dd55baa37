"""The task groups for Redshift and Athena inside real Dag runs."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.dagrun import DagRun
from airflow.providers.amazon.aws.hooks.redshift_data import RedshiftDataHook
from airflow.sdk import DAG

from moderation import stages
from moderation.review.state.open import open_state
from moderation.settings import Settings
from moderation.warehouses import athena
from moderation.warehouses.postgres import PostgresWarehouse
from moderation_airflow import warehouse_tasks
from moderation_airflow.connections import connection_uri
from moderation_airflow.warehouse_tasks import RedshiftTarget
from support import airflow_runs, moderation_runs, planned_runs, published_loads
from support.postgres_fixtures import postgres_server, postgres_uri
from support.redshift_on_postgres import RedshiftOnPostgres
from support.said import said

__all__ = ["postgres_server", "postgres_uri"]  # fixtures

pytestmark = pytest.mark.usefixtures("airflow_db")
_numbers = itertools.count()
TARGET = RedshiftTarget(database="dev", workgroup_name="moderation")


@pytest.fixture
def settings(tmp_path: Path, bucket: str, aws_env: pytest.MonkeyPatch) -> Settings:
    made = planned_runs.make_settings(tmp_path, bucket, tables="s3")
    for name in ("work_uri", "tables_uri", "catalog_uri"):
        aws_env.setenv(f"MODERATION_{name.upper()}", getattr(made, name))
    return made


@pytest.fixture
def redshift(monkeypatch: pytest.MonkeyPatch, postgres_uri: str, s3_client: Any) -> RedshiftOnPostgres:
    stand_in = RedshiftOnPostgres(postgres_uri, s3_client)
    monkeypatch.setattr(RedshiftDataHook, "conn", stand_in)
    return stand_in


def run(load_id: str | None) -> tuple[DAG, DagRun]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with DAG(f"warehouse_tasks_{next(_numbers)}", schedule=None, start_date=start) as dag:
        warehouse_tasks.redshift_load(load_id, target=TARGET, poll_interval=1)
    return dag, airflow_runs.run(dag)


def state(dag_run: DagRun, task_id: str) -> str:
    (instance,) = airflow_runs.instances(dag_run, task_id)
    return str(instance.state)


def count(uri: str, table: str) -> int:
    with psycopg.connect(uri) as connection:
        (number,) = connection.execute(f"SELECT count(*) FROM moderation.{table}").fetchone() or (0,)
        return int(number)


@pytest.mark.slow
def test_a_load_reaches_redshift_and_clearing_any_task_changes_nothing(
    settings, redshift, s3_client, postgres_uri
):
    load_id = published_loads.publish_plain(settings, s3_client, "run-a")
    dag, dag_run = run(load_id)
    for task_id in ("redshift.setup", "redshift.statements", "redshift.merge"):
        assert state(dag_run, task_id) == "success"
        ran = len(redshift.batches)
        airflow_runs.clear_and_run(dag, dag_run, task_id)
        assert len(redshift.batches) > ran, "cleared, it is sent again"
        assert (count(postgres_uri, "images"), count(postgres_uri, "loads")) == (6, 1)
    assert count(postgres_uri, "labels") == 18


@pytest.mark.long  # the same merge without a Dag, and clearing in the test above
def test_a_merge_that_redshift_breaks_off_leaves_nothing_and_is_cleared(
    settings, redshift, s3_client, postgres_uri
):
    load_id = published_loads.publish_plain(settings, s3_client, "run-a")
    redshift.dies_before = 'INSERT INTO "moderation"."jobs"'
    dag, dag_run = run(load_id)
    assert state(dag_run, "redshift.merge") == "failed"
    assert count(postgres_uri, "images") == 0
    airflow_runs.clear_and_run(dag, dag_run, "redshift.merge")
    assert state(dag_run, "redshift.merge") == "success"
    assert (count(postgres_uri, "images"), count(postgres_uri, "loads")) == (6, 1)


def test_a_run_without_a_load_skips_redshift(redshift, settings):
    _, dag_run = run(None)
    assert state(dag_run, "redshift.statements") == "skipped"
    assert state(dag_run, "redshift.merge") == "skipped"


@pytest.mark.slow
@pytest.mark.parametrize(
    "with_a_load",
    [pytest.param(True, id="a load", marks=pytest.mark.long), pytest.param(False, id="nothing new")],
)
def test_a_run_brings_in_whatever_else_redshift_lacks(
    settings, redshift, s3_client, postgres_uri, with_a_load
):
    load_ids = [published_loads.publish_plain(settings, s3_client, f"run-{n}", images=2) for n in range(2)]
    _, dag_run = run(load_ids[1] if with_a_load else None)
    assert state(dag_run, "redshift.lacking") == "success"
    assert (count(postgres_uri, "images"), count(postgres_uri, "loads")) == (4, 2)


@pytest.mark.slow
def test_what_people_decided_reaches_redshift_whole_also_when_no_load_is_new(
    settings, redshift, postgres_uri, tmp_path
):
    log = open_state(str(tmp_path / "review.db"))
    for number in (1, 2):
        log.log.append([said("present", content=f"c{number}", note='it\'s "ü"')])
        stages.publish_verdicts(log, settings=settings)
        _, dag_run = run(None)
        assert state(dag_run, "redshift.standing") == "success"
        assert count(postgres_uri, "verdicts") == number
    log.close()
    assert count(postgres_uri, "review_numbers") == 0


def moderated_images_asset() -> str:
    (outlet,) = moderation_runs.read_dag().get_task("publish").outlets
    return str(outlet.name)


def examples() -> dict[str, DAG]:
    bag = DagBag(str(Path(__file__).parents[2] / "examples" / "warehouses.py"))
    assert not bag.import_errors
    return bag.dags


@pytest.mark.slow
def test_the_example_dag_brings_a_load_into_redshift(settings, redshift, s3_client, postgres_uri):
    load_id = published_loads.publish_plain(settings, s3_client, "run-a")
    dag_run = airflow_runs.run(examples()["load_into_redshift"], run_conf={"load_id": load_id})
    assert state(dag_run, "each.redshift.merge") == "success"
    assert (count(postgres_uri, "images"), count(postgres_uri, "loads")) == (6, 1)


def test_the_example_dag_follows_every_publish_that_started_its_run():
    published = examples()["load_into_redshift"].get_task("published").python_callable
    events = [SimpleNamespace(extra={"load_id": name}) for name in ("b", "a", "b")]
    assert published(triggering_asset_events={"moderated_images": events}) == ["a", "b"]
    assert published(params={"load_id": None}) == []
    verdicts = [SimpleNamespace(extra={"rows": 2})]
    assert published(triggering_asset_events={"verdicts": verdicts}) == [None]
    assert published(triggering_asset_events={"verdicts": verdicts, "moderated_images": events}) == ["a", "b"]
    followed = examples()["load_into_redshift"].timetable.asset_condition.objects
    assert [asset.name for asset in followed] == [moderated_images_asset(), "verdicts"]


@pytest.mark.parametrize("both", [{}, {"workgroup_name": "w", "cluster_identifier": "c"}])
def test_a_target_is_one_workgroup_or_one_cluster(both):
    with pytest.raises(ValueError, match="workgroup_name or cluster_identifier"):
        RedshiftTarget(database="dev", **both)


def test_athena_gets_every_statement_databases_first():
    with DAG("athena", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        warehouse_tasks.athena_setup(output_location="s3://bucket/athena")
    texts = []
    for task in dag.topological_sort():
        mapped = getattr(task, "expand_input", None)
        texts += mapped.value["query"] if mapped else [task.query]
    assert texts == athena.views_over_iceberg()


def test_an_airflow_connection_becomes_a_uri_that_postgresql_takes(
    settings,
    s3_client,
    postgres_server,
    monkeypatch,
):
    load_id = published_loads.publish_plain(settings, s3_client, "run-a", images=2)
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE",
        '{"conn_type": "postgres", "login": "owner", "password": "p@ss:w/ord", "host": "127.0.0.1", '
        f'"port": {postgres_server.port}, "schema": "postgres", "extra": {{"connect_timeout": 5}}}}',
    )
    uri = connection_uri("warehouse")
    assert uri.endswith("/postgres?connect_timeout=5")
    schema = f"connection_{next(_numbers)}"
    assert PostgresWarehouse(settings, uri, schema=schema).load(load_id)["images"] == 2


@pytest.mark.slow
def test_the_dag_loads_into_the_connection_that_the_settings_name(
    settings, s3_client, postgres_server, monkeypatch
):
    load_id = published_loads.publish_plain(settings, s3_client, "run-a", images=2)
    schema = f"Größe {next(_numbers)}"
    connection = {
        "conn_type": "postgres",
        "login": "owner",
        "password": "p@ss:w/ord",
        "host": "127.0.0.1",
        "port": postgres_server.port,
        "schema": "postgres",
        "extra": {"connect_timeout": 5, "options": "-c statement_timeout=60s", "schema": schema},
    }
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    monkeypatch.setenv("MODERATION_WAREHOUSES", "airflow:warehouse")
    load = moderation_runs.read_dag().get_task("load")
    assert load.python_callable(load_id) == [load_id]
    uri, _, _ = connection_uri("warehouse").partition("?")
    with psycopg.connect(uri) as session:
        assert session.execute(f'SELECT count(*) FROM "{schema}".images').fetchone() == (2,)


def test_a_connection_of_another_kind_is_refused(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", '{"conn_type": "mysql", "host": "h", "password": "s3cret"}')
    with pytest.raises(ValueError, match="'mysql'; expected postgres") as caught:
        connection_uri("other")
    assert "s3cret" not in str(caught.value)
