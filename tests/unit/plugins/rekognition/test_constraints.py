from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.model import Shape, StructureShape

from rekognition.arguments import ARGUMENT_OF
from rekognition.constraints import check_request
from rekognition.exceptions import RekognitionArgumentError

ARN = "arn:aws:rekognition:us-east-1:123456789012:project/p/version/v/1700000000000"
VALID: dict[str, Any] = {
    "Input": {"S3Object": {"Bucket": "in-bucket", "Name": "manifest.jsonl", "Version": "v1"}},
    "OutputConfig": {"S3Bucket": "out-bucket", "S3KeyPrefix": "results/"},
    "OperationsConfig": {"DetectModerationLabels": {"MinConfidence": 50.0, "ProjectVersion": ARN}},
    "JobName": "nightly-1",
    "ClientRequestToken": "a" * 64,
    "KmsKeyId": "alias/key",
}


def start_shape() -> StructureShape:
    model = botocore.session.get_session().get_service_model("rekognition")
    return model.operation_model("StartMediaAnalysisJob").input_shape


def leaves(shape: StructureShape, path: str = "") -> Iterator[tuple[str, Shape]]:
    for name, member in shape.members.items():
        member_path = f"{path}.{name}" if path else name
        if isinstance(member, StructureShape):
            yield from leaves(member, member_path)
        else:
            yield member_path, member


def with_value(path: str, value: Any) -> dict[str, Any]:
    """VALID, with another value at a dotted path."""

    def put(node: dict[str, Any], keys: list[str]) -> dict[str, Any]:
        head, *rest = keys
        return node | {head: put(node[head], rest) if rest else value}

    return put(VALID, path.split("."))


def breaches() -> Iterator[Any]:
    """One bad value for each limit that AWS's service model sets, in each member."""
    for path, shape in leaves(start_shape()):
        limits = shape.metadata
        if shape.type_name == "string":
            if limits.get("min"):
                yield pytest.param(path, "", str(limits["min"]), id=f"{path}-too-short")
            if limits.get("max"):
                yield pytest.param(path, "a" * (limits["max"] + 1), str(limits["max"]), id=f"{path}-too-long")
            if limits.get("pattern"):
                yield pytest.param(path, "a b" * 10, limits["pattern"], id=f"{path}-pattern")
                yield pytest.param(
                    path, "aaaaaaaaaaaaaaaaaaaaaaaa\n", limits["pattern"], id=f"{path}-newline"
                )
            yield pytest.param(path, 7, "7", id=f"{path}-type")
        else:
            yield pytest.param(path, limits["max"] + 0.1, str(limits["max"]), id=f"{path}-high")
            yield pytest.param(path, limits["min"] - 0.1, str(limits["min"]), id=f"{path}-low")
            yield pytest.param(path, float("nan"), "nan", id=f"{path}-nan")
            yield pytest.param(path, True, "True", id=f"{path}-bool")


def test_a_valid_request_passes() -> None:
    check_request(VALID, start_shape(), ARGUMENT_OF)


@pytest.mark.parametrize(("path", "value", "limit"), list(breaches()))
def test_an_error_names_the_argument_the_limit_and_the_value(path: str, value: Any, limit: str) -> None:
    with pytest.raises(RekognitionArgumentError) as caught:
        check_request(with_value(path, value), start_shape(), ARGUMENT_OF)
    message = str(caught.value)
    assert message.startswith(ARGUMENT_OF.get(path, path))
    assert limit in message
    assert repr(value)[:40] in message


@pytest.mark.parametrize("path", ["Input", "OutputConfig", "OperationsConfig", "OutputConfig.S3Bucket"])
def test_a_missing_member_is_named(path: str) -> None:
    with pytest.raises(RekognitionArgumentError, match="is required"):
        check_request(with_value(path, None), start_shape(), ARGUMENT_OF)


def test_a_member_unknown_to_aws_is_refused() -> None:
    with pytest.raises(RekognitionArgumentError, match="Nonsense is no member"):
        check_request({**VALID, "Nonsense": 1}, start_shape())


@pytest.mark.parametrize("path", sorted(ARGUMENT_OF))
def test_each_argument_is_a_member_of_the_request(path: str) -> None:
    assert path in dict(leaves(start_shape()))


def test_a_long_value_is_shown_cut() -> None:
    with pytest.raises(RekognitionArgumentError) as caught:
        check_request(with_value("JobName", "x" * 5000), start_shape(), ARGUMENT_OF)
    assert len(str(caught.value)) < 250
