"""Helpers around a real offline Rekognition: clients, manifests, waiting, the local side."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotoCredentials

from local_aws.rekognition.launch import Rekognition
from local_aws.rekognition.settings import ServerSettings
from local_aws.rekognition.wire import model
from local_aws.seaweedfs import Credentials
from support.shapes import deviations

TESTS = Path(__file__).parents[1]
"""Goes on the server's import path, for :data:`QUICK`'s moderator."""

UNLIMITED = {"calls_per_second": {"*": None}, "open_jobs": 1000}
QUICK: dict[str, Any] = {
    "created_seconds": 0.0,
    "queued_seconds": 0.0,
    "s3_patience_seconds": 5.0,
    "moderator": "support.hash_moderator:HashModerator",
    "limits": UNLIMITED,
}
"""Settings for tests of anything but pace, quotas and the model itself."""

OVER = {"SUCCEEDED", "FAILED"}


def quick(**changes: Any) -> ServerSettings:
    """Settings for tests; ``limits`` are added to unlimited ones."""
    limits = {**UNLIMITED, **changes.pop("limits", {})}
    return ServerSettings(**{**QUICK, **changes, "limits": limits})


@contextmanager
def client(
    server: Rekognition, credentials: Credentials, *, region: str = "us-east-1", **config: Any
) -> Iterator[Any]:
    """A boto3 client without retries, each of whose answers is checked against its output shape."""
    options = {"retries": {"total_max_attempts": 1}, **config}
    made = boto3.session.Session().client(
        "rekognition",
        endpoint_url=server.endpoint_url,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        region_name=region,
        config=Config(**options),
    )
    made.meta.events.register("response-received.rekognition", _check_shape)
    try:
        yield made
    finally:
        made.close()


def _check_shape(response_dict: dict[str, Any] | None, event_name: str, **_: Any) -> None:
    if response_dict is None or response_dict["status_code"] != 200:
        return
    shape = model.operation_model(event_name.rpartition(".")[2]).output_shape
    assert shape is not None
    found = list(deviations(shape, json.loads(response_dict["body"])))
    assert not found, found
    assert response_dict["headers"]["content-type"] == model.CONTENT_TYPE


def put_manifest(
    s3: Any, bucket: str, lines: Iterable[str | dict[str, Any]], key: str = "manifest.jsonl"
) -> None:
    """Store a manifest of ``s3://`` addresses, objects, or raw lines that start with ``!``."""
    text = [
        line[1:]
        if isinstance(line, str) and line.startswith("!")
        else json.dumps(line if isinstance(line, dict) else {"source-ref": line})
        for line in lines
    ]
    s3.put_object(Bucket=bucket, Key=key, Body="\n".join(text).encode())


def request_for(bucket: str, **changes: Any) -> dict[str, Any]:
    """Arguments of StartMediaAnalysisJob for ``manifest.jsonl`` of a bucket."""
    return {
        "OperationsConfig": {"DetectModerationLabels": {"MinConfidence": 50.0}},
        "Input": {"S3Object": {"Bucket": bucket, "Name": "manifest.jsonl"}},
        "OutputConfig": {"S3Bucket": bucket, "S3KeyPrefix": "out"},
        **changes,
    }


def wait_until(check: Any, *, timeout: float = 240.0, what: str = "the condition") -> Any:
    """Poll until ``check`` answers something true, and return that."""
    deadline = time.monotonic() + timeout
    while not (answer := check()):
        assert time.monotonic() < deadline, f"{what} did not come about within {timeout:.0f} s"
        time.sleep(0.02)
    return answer


def wait_for_job(rekognition: Any, job_id: str, *, timeout: float = 240.0) -> dict[str, Any]:
    """Wait until a job is over and return its description."""

    def over() -> dict[str, Any] | None:
        answer: dict[str, Any] = rekognition.get_media_analysis_job(JobId=job_id)
        return answer if answer["Status"] in OVER else None

    found: dict[str, Any] = wait_until(over, timeout=timeout, what=f"the end of job {job_id}")
    return found


def output(s3: Any, job: dict[str, Any], part: str) -> bytes:
    """The bytes of a job's ``Results`` or ``ManifestSummary``."""
    place = job[part]["S3Object"]
    with s3.get_object(Bucket=place["Bucket"], Key=place["Name"])["Body"] as body:
        return bytes(body.read())


def result_lines(s3: Any, job: dict[str, Any]) -> list[dict[str, Any]]:
    """The decoded results of a job."""
    return [json.loads(line) for line in output(s3, job, "Results").splitlines()]


def local(
    server: Rekognition, path: str, *, method: str = "GET", body: Any = None, token: str | None = None
) -> tuple[int, Any]:
    """Call the local side; returns status and decoded JSON (text for other answers)."""
    headers = {"Authorization": f"Bearer {server.admin_token if token is None else token}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.endpoint_url}/_local{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode()


@contextmanager
def faults(server: Rekognition, *rules: dict[str, Any]) -> Iterator[None]:
    """Put rules in force for the length of a block."""
    status, answer = local(server, "/faults", method="PUT", body=list(rules))
    assert status == 200, answer
    try:
        yield
    finally:
        local(server, "/faults", method="DELETE")


def ledger(server: Rekognition) -> list[dict[str, Any]]:
    """The whole ledger."""
    entries: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        _, answer = local(server, f"/ledger?after={after}")
        entries += answer["entries"]
        after = answer["next"]
    return entries


def post(
    server: Rekognition,
    body: bytes,
    *,
    target: str = "ListMediaAnalysisJobs",
    credentials: Credentials | None = None,
    region: str = "us-east-1",
    service: str = "rekognition",
    headers: dict[str, str] | None = None,
    path: str = "/",
) -> tuple[int, dict[str, str], Any]:
    """Send raw bytes as a signed call (unsigned without credentials); returns status, headers and JSON."""
    request = AWSRequest(
        method="POST",
        url=f"{server.endpoint_url}{path}",
        data=body,
        headers={
            "X-Amz-Target": f"RekognitionService.{target}",
            "Content-Type": "application/x-amz-json-1.1",
            **(headers or {}),
        },
    )
    if credentials:
        key = BotoCredentials(credentials.access_key, credentials.secret_key)
        SigV4Auth(key, service, region).add_auth(request)
    plain = urllib.request.Request(request.url, body, dict(request.headers.items()), method="POST")
    try:
        with urllib.request.urlopen(plain, timeout=30) as answer:
            return answer.status, dict(answer.headers.items()), json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers.items()), json.loads(error.read())
