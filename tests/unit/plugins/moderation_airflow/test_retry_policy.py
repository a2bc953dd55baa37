from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk import RetryAction
from botocore.exceptions import ClientError, EndpointConnectionError

from moderation.errors import NeedsAPersonError
from moderation.storage.s3_objects import S3Error, named_errors
from moderation_airflow.retry_policy import moderation_retry_policy
from rekognition.exceptions import RekognitionThrottled
from rekognition.retry_policy import rekognition_retry_policy


def s3_error(cause):
    with pytest.raises(S3Error) as caught, named_errors("read", "bucket", "key"):
        raise cause
    return caught.value


def answered(code):
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (NeedsAPersonError("no"), RetryAction.FAIL, None),
        (s3_error(EndpointConnectionError(endpoint_url="http://127.0.0.1:1")), RetryAction.RETRY, 2),
        (s3_error(answered("SlowDown")), RetryAction.RETRY, 2),
        (s3_error(answered("AccessDenied")), RetryAction.DEFAULT, None),
        (RekognitionThrottled("no"), RetryAction.RETRY, 5),
        (KeyError("no"), RetryAction.DEFAULT, None),
    ],
    ids=["a person's", "S3 is away", "S3 is busy", "S3 denies", "Rekognition is busy", "any other"],
)
def test_an_outage_is_waited_out_and_what_a_person_must_mend_is_not(error, action, delay):
    policy = moderation_retry_policy(also=rekognition_retry_policy(throttled_delay=timedelta(minutes=5)))

    decision = policy.evaluate(error, try_number=1, max_tries=3)

    assert decision.action == action
    assert decision.retry_delay == (timedelta(minutes=delay) if delay else None)
