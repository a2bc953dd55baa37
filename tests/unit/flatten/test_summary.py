from __future__ import annotations

import orjson
import pytest

from moderation.flatten.summary import SummaryError, parse_summary


@pytest.mark.parametrize("key", ["line-numer", "line-number"])
@pytest.mark.parametrize("number", [7, "7"])
def test_both_spellings_of_the_line_number_are_read(key, number):
    error = {key: number, "source-ref": "s3://b/a", "code": "INVALID_S3_OBJECT", "message": "gone"}
    summary = parse_summary(orjson.dumps({"version": "1.0", "statistics": {}, "errors": [error]}))
    assert summary.errors == (
        SummaryError(line_number=7, source_ref="s3://b/a", code="InvalidS3Object", message="gone"),
    )
    assert summary.fault is None


def test_an_error_may_lack_everything():
    (error,) = parse_summary(b'{"errors":[{}]}').errors
    assert error == SummaryError(line_number=None, source_ref=None, code="MalformedResult", message=None)


@pytest.mark.parametrize("data", [b'{"errors":[]}', b'{"errors":null}', b'{"version":"1.0"}'])
def test_a_summary_without_errors_is_fine(data):
    assert parse_summary(data).errors == ()
    assert parse_summary(data).fault is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"errors":{}}', b'{"errors":[1]}'])
def test_a_summary_that_cannot_be_read_says_why_and_never_raises(data):
    assert parse_summary(data).fault
