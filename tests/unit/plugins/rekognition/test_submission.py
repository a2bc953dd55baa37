from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import botocore.session
import pytest

from rekognition.constraints import check_request
from rekognition.submission import Submission, TaskIdentity, new_submission

BODY: dict[str, Any] = {
    "Input": {"S3Object": {"Bucket": "bucket", "Name": "m.jsonl"}},
    "OutputConfig": {"S3Bucket": "bucket"},
    "OperationsConfig": {"DetectModerationLabels": {"MinConfidence": 50.0}},
}
WHO = TaskIdentity("dag", "scheduled__2026-01-01T00:00:00+00:00", "group.task", 3)


def made(who: TaskIdentity = WHO, **changed: Any) -> Submission:
    arguments: dict[str, Any] = {"generation": 1, "round": 2, "body": BODY, "job_name": None}
    return new_submission(who, **{**arguments, **changed})


def test_the_same_task_and_generation_asks_with_the_same_token_and_name() -> None:
    assert made().request == made(round=5).request


@pytest.mark.parametrize(
    "other",
    [
        made(generation=2),
        made(WHO._replace(dag_id="other")),
        made(WHO._replace(run_id="other")),
        made(WHO._replace(task_id="other")),
        made(WHO._replace(map_index=4)),
        made(body={**BODY, "OutputConfig": {"S3Bucket": "staging"}}),
    ],
)
def test_another_task_run_generation_or_deployment_asks_with_another(other: Submission) -> None:
    assert other.request["ClientRequestToken"] != made().request["ClientRequestToken"]
    assert other.request["JobName"] != made().request["JobName"]


@pytest.mark.parametrize("name", [None, "a", "n" * 64, "nightly_1.x-2"])
@pytest.mark.parametrize("generation", [1, 12345])
@pytest.mark.parametrize("dag_id", ["dag", "täglich 1:+", "d" * 250])
def test_every_token_and_name_is_one_that_aws_takes(name: str | None, generation: int, dag_id: str) -> None:
    model = botocore.session.get_session().get_service_model("rekognition")
    shape = model.operation_model("StartMediaAnalysisJob").input_shape
    request = made(WHO._replace(dag_id=dag_id), job_name=name, generation=generation).request
    check_request(request, shape)
    assert request["JobName"].startswith((name or "")[:40])
    assert f"-g{generation}-" in request["JobName"]


def test_a_record_survives_the_state_store() -> None:
    record = made().answered("j1")
    assert Submission(**json.loads(json.dumps(asdict(record)))) == record
    assert len(json.dumps(asdict(record))) < 4096


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"OutputConfig": {"S3Bucket": "bucket", "S3KeyPrefix": "made-at-12-00-01"}}, True),
        ({"KmsKeyId": "alias/other"}, True),
        ({"Input": {"S3Object": {"Bucket": "bucket", "Name": "other.jsonl"}}}, False),
        ({"OperationsConfig": {"DetectModerationLabels": {"MinConfidence": 60.0}}}, False),
    ],
)
def test_the_work_is_the_manifest_and_the_settings(changed: dict[str, Any], same: bool) -> None:
    assert made().same_work({**BODY, **changed}) is same
