"""The operator and the sensor against the offline Rekognition and a real S3, as `make run` uses them."""

from __future__ import annotations

import itertools
import runpy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from local_aws.rekognition import launch
from local_aws.rekognition.launch import Rekognition
from local_aws.seaweedfs import Credentials, SeaweedFS
from rekognition import exceptions
from rekognition.hooks import RekognitionHook
from rekognition.operators import RekognitionStartMediaAnalysisJobOperator
from rekognition.sensors import RekognitionMediaAnalysisJobSensor
from support import airflow_runs
from support import rekognition_server as offline
from support.airflow_home import REPOSITORY
from support.each_once import each_once

pytestmark = pytest.mark.usefixtures("airflow_db")
_numbers = itertools.count()
MODES: dict[str, dict[str, Any]] = {"sync": {"deferrable": False}, "deferrable": {"deferrable": True}}
each_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(scope="session")
def offline_server(
    tmp_path_factory: pytest.TempPathFactory, s3_server: SeaweedFS, credentials: Credentials
) -> Iterator[Rekognition]:
    folder = tmp_path_factory.mktemp("rekognition")
    settings = offline.quick(created_seconds=0.1, queued_seconds=0.1)
    with launch.start(
        folder, credentials, s3_server.endpoint_url, settings=settings, python_path=[offline.TESTS]
    ) as server:
        yield server


@pytest.fixture
def server(
    monkeypatch: pytest.MonkeyPatch, aws_env: pytest.MonkeyPatch, offline_server: Rekognition
) -> Rekognition:
    monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", offline_server.endpoint_url)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", '{"conn_type": "aws"}')
    return offline_server


@pytest.fixture
def manifests(s3_client: Any, bucket: str) -> list[dict[str, str]]:
    """Three manifests, one below a key that needs quoting in an address."""
    keys = ["manifests/1.jsonl", "manifests/2.jsonl", "manifests/drei # ü %20.jsonl"]
    for key in keys:
        offline.put_manifest(s3_client, bucket, [f"s3://{bucket}/no-such-image.jpg"], key)
    return [
        {"input_uri": f"s3://{bucket}/{key}", "output_uri": f"s3://{bucket}/out/{n}/", "job_name": f"m{n}"}
        for n, key in enumerate(keys)
    ]


def make_dag(mode: str, manifests: list[dict[str, str]], errors: list[BaseException], **kwargs: Any) -> DAG:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with DAG(f"rekognition_offline_{next(_numbers)}", schedule=None, start_date=start) as dag:
        RekognitionStartMediaAnalysisJobOperator.partial(
            **{
                "task_id": "analyse",
                "min_confidence": 50,
                "poll_interval": timedelta(milliseconds=100),
                "retries": 2,
                "retry_delay": timedelta(0),
                "on_retry_callback": lambda context: errors.append(context["exception"]),
                "on_failure_callback": lambda context: errors.append(context["exception"]),
                **MODES[mode],
                **kwargs,
            }
        ).expand_kwargs(manifests)
    return dag


def job_of(job_id: str) -> dict[str, Any]:
    hook = RekognitionHook()
    try:
        return hook.describe_job(job_id)
    finally:
        hook.conn.close()


@pytest.mark.slow
@each_mode
def test_each_manifest_ends_as_a_job_with_results(
    mode: str, server: Rekognition, manifests: list[dict[str, str]], s3_client: Any
) -> None:
    errors: list[BaseException] = []
    run = airflow_runs.run(make_dag(mode, manifests, errors))
    assert (run.state, errors) == ("success", [])
    job_ids = airflow_runs.returned(run, "analyse")
    assert len(set(job_ids)) == 3
    for manifest, job_id in zip(manifests, job_ids, strict=True):
        job = job_of(job_id)
        assert job["Status"] == "SUCCEEDED"
        assert manifest["input_uri"].endswith(job["Input"]["S3Object"]["Name"])
        assert job["JobName"].startswith(f"{manifest['job_name']}-g1-")
        assert offline.output(s3_client, job, "ManifestSummary")


@pytest.mark.slow
@each_mode
def test_a_lost_answer_leaves_one_job(
    mode: str, server: Rekognition, manifests: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    rule = {"kind": "lost_answer", "operation": "StartMediaAnalysisJob", "count": 1}
    errors: list[BaseException] = []
    before = {job["job_id"] for job in offline.local(server, "/jobs")[1]["jobs"]}
    with offline.faults(server, rule):
        run = airflow_runs.run(make_dag(mode, manifests[:1], errors))
    assert run.state == "success"
    after = {job["job_id"] for job in offline.local(server, "/jobs")[1]["jobs"]}
    assert list(after - before) == airflow_runs.returned(run, "analyse")


@pytest.mark.slow
@each_once("mode, code", [*MODES], ["INVALID_MANIFEST", "INTERNAL_ERROR"])
def test_the_failure_of_a_job_reaches_the_task(
    mode: str, code: str, server: Rekognition, manifests: list[dict[str, str]]
) -> None:
    errors: list[BaseException] = []
    with offline.faults(server, {"kind": "job_failed", "failure_code": code, "count": 1}):
        run = airflow_runs.run(make_dag(mode, manifests[:1], errors))
    (instance,) = airflow_runs.instances(run, "analyse")
    assert instance.try_number == (1 if code == "INVALID_MANIFEST" else 2)
    (error,) = errors
    assert isinstance(error, exceptions.RekognitionMediaAnalysisJobFailed)
    assert error.code == code
    assert error.job_id is not None
    assert job_of(error.job_id)["FailureDetails"] == {"Code": code, "Message": error.message}


@each_mode
def test_an_account_that_may_not_start_jobs_is_told_so(
    mode: str, server: Rekognition, manifests: list[dict[str, str]]
) -> None:
    errors: list[BaseException] = []
    with offline.faults(server, {"kind": "ineligible", "operation": "StartMediaAnalysisJob"}):
        run = airflow_runs.run(make_dag(mode, manifests[:1], errors, retries=0))
    assert run.state == "failed"
    assert [type(error) for error in errors] == [exceptions.RekognitionAccessDenied]


@each_mode
def test_a_sensor_waits_for_a_job_started_without_waiting(
    mode: str, server: Rekognition, manifests: list[dict[str, str]]
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with DAG(f"rekognition_offline_{next(_numbers)}", schedule=None, start_date=start) as dag:
        started = RekognitionStartMediaAnalysisJobOperator(
            task_id="start", wait_for_completion=False, **manifests[0]
        )
        RekognitionMediaAnalysisJobSensor(
            task_id="sense", job_id=started.output, poke_interval=0.1, timeout=60, **MODES[mode]
        )
    run = airflow_runs.run(dag)
    assert run.state == "success"
    assert job_of(airflow_runs.returned(run, "start")[0])["Status"] == "SUCCEEDED"


@pytest.mark.slow
def test_the_example_of_the_reference_starts_waits_and_names_the_answers(server, manifests, bucket):
    dag = runpy.run_path(str(REPOSITORY / "examples/media_analysis.py"))["media_analysis"]()
    conf = {"manifest": manifests[0]["input_uri"], "output": f"s3://{bucket}/example/"}

    dag_run = airflow_runs.run(dag, run_conf=conf)

    assert dag_run.state == "success"
    (answers,) = airflow_runs.returned(dag_run, "results")
    assert answers.startswith(f"s3://{bucket}/example/")
