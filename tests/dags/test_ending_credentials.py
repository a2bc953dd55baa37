"""Redshift, Athena and bulk jobs by a connection with a role, whose credentials end while they work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from airflow.sdk import DAG
from botocore.credentials import RefreshableCredentials

from moderation.settings import Settings
from moderation_airflow import warehouse_tasks
from moderation_airflow.warehouse_tasks import RedshiftTarget
from rekognition.triggers import RekognitionMediaAnalysisJobCompletedTrigger
from support import airflow_runs, ending_keys, planned_runs, published_loads
from support.ending_keys import Services
from support.postgres_fixtures import postgres_server, postgres_uri
from support.redshift_on_postgres import RedshiftOnPostgres

__all__ = ["postgres_server", "postgres_uri"]  # fixtures

pytestmark = pytest.mark.usefixtures("airflow_db")
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def services(aws_env: pytest.MonkeyPatch) -> Iterator[Services]:
    """The connection `aws_default` says a role and nothing else."""
    connection = {"conn_type": "aws", "extra": {"role_arn": ending_keys.ROLE, "region_name": "us-east-1"}}
    aws_env.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    for timeout in ("_advisory_refresh_timeout", "_mandatory_refresh_timeout"):
        aws_env.setattr(RefreshableCredentials, timeout, ending_keys.RENEWED_BEFORE)
    with ending_keys.serving() as (endpoint, made):
        for service in ("STS", "REDSHIFT_DATA", "ATHENA", "REKOGNITION"):
            aws_env.setenv(f"AWS_ENDPOINT_URL_{service}", endpoint)
        yield made


@pytest.fixture
def settings(tmp_path: Path, bucket: str, aws_env: pytest.MonkeyPatch) -> Settings:
    made = planned_runs.make_settings(tmp_path, bucket, tables="s3")
    for name in ("work_uri", "tables_uri", "catalog_uri"):
        aws_env.setenv(f"MODERATION_{name.upper()}", getattr(made, name))
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    "deferrable", [pytest.param(False, id="in the worker"), pytest.param(True, id="in the triggerer")]
)
def test_athena_makes_every_view_though_the_credentials_of_each_query_end(
    services: Services, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    monkeypatch.setattr(warehouse_tasks.athena, "views_over_iceberg", lambda: ["CREATE DATABASE", "CREATE 1"])
    arguments = {"deferrable": deferrable}
    with DAG(f"athena_{deferrable}", schedule=None, start_date=START, default_args=arguments) as dag:
        warehouse_tasks.athena_setup(poll_interval=1)
    dag_run = airflow_runs.run(dag)
    assert dag_run.state == "success"
    assert [name for name, _ in services.signed].count("StartQueryExecution") == 2
    assert len(services.keys_of("GetQueryExecution")) > 1


async def test_a_wait_for_a_bulk_job_outlasts_the_credentials_that_it_began_with(services: Services) -> None:
    trigger = RekognitionMediaAnalysisJobCompletedTrigger(
        job_id="0" * 64,
        poll_interval=0.5,
        deadline=(datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
    )
    (event,) = [event async for event in trigger.run()]
    assert event.payload["status"] == "success"
    assert len(services.keys_of("GetMediaAnalysisJob")) > 1


@pytest.mark.long
@pytest.mark.parametrize(
    "deferrable", [pytest.param(False, id="in the worker"), pytest.param(True, id="in the triggerer")]
)
def test_redshift_gets_a_load_though_the_credentials_of_each_statement_end(
    services: Services, settings: Settings, postgres_uri: str, s3_client: Any, deferrable: bool
) -> None:
    cluster = RedshiftOnPostgres(postgres_uri, s3_client)
    services.answers |= {
        "BatchExecuteStatement": lambda asked: cluster.batch_execute_statement(**asked),
        "ExecuteStatement": lambda asked: cluster.execute_statement(**asked),
        "DescribeStatement": lambda asked: cluster.describe_statement(**asked),
        "GetStatementResult": lambda asked: cluster.get_statement_result(**asked),
    }
    load_id = published_loads.publish_plain(settings, s3_client, "run-a")
    target = RedshiftTarget(database="dev", workgroup_name="moderation")
    arguments = {"deferrable": deferrable}
    with DAG(f"redshift_{deferrable}", schedule=None, start_date=START, default_args=arguments) as dag:
        warehouse_tasks.redshift_load(load_id, target=target, poll_interval=1)
    dag_run = airflow_runs.run(dag)
    assert dag_run.state == "success"
    assert len(services.keys_of("DescribeStatement")) > 2
    with psycopg.connect(postgres_uri) as connection:
        assert connection.execute("SELECT count(*) FROM moderation.images").fetchone() == (6,)
