"""The offline endpoint as a client meets it on the wire: signatures, errors, headers, the local side."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import psutil
import pytest

from local_aws.rekognition.launch import Rekognition
from local_aws.rekognition.operations.table import OPERATIONS
from local_aws.rekognition.wire.model import operation_model
from local_aws.seaweedfs import Credentials
from support.pictures import jpeg
from support.rekognition_server import client, local, post, quick
from support.samples import Broken, broken

BROKEN = [
    pytest.param(name, case, id=f"{name}-{case.name}")
    for name in OPERATIONS
    for case in broken(operation_model(name).input_shape)
]


@pytest.mark.parametrize(("operation", "case"), BROKEN)
def test_every_constraint_is_enforced_on_the_wire(
    rekognition_server: Rekognition, credentials: Credentials, operation: str, case: Broken
) -> None:
    body = json.dumps(case.document).encode()
    status, headers, answer = post(rekognition_server, body, target=operation, credentials=credentials)
    assert status == 400
    assert answer["__type"] == "ValidationException"
    assert headers["x-amzn-requestid"]
    assert f"at '{case.path}' failed to satisfy constraint: {case.constraint}" in answer["message"]


def test_the_code_of_constraint_errors_can_be_set(start_rekognition: Any, credentials: Credentials) -> None:
    server = start_rekognition(settings=quick(constraint_error_code="InvalidParameterException"))
    status, headers, answer = post(server, b'{"MaxResults": 101}', credentials=credentials)
    assert (status, answer["__type"], answer["Code"]) == (400, *["InvalidParameterException"] * 2)
    assert answer["Logref"] == headers["x-amzn-requestid"]
    assert answer["Message"] == (
        "1 validation error detected: Value '101' at 'maxResults' failed to satisfy constraint: "
        "Member must have value less than or equal to 100"
    )


def test_an_answer_has_awss_headers(rekognition_server: Rekognition, credentials: Credentials) -> None:
    status, headers, answer = post(rekognition_server, b"{}", credentials=credentials)
    assert (status, list(answer)) == (200, ["MediaAnalysisJobs"])
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", headers["x-amzn-requestid"])
    assert headers["content-type"] == "application/x-amz-json-1.1"
    assert "server" not in headers


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "MissingAuthenticationTokenException"),
        (Credentials("AKIANOBODY", "x"), "UnrecognizedClientException"),
        (Credentials("AKIAMODERATIONTEST00", "wrong"), "InvalidSignatureException"),
    ],
)
def test_a_call_without_a_good_signature_is_refused(
    rekognition_server: Rekognition, key: Credentials | None, code: str
) -> None:
    status, headers, answer = post(rekognition_server, b"{}", credentials=key)
    assert (status, answer["__type"]) == (400, code)
    assert headers["x-amzn-requestid"]


def test_boto3_with_a_wrong_secret_gets_the_error_it_knows(rekognition_server: Rekognition) -> None:
    with client(rekognition_server, Credentials("AKIAMODERATIONTEST00", "wrong")) as wrong:
        refused = wrong.exceptions.ClientError
        with pytest.raises(refused) as caught:
            wrong.list_media_analysis_jobs()
    assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize("target", ["Nonsense", "DetectFaces", "", "ListMediaAnalysisJobs2"])
def test_an_operation_that_is_not_there_is_unknown(
    rekognition_server: Rekognition, credentials: Credentials, target: str
) -> None:
    status, _, answer = post(rekognition_server, b"{}", target=target, credentials=credentials)
    assert (status, answer["__type"]) == (400, "UnknownOperationException")


@pytest.mark.parametrize("change", [{"path": "/other"}, {"headers": {"Content-Type": "application/json"}}])
def test_another_protocol_is_unknown(
    rekognition_server: Rekognition, credentials: Credentials, change: dict[str, Any]
) -> None:
    status, _, answer = post(rekognition_server, b"{}", credentials=credentials, **change)
    assert (status, answer["__type"]) == (400, "UnknownOperationException")


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b'{"MaxResults": NaN}', b'{"MaxResults": "5"}', b"[]", b"[" * 9999]
)
def test_a_malformed_body_is_a_serialization_error(
    rekognition_server: Rekognition, credentials: Credentials, body: bytes
) -> None:
    status, _, answer = post(rekognition_server, body, credentials=credentials)
    assert (status, answer["__type"]) == (400, "SerializationException")


def test_a_body_above_the_limit_is_refused(start_rekognition: Any, credentials: Credentials) -> None:
    server = start_rekognition(settings=quick(limits={"body_bytes": 1000}))
    status, _, answer = post(server, b" " * 1001, credentials=credentials)
    assert (status, answer["__type"]) == (413, "RequestEntityTooLargeException")
    assert post(server, b"{}" + b" " * 998, credentials=credentials)[0] == 200


def test_an_image_of_more_than_5_mb_in_the_request_is_refused(
    rekognition_server: Rekognition, credentials: Credentials
) -> None:
    body = json.dumps(
        {"Image": {"Bytes": base64.b64encode(jpeg() + bytes(5 * 1024 * 1024)).decode()}}
    ).encode()
    status, _, answer = post(
        rekognition_server, body, target="DetectModerationLabels", credentials=credentials
    )
    assert status == 400
    assert (
        "'image.bytes' failed to satisfy constraint: Member must have length less than" in answer["message"]
    )


LOCAL = [("/jobs", "GET"), ("/ledger", "GET"), ("/faults", "GET"), ("/faults", "POST"), ("/faults", "PUT")]
LOCAL += [
    ("/faults", "DELETE"),
    ("/nonsense", "GET"),
    ("/", "GET"),
    ("", "GET"),
    ("/jobs/", "GET"),
    ("/health/", "GET"),
]


@pytest.mark.parametrize("token", ["wrong", ""])
@pytest.mark.parametrize(("path", "method"), LOCAL)
def test_the_local_side_answers_401_without_its_token(
    rekognition_server: Rekognition, path: str, method: str, token: str
) -> None:
    status, answer = local(rekognition_server, path, method=method, token=token)
    assert (status, list(answer)) == (401, ["error"])


def test_the_health_check_needs_no_token(rekognition_server: Rekognition) -> None:
    assert local(rekognition_server, "/health", token="") == (200, "ok\n")


def test_the_local_side_refuses_a_rule_it_does_not_know(rekognition_server: Rekognition) -> None:
    status, answer = local(rekognition_server, "/faults", method="POST", body={"kind": "earthquake"})
    assert status == 400
    assert "earthquake" in answer["error"]
    assert local(rekognition_server, "/faults")[1]["faults"] == []


def test_the_server_listens_on_loopback_only_and_its_arguments_hold_no_secret(
    rekognition_server: Rekognition, credentials: Credentials
) -> None:
    process = psutil.Process(rekognition_server.process.pid)
    listening = [c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]
    arguments = " ".join(process.cmdline())
    assert credentials.secret_key not in arguments
    assert rekognition_server.admin_token not in arguments
