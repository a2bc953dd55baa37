"""AWS's own listing as moto keeps it: its order, and any key."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws


@pytest.fixture
def aws(monkeypatch):
    for name, value in {
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client = boto3.Session().client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="photos")
        yield client
        client.close()
