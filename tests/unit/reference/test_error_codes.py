from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest

from moderation.reference import error_codes


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("InvalidImageFormatException", "InvalidImageFormat"),
        ("INVALID_IMAGE_FORMAT", "InvalidImageFormat"),
        (" invalid-image-format ", "InvalidImageFormat"),
        ("ImageTooLargeException", "ImageTooLarge"),
        ("INVALID_S3_OBJECT", "InvalidS3Object"),
        ("ACCESS_DENIED", "AccessDenied"),
        ("ThrottlingException", "Throttling"),
        ("THROTTLED", "Throttling"),
        ("InternalServerError", "InternalServerError"),
        ("INTERNAL_ERROR", "InternalServerError"),
        ("ProvisionedThroughputExceededException", "ProvisionedThroughputExceeded"),
        ("KeyTooLong", "KeyTooLong"),
        ("SomethingNew", "SomethingNew"),
    ],
)
def test_each_way_to_write_a_code_has_one_spelling(written, expected):
    assert error_codes.canonical(written) == expected


def test_canonical_codes_stay_as_they_are():
    assert [error_codes.canonical(code.name) for code in error_codes.all_codes()] == [
        code.name for code in error_codes.all_codes()
    ]


@pytest.mark.parametrize("code", ["InvalidImageFormatException", "ImageTooLarge", "KeyTooLong", "EmptyFile"])
def test_what_lies_in_the_picture_is_permanent(code):
    assert error_codes.is_permanent(code)
    assert not error_codes.is_transient(code)


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidS3Object", "ResultMissing", "SomethingNew"])
def test_what_lies_in_rights_and_places_is_neither_permanent_nor_worth_a_retry_at_once(code):
    assert not error_codes.is_permanent(code)
    assert not error_codes.is_transient(code)


@pytest.mark.parametrize("code", ["THROTTLED", "InternalServerError", "ProvisionedThroughputExceeded"])
def test_a_busy_service_is_worth_a_retry_at_once(code):
    assert error_codes.is_transient(code)
    assert not error_codes.is_permanent(code)


def test_every_code_comes_with_its_meaning_and_a_remedy():
    assert all(code.meaning.endswith(".") and code.remedy.endswith(".") for code in error_codes.all_codes())
    assert error_codes.remedy("SomethingNew").endswith(".")


CONSTANTS = {"NOT_ATTEMPTED", "NOT_STARTED", "CONNECTION_FAILED", "_ALSO_TRANSIENT", "_THROTTLES"}
OPERATIONS = ("DetectModerationLabels", "StartMediaAnalysisJob")


def of_aws() -> set[str]:
    """What AWS's model lets the two operations answer, and a job fail with."""
    model = botocore.session.get_session().get_service_model("rekognition")
    shapes = {shape.name for name in OPERATIONS for shape in model.operation_model(name).error_shapes}
    return shapes | set(model.shape_for("MediaAnalysisJobFailureCode").enum)


def of_ours() -> set[str]:
    """The texts that stand in the code where an error code is told, whatever module tells it."""
    found = set()
    for path in Path(error_codes.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found |= set(told(node))
    return found


def told(node: ast.AST) -> Iterator[str]:
    values: list[ast.expr] = []
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        values += node.args[:1] if name in {"Rejection", "Refused", "Disturbed"} else []
        values += [word.value for word in node.keywords if word.arg in {"error_code", "failure_code", "code"}]
    elif isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        values += [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "code"]
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        is_code = name in {
            "NOT_ATTEMPTED",
            "NOT_STARTED",
            "CONNECTION_FAILED",
            "_ALSO_TRANSIENT",
            "_THROTTLES",
        }
        values += [node.value] if is_code else []
    for value in values:
        if isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "get":
            continue  # read from an answer, not told
        texts = [part.value for part in ast.walk(value) if isinstance(part, ast.Constant)]
        yield from (text for text in texts if isinstance(text, str) and re.fullmatch(r"[A-Z]\w+", text))


@pytest.mark.parametrize("origin", [of_aws, of_ours])
def test_every_code_that_a_row_can_carry_has_an_entry(origin):
    known = {code.name for code in error_codes.all_codes()}
    emitted = origin()
    assert len(emitted) >= 4
    assert {code for code in emitted if error_codes.canonical(code) not in known} == set()
