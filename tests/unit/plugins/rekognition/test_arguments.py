from __future__ import annotations

from typing import Any

import pytest

from rekognition import arguments
from rekognition.exceptions import RekognitionArgumentError

MINIMAL: dict[str, Any] = {
    "input_uri": "s3://in-bucket/run/manifest.jsonl",
    "input_version_id": None,
    "output_uri": "s3://out-bucket",
    "min_confidence": None,
    "project_version_arn": None,
    "kms_key_id": None,
}


def body(**changed: Any) -> dict[str, Any]:
    return arguments.request_body(**{**MINIMAL, **changed})


def test_what_is_not_given_is_not_sent() -> None:
    assert body() == {
        "Input": {"S3Object": {"Bucket": "in-bucket", "Name": "run/manifest.jsonl"}},
        "OutputConfig": {"S3Bucket": "out-bucket"},
        "OperationsConfig": {"DetectModerationLabels": {}},
    }


@pytest.mark.parametrize("absent", [None, "", "None"])
def test_an_absent_param_renders_to_nothing(absent: str | None) -> None:
    rendered = dict.fromkeys(
        ("input_version_id", "min_confidence", "project_version_arn", "kms_key_id"), absent
    )
    assert body(**rendered) == body()


@pytest.mark.parametrize("given", [0, "0", 0.0, "0.0"])
def test_a_threshold_of_zero_is_a_threshold(given: Any) -> None:
    assert body(min_confidence=given)["OperationsConfig"]["DetectModerationLabels"] == {"MinConfidence": 0.0}


@pytest.mark.parametrize(
    "key", ["with space.jsonl", "ünï?x=1&y#z%20.jsonl", "a//b/../c.jsonl", "q'\"\n.jsonl"]
)
def test_an_odd_key_is_taken_as_it_is(key: str) -> None:
    assert body(input_uri=f"s3://in-bucket/{key}")["Input"]["S3Object"]["Name"] == key


@pytest.mark.parametrize(
    "uri", ["", "in-bucket/x", "https://in-bucket/x", "s3://", "s3:///x", None, "S3://b/x"]
)
@pytest.mark.parametrize("argument", ["input_uri", "output_uri"])
def test_a_uri_that_is_none_is_refused_by_name(argument: str, uri: Any) -> None:
    with pytest.raises(RekognitionArgumentError, match=f"^{argument} must look like s3://"):
        body(**{argument: uri})


@pytest.mark.parametrize("uri", ["s3://in-bucket", "s3://in-bucket/", "s3://in-bucket/folder/"])
def test_a_folder_as_manifest_is_refused(uri: str) -> None:
    with pytest.raises(RekognitionArgumentError, match="input_uri must name the manifest"):
        body(input_uri=uri)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, True) for value in (True, "True", " yes ", "1")),
        *((value, False) for value in (False, "False", None, "", "None", "no", "0")),
    ],
)
def test_a_flag_is_read_as_a_template_renders_it(value: Any, expected: bool) -> None:
    assert arguments.flag("force_new_job", value) is expected


def test_a_flag_that_says_neither_is_refused_by_name() -> None:
    with pytest.raises(RekognitionArgumentError, match="force_new_job must be true or false, not 'maybe'"):
        arguments.flag("force_new_job", "maybe")
