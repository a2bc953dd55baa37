"""backend=auto asks once, says what it learnt, and asks again only when that is old."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from moderation.analyse.detect.eligibility import Memory, Verdict, ask, choose_backend, means_ineligible
from support.fake_s3 import FakeS3

CLOSED = "Amazon Rekognition Bulk Analysis is no longer open to new customers"
DAY = 86_400.0


@pytest.fixture
def stubbed() -> Iterator[tuple[Any, Stubber]]:
    client = boto3.client(
        "rekognition", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stubber:
        yield client, stubber
    client.close()


def memory(s3: FakeS3) -> Memory:
    return Memory(s3, "s3://b/work", "us-east-1")


@pytest.mark.parametrize("wanted", ["bulk", "detect"])
def test_a_named_backend_is_taken_without_a_question(wanted: str) -> None:
    def never() -> Verdict:
        raise AssertionError

    assert choose_backend(wanted, memory(FakeS3()), never, region="us-east-1") == wanted


def test_auto_asks_once_and_warns_clearly(caplog: pytest.LogCaptureFixture) -> None:
    s3, asked = FakeS3(), []

    def find_out() -> Verdict:
        asked.append(1)
        return Verdict(eligible=False, reason=CLOSED)

    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert choose_backend("auto", memory(s3), find_out, region="us-east-1") == "detect"
    assert len(asked) == 1
    assert {r.levelno for r in caplog.records} == {logging.WARNING}
    assert CLOSED in caplog.text
    assert "DetectModerationLabels instead" in caplog.text


def test_auto_asks_again_after_a_week() -> None:
    s3 = FakeS3()
    verdicts = iter([Verdict(eligible=False, reason=CLOSED), Verdict(eligible=True, reason="open")])
    assert choose_backend("auto", memory(s3), lambda: next(verdicts), region="us-east-1") == "detect"
    s3.now += 7 * DAY + 1
    assert choose_backend("auto", memory(s3), lambda: next(verdicts), region="us-east-1") == "bulk"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"eligible": "yes", "reason": ""}', b"\x00"])
def test_a_damaged_memory_is_no_memory(body: bytes) -> None:
    s3 = FakeS3()
    s3.put_object(Key=memory(s3).uri.removeprefix("s3://b/"), Body=body)
    assert memory(s3).recall() is None


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(ValueError, match="'both'"):
        choose_backend("both", memory(FakeS3()), lambda: Verdict(eligible=True, reason=""), region="x")


@pytest.mark.parametrize(
    ("code", "message", "eligible"),
    [
        ("AccessDeniedException", CLOSED, False),
        ("AccessDeniedException", "User x is not authorized to perform: rekognition:Start…", False),
        ("InvalidParameterException", CLOSED, False),
        ("InvalidParameterException", "Bulk analysis isn't supported in this region", False),
        ("UnknownOperationException", "", False),
        ("InvalidS3ObjectException", "Unable to get object metadata from S3.", True),
        ("InvalidManifestException", "empty", True),
        ("LimitExceededException", "too many open jobs", True),
    ],
)
def test_what_aws_answers_is_read(
    stubbed: tuple[Any, Stubber], code: str, message: str, eligible: bool
) -> None:
    client, stubber = stubbed
    stubber.add_client_error("start_media_analysis_job", code, message)
    assert ask(client, bucket="bucket").eligible is eligible


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ThrottlingException", "slow down"),
        ("InternalServerError", "The service is not available"),
        ("ServiceUnavailableException", "Service not available, please retry"),
        ("ProvisionedThroughputExceededException", "capacity not available"),
        ("ExpiredTokenException", "the token is expired"),
    ],
)
def test_an_answer_that_says_nothing_is_an_error(
    stubbed: tuple[Any, Stubber], code: str, message: str
) -> None:
    """Else a moment's disturbance kept the account off bulk jobs for a week."""
    client, stubber = stubbed
    stubber.add_client_error("start_media_analysis_job", code, message)
    with pytest.raises(ClientError, match=code):
        ask(client, bucket="bucket")


def test_missing_rights_are_told_apart_from_a_closed_service() -> None:
    assert means_ineligible("AccessDeniedException", "x")
    assert not means_ineligible("ThrottlingException", "Rate exceeded")
    assert "IAM policy" in Verdict(eligible=False, reason="is not authorized to perform").text("us-east-1")
    assert "IAM policy" not in Verdict(eligible=False, reason=CLOSED).text("us-east-1")
