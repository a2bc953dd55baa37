from __future__ import annotations

import pytest
from botocore.exceptions import ClientError


def test_an_object_comes_back_as_it_was_put(s3_client, bucket):
    s3_client.put_object(Bucket=bucket, Key="odd key #1 %25 ü\U0001f600", Body=b"bytes")

    answer = s3_client.get_object(Bucket=bucket, Key="odd key #1 %25 ü\U0001f600")

    assert answer["Body"].read() == b"bytes"


def test_a_conditional_put_loses_against_an_existing_object(s3_client, bucket):
    s3_client.put_object(Bucket=bucket, Key="once", Body=b"first", IfNoneMatch="*")

    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3_client.put_object(Bucket=bucket, Key="once", Body=b"second", IfNoneMatch="*")

    assert s3_client.get_object(Bucket=bucket, Key="once")["Body"].read() == b"first"
