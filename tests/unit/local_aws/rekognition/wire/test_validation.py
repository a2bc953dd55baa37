from __future__ import annotations

from typing import Any

import pytest
from botocore.model import StructureShape
from hypothesis import given, settings
from hypothesis import strategies as st

from local_aws.rekognition.wire.errors import ApiError
from local_aws.rekognition.wire.model import operation_model
from local_aws.rekognition.wire.validation import parse_input
from support.samples import Broken, broken, sample

OPERATIONS = (
    "StartMediaAnalysisJob",
    "GetMediaAnalysisJob",
    "ListMediaAnalysisJobs",
    "DetectModerationLabels",
    "CreateProject",
    "CreateProjectVersion",
    "DescribeProjects",
    "DescribeProjectVersions",
)
BROKEN = [
    pytest.param(name, case, id=f"{name}-{case.name}")
    for name in OPERATIONS
    for case in broken(operation_model(name).input_shape)
]


def shape_of(operation: str) -> StructureShape:
    shape = operation_model(operation).input_shape
    assert shape is not None
    return shape


def refused(operation: str, document: Any, code: str = "ValidationException") -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse_input(shape_of(operation), document, violation_code="ValidationException")
    assert caught.value.code == code, caught.value
    return caught.value


def accepted(operation: str, document: Any) -> dict[str, Any]:
    return parse_input(shape_of(operation), document, violation_code="ValidationException")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_document_with_every_member_at_a_valid_value_is_accepted(operation: str) -> None:
    assert accepted(operation, sample(shape_of(operation))).keys() == shape_of(operation).members.keys()


@pytest.mark.parametrize(("operation", "case"), BROKEN)
def test_every_constraint_of_the_service_model_is_enforced(operation: str, case: Broken) -> None:
    text = refused(operation, case.document).message
    assert f" at '{case.path}' failed to satisfy constraint: {case.constraint}" in text
    assert "validation error" in text


def test_the_cases_cover_every_kind_of_constraint_there_is() -> None:
    texts = {case.values[1].constraint for case in BROKEN}  # type: ignore[union-attr]
    for word in ("null", "length less", "length greater", "value less", "value greater", "regular", "enum"):
        assert any(word in text for text in texts), word


def test_several_violations_come_in_one_message() -> None:
    document = sample(shape_of("StartMediaAnalysisJob"))
    document["JobName"] = "a b"
    document["OperationsConfig"]["DetectModerationLabels"]["MinConfidence"] = 150
    text = refused("StartMediaAnalysisJob", document).message
    assert text.startswith("2 validation errors detected: Value ")
    assert "Value '150.0' at 'operationsConfig.detectModerationLabels.minConfidence'" in text
    assert "Value 'a b' at 'jobName' failed to satisfy constraint: Member must satisfy regular" in text


def test_the_message_of_one_violation_reads_as_awss_does() -> None:
    text = refused("DetectModerationLabels", {"Image": {"Bytes": ""}}).message
    assert text == (
        "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=0 cap=0]' at 'image.bytes' "
        "failed to satisfy constraint: Member must have length greater than or equal to 1"
    )


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("JobName", "x" * 64),
        ("ClientRequestToken", "0" * 64),
        ("JobName", "."),
        ("KmsKeyId", "alias"),
    ],
)
def test_values_at_the_bound_are_accepted(member: str, value: str) -> None:
    document = {**sample(shape_of("StartMediaAnalysisJob")), member: value}
    assert accepted("StartMediaAnalysisJob", document)[member] == value


@pytest.mark.parametrize("value", [0, 100, 0.0, 99.99999, 50])
def test_confidences_in_range_are_accepted(value: float) -> None:
    found = accepted("DetectModerationLabels", {"Image": {}, "MinConfidence": value})
    assert found["MinConfidence"] == value


@pytest.mark.parametrize("name", ["name\n", "\nname", "náme", "na me", "name\u2028"])
def test_a_pattern_must_match_the_whole_value(name: str) -> None:
    refused("StartMediaAnalysisJob", {**sample(shape_of("StartMediaAnalysisJob")), "JobName": name})


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"MaxResults": "5"}, "STRING_VALUE can not be converted to Integer"),
        ({"MaxResults": 1.5}, "DECIMAL_VALUE can not be converted to Integer"),
        ({"MaxResults": True}, "TRUE_VALUE or FALSE_VALUE can not be converted to Integer"),
        ({"MaxResults": {}}, "Start of structure or map found where not expected."),
        ({"NextToken": 5}, "NUMBER_VALUE can not be converted to String"),
        ({"NextToken": ["a"]}, "Start of structure or map found where not expected."),
        ({"NextToken": "\ud800"}, "surrogate"),
        ([], "can not be converted to Structure"),
        ("text", "can not be converted to Structure"),
        (None, "can not be converted to Structure"),
    ],
)
def test_a_wrong_json_type_is_a_serialization_error(document: Any, text: str) -> None:
    assert text in refused("ListMediaAnalysisJobs", document, "SerializationException").message


@pytest.mark.parametrize("value", ["a", "====", "ä", "YQ"])
def test_a_blob_that_is_not_base64_is_a_serialization_error(value: str) -> None:
    refused("DetectModerationLabels", {"Image": {"Bytes": value}}, "SerializationException")


def test_unknown_members_and_nulls_are_ignored() -> None:
    assert accepted("ListMediaAnalysisJobs", {"MaxResults": None, "Nonsense": {"a": 1}}) == {}


def test_a_null_in_a_list_is_refused() -> None:
    text = refused("DescribeProjectVersions", {"ProjectArn": "x", "VersionNames": [None]}).message
    assert (
        "Value null at 'versionNames.1.member' failed to satisfy constraint: Member must not be null" in text
    )


def test_a_long_value_is_not_echoed_whole() -> None:
    document = {**sample(shape_of("StartMediaAnalysisJob")), "KmsKeyId": "!" * 1_000_000}
    assert len(refused("StartMediaAnalysisJob", document).message) < 5_000


@pytest.mark.parametrize("value", [10**400, -(10**400), 1e308])
def test_a_number_beyond_floats_is_out_of_range_not_a_crash(value: float) -> None:
    refused("DetectModerationLabels", {"Image": {}, "MinConfidence": value})


MEMBERS = sorted(
    {name for operation in OPERATIONS for name in shape_of(operation).members} | {"S3Object", "Bucket"}
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text("a/.: ", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=300)
@given(operation=st.sampled_from(OPERATIONS), document=ANYTHING)
def test_no_document_whatever_is_more_than_accepted_or_refused(operation: str, document: Any) -> None:
    code = ""
    try:
        found = accepted(operation, document)
    except ApiError as error:
        code, found = error.code, {}
    if code:
        assert code in {"ValidationException", "SerializationException"}
    else:
        assert found.keys() >= set(shape_of(operation).required_members)
