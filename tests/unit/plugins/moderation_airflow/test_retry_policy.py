from __future__ import annotations

import errno
from datetime import timedelta

import pytest
from airflow.sdk import RetryAction
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from moderation.errors import DefectError, NeedsAPersonError, TransientError
from moderation.maintenance.compaction import CompactionError
from moderation.plan.manifests import ManifestError
from moderation.publish.build import RecordMismatchError
from moderation.storage.lease import LeaseBusy
from moderation.storage.s3_objects import S3Error, named_errors
from moderation_airflow.connections import ConnectionUnusableError
from moderation_airflow.retry_policy import moderation_retry_policy
from rekognition.exceptions import RekognitionThrottled
from rekognition.retry_policy import rekognition_retry_policy


class NobodyKnowsThisOne(NeedsAPersonError):
    """A class that no other file names."""


class NorThisOne(TransientError):
    """Another."""


class NorThisDefect(DefectError):
    """And another."""


def s3_error(cause):
    with pytest.raises(S3Error) as caught, named_errors("read", "bucket", "key"):
        raise cause
    return caught.value


def answered(code):
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (NobodyKnowsThisOne("no"), RetryAction.FAIL, None),
        (NorThisOne("no"), RetryAction.RETRY, 2),
        (NorThisDefect("no"), RetryAction.FAIL, None),
        (ManifestError("no"), RetryAction.FAIL, None),
        (RecordMismatchError("no"), RetryAction.FAIL, None),
        (CompactionError("no"), RetryAction.FAIL, None),
        (ConnectionUnusableError("no"), RetryAction.FAIL, None),
        (LeaseBusy("no"), RetryAction.RETRY, 2),
        (s3_error(EndpointConnectionError(endpoint_url="http://127.0.0.1:1")), RetryAction.RETRY, 2),
        (s3_error(answered("SlowDown")), RetryAction.RETRY, 2),
        (s3_error(answered("AccessDenied")), RetryAction.FAIL, None),
        (NoCredentialsError(), RetryAction.FAIL, None),
        (OSError(errno.ENOSPC, "No space left on device"), RetryAction.FAIL, None),
        (RekognitionThrottled("no"), RetryAction.RETRY, 2),
        (KeyError("no"), RetryAction.DEFAULT, None),
    ],
    ids=lambda value: f"{type(value).__name__} {value}" if isinstance(value, Exception) else "",
)
def test_the_kind_of_an_error_decides_what_becomes_of_its_task(error, action, delay):
    policy = moderation_retry_policy(also=rekognition_retry_policy())

    decision = policy.evaluate(error, try_number=1, max_tries=3)

    assert decision.action == action
    assert decision.retry_delay == (timedelta(minutes=delay) if delay else None)


def test_the_delay_can_be_set():
    policy = moderation_retry_policy(delay=timedelta(minutes=7))

    assert policy.evaluate(TransientError("no"), 1, 3).retry_delay == timedelta(minutes=7)
