"""The detect operator in real Dag runs against the offline Rekognition and a real S3."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from local_aws.rekognition import launch
from local_aws.rekognition.launch import Rekognition
from local_aws.seaweedfs import Credentials, SeaweedFS
from rekognition import exceptions
from rekognition.detect import RekognitionDetectModerationLabelsOperator
from support import airflow_runs, pictures
from support import rekognition_server as offline

pytestmark = pytest.mark.usefixtures("airflow_db")
_numbers = itertools.count()


@pytest.fixture(scope="session")
def detect_server(
    tmp_path_factory: pytest.TempPathFactory, s3_server: SeaweedFS, credentials: Credentials
) -> Iterator[Rekognition]:
    folder = tmp_path_factory.mktemp("rekognition-detect")
    with launch.start(
        folder,
        credentials,
        s3_server.endpoint_url,
        settings=offline.quick(),
        python_path=[offline.TESTS],
    ) as server:
        yield server


@pytest.fixture
def server(
    aws_env: pytest.MonkeyPatch, detect_server: Rekognition, bucket: str, tmp_path: Path
) -> Rekognition:
    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", detect_server.endpoint_url)
    aws_env.setenv("AIRFLOW_CONN_AWS_DEFAULT", '{"conn_type": "aws"}')
    aws_env.setenv("MODERATION_WORK_URI", f"s3://{bucket}/work")
    aws_env.setenv("MODERATION_SPOOL_DIR", str(tmp_path / "spool"))
    return detect_server


@pytest.fixture
def manifests(s3_client: Any, bucket: str) -> list[dict[str, Any]]:
    """Two manifests of five good images and one that is not there."""
    made = []
    for n in range(2):
        refs = [f"s3://{bucket}/{n}/{i}.jpg" for i in range(5)]
        for ref in refs:
            key = ref.removeprefix(f"s3://{bucket}/")
            s3_client.put_object(Bucket=bucket, Key=key, Body=pictures.jpeg(80, 80) + key.encode())
        offline.put_manifest(s3_client, bucket, [*refs, f"s3://{bucket}/missing.jpg"], f"m{n}.jsonl")
        made.append(
            {
                "input_uri": f"s3://{bucket}/m{n}.jsonl",
                "output_uri": f"s3://{bucket}/out/{n}/",
                "job_name": f"m{n}",
                "force_new_job": False,
            }
        )
    return made


def make_dag(
    manifests: list[dict[str, Any]],
    errors: list[BaseException],
    *,
    operator: type[RekognitionDetectModerationLabelsOperator] = RekognitionDetectModerationLabelsOperator,
    **kwargs: Any,
) -> DAG:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    params = {"confidence": 50.0, "adapter": None}
    with DAG(f"detect_{next(_numbers)}", schedule=None, start_date=start, params=params) as dag:
        operator.partial(
            **{
                "task_id": "analyse",
                "min_confidence": "{{ params.confidence }}",
                "project_version_arn": "{{ params.adapter }}",
                "retries": 1,
                "retry_delay": timedelta(0),
                "on_retry_callback": lambda context: errors.append(context["exception"]),
                "on_failure_callback": lambda context: errors.append(context["exception"]),
                **kwargs,
            }
        ).expand_kwargs(manifests)
    return dag


def paid(server: Rekognition, bucket: str) -> int:
    return sum(
        entry["event"] == "detect_billed" and entry["source_ref"].startswith(f"s3://{bucket}/")
        for entry in offline.ledger(server)
    )


@pytest.mark.slow
def test_mapped_over_the_manifests_it_returns_where_the_files_are(
    server: Rekognition, manifests: list[dict[str, Any]], bucket: str
) -> None:
    dag = make_dag(manifests, errors := [])
    dag_run = airflow_runs.run(dag)
    assert dag_run.state == "success", errors
    for manifest, outcome in zip(manifests, airflow_runs.returned(dag_run, "analyse"), strict=True):
        assert outcome["results_uri"].startswith(manifest["output_uri"])
        assert (outcome["lines"], outcome["billed"], outcome["failed"]) == (6, 5, 1)
        assert outcome["min_confidence"] == 50.0
        assert outcome["adapter"] is None


@pytest.mark.slow
def test_a_cleared_task_pays_nothing_again(
    server: Rekognition, manifests: list[dict[str, Any]], bucket: str
) -> None:
    dag = make_dag(manifests, errors := [])
    dag_run = airflow_runs.run(dag)
    before = airflow_runs.returned(dag_run, "analyse")
    airflow_runs.clear_and_run(dag, dag_run, "analyse")
    assert airflow_runs.returned(dag_run, "analyse") == before
    assert paid(server, bucket) == 10
    assert not errors


class ToldToEnd(RekognitionDetectModerationLabelsOperator):
    """
    Its first try gets what Airflow sends to a task that is cleared, or whose pod is evicted.

    It gets it once something is paid for, and long before the rate allows all of it; the next try has haste.
    """

    paid: Callable[[], int]

    def execute(self, context: Any) -> dict[str, Any]:
        if context["ti"].try_number > 1:
            self.calls_per_second = 1000.0
            return super().execute(context)
        teller = threading.Thread(target=self._tell)
        teller.start()
        try:
            return super().execute(context)
        finally:
            teller.join()

    def _tell(self) -> None:
        offline.wait_until(self.paid, what="the first paid call")
        self.on_kill()


def test_a_task_that_is_told_to_end_loses_no_answer_even_with_its_disk(
    server: Rekognition,
    bucket: str,
    manifests: list[dict[str, Any]],
    tmp_path: Path,
    aws_env: pytest.MonkeyPatch,
) -> None:
    errors: list[BaseException] = []

    def another_disk(context: Any) -> None:
        errors.append(context["exception"])
        assert 0 < paid(server, bucket) < 5
        aws_env.setenv("MODERATION_SPOOL_DIR", str(tmp_path / "another disk"))

    aws_env.setattr(ToldToEnd, "paid", lambda _: paid(server, bucket), raising=False)
    dag = make_dag(
        manifests[:1],
        errors,
        operator=ToldToEnd,
        calls_per_second=0.2,
        max_in_flight=2,
        on_retry_callback=another_disk,
    )
    dag_run = airflow_runs.run(dag)
    (error,) = errors
    assert isinstance(error, exceptions.RekognitionUnavailable)
    assert "told to end" in str(error)
    (outcome,) = airflow_runs.returned(dag_run, "analyse")
    assert (outcome["billed"], outcome["failed"]) == (5, 1)
    assert paid(server, bucket) == 5


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("AccessDeniedException", exceptions.RekognitionAccessDenied),
        ("ExpiredTokenException", exceptions.RekognitionAccessDenied),
        ("ResourceNotFoundException", exceptions.RekognitionRequestInvalid),
    ],
)
def test_a_refusal_of_everything_has_the_name_the_retry_policy_knows(
    server: Rekognition, manifests: list[dict[str, Any]], code: str, error: type[Exception]
) -> None:
    rule = {"kind": "error", "operation": "DetectModerationLabels", "code": code, "message": "never"}
    with offline.faults(server, rule):
        dag_run = airflow_runs.run(make_dag(manifests[:1], errors := [], retries=0))
    assert dag_run.state == "failed"
    assert [type(found) for found in errors] == [error]
    assert "never" in str(errors[0])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"min_confidence": 150}, "min_confidence"),
        ({"project_version_arn": "no arn"}, "project_version_arn"),
        ({"calls_per_second": "many"}, "calls_per_second"),
    ],
)
def test_a_bad_argument_is_named_before_any_call(
    server: Rekognition,
    manifests: list[dict[str, Any]],
    bucket: str,
    arguments: dict[str, Any],
    named: str,
) -> None:
    dag_run = airflow_runs.run(make_dag(manifests[:1], errors := [], **arguments))
    assert dag_run.state == "failed"
    assert isinstance(errors[0], exceptions.RekognitionArgumentError)
    assert named in str(errors[0])
    assert paid(server, bucket) == 0


def test_every_template_field_is_set_by_the_constructor() -> None:
    operator = RekognitionDetectModerationLabelsOperator(
        task_id="t", input_uri="s3://b/m.jsonl", output_uri="s3://b/o"
    )
    for name in operator.template_fields:
        assert hasattr(operator, name)
