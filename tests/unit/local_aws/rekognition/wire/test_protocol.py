from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import create_parser

from local_aws.rekognition.operations.table import OPERATIONS
from local_aws.rekognition.wire.errors import ApiError
from local_aws.rekognition.wire.model import modelled_errors, operation_model
from local_aws.rekognition.wire.protocol import decode, encode, encode_error, error_status
from support.samples import sample
from support.shapes import deviations


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_answer_survives_botocores_own_parser(operation: str) -> None:
    shape = operation_model(operation).output_shape
    assert shape is not None
    answer = sample(shape)
    body = encode(shape, answer)
    assert list(deviations(shape, json.loads(body))) == []
    parsed = create_parser("json").parse({"status_code": 200, "headers": {}, "body": body}, shape)
    assert parsed.keys() - {"ResponseMetadata"} == answer.keys()


def test_members_that_are_none_are_left_out_and_times_are_seconds() -> None:
    shape = operation_model("GetMediaAnalysisJob").output_shape
    answer = {**sample(shape), "CreationTimestamp": 1700000000.123456, "CompletionTimestamp": None}
    decoded = json.loads(encode(shape, answer))
    assert decoded["CreationTimestamp"] == 1700000000.123
    assert "CompletionTimestamp" not in decoded


@pytest.mark.parametrize("answer", [{}, {"JobId": None}, {"JobId": "a", "Surprise": 1}])
def test_an_answer_that_does_not_fit_its_shape_is_never_sent(answer: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        encode(operation_model("StartMediaAnalysisJob").output_shape, answer)


@pytest.mark.parametrize(
    "body", [b"{", b"nope", b"\xff", b'{"a": NaN}', b"[" * 100_000, b"{} {}", b"\xef\xbb\xbf{}"]
)
def test_a_body_that_is_not_strict_json_is_a_serialization_error(body: bytes) -> None:
    with pytest.raises(ApiError, match="SerializationException"):
        decode(body)


def test_an_empty_body_is_an_empty_document() -> None:
    assert decode(b"") == {}


@pytest.mark.parametrize("code", sorted(modelled_errors()))
def test_every_modelled_error_reaches_boto3_as_its_exception(code: str) -> None:
    body = encode_error(ApiError(code, "why"), "id-1")
    answer = {"status_code": error_status(code), "headers": {}, "body": body}
    parsed = create_parser("json").parse(answer, operation_model("StartMediaAnalysisJob").output_shape)
    error = ClientError(parsed, "StartMediaAnalysisJob").response["Error"]
    assert (error["Code"], error["Message"]) == (code, "why")
    assert json.loads(body)["Logref"] == "id-1"


def test_an_internal_error_is_500_and_all_else_400() -> None:
    assert {code for code in modelled_errors() if error_status(code) == 500} == {"InternalServerError"}
    assert error_status("UnrecognizedClientException") == 400
    assert error_status("RequestEntityTooLargeException") == 413


def test_the_front_ends_errors_have_its_plainer_body() -> None:
    body = json.loads(encode_error(ApiError("SerializationException", "why"), "id"))
    assert body == {"__type": "SerializationException", "message": "why"}
