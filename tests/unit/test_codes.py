from __future__ import annotations

import pytest

from moderation import codes


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
    assert codes.canonical(written) == expected


def test_canonical_codes_stay_as_they_are():
    assert [codes.canonical(code.name) for code in codes.all_codes()] == [
        code.name for code in codes.all_codes()
    ]


@pytest.mark.parametrize("code", ["InvalidImageFormatException", "ImageTooLarge", "KeyTooLong", "EmptyFile"])
def test_what_lies_in_the_picture_is_permanent(code):
    assert codes.is_permanent(code)
    assert not codes.is_transient(code)


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidS3Object", "ResultMissing", "SomethingNew"])
def test_what_lies_in_rights_and_places_is_neither_permanent_nor_worth_a_retry_at_once(code):
    assert not codes.is_permanent(code)
    assert not codes.is_transient(code)


@pytest.mark.parametrize("code", ["THROTTLED", "InternalServerError", "ProvisionedThroughputExceeded"])
def test_a_busy_service_is_worth_a_retry_at_once(code):
    assert codes.is_transient(code)
    assert not codes.is_permanent(code)


def test_every_code_comes_with_a_remedy():
    assert all(codes.remedy(code.name).endswith(".") for code in codes.all_codes())
    assert codes.remedy("SomethingNew").endswith(".")
