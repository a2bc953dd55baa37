"""AWS's own listing order, as moto keeps it; the real S3 server of the other tests sorts by folder."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import boto3
import pytest
from moto import mock_aws

from moderation.plan.discovery import discover
from moderation.plan.ledger import Question
from moderation.settings import Settings
from moderation.sources.s3_prefix import S3Prefix

KEYS = ["a/z.jpg", "a-b.jpg", "a.jpg", "a/b/c.jpg", "B.jpg", "\u00e9.jpg", "\U0001f600.jpg", "\ufb01.jpg"]


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


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_a_plan_is_that_of_the_keys_bytes_whatever_order_they_are_listed_in(
    aws, order, monkeypatch, tmp_path
):
    for key in KEYS:
        aws.put_object(Bucket="photos", Key=key, Body=b"x" * 100)
    pages = S3Prefix._pages

    def reordered(self, s3):
        for page in pages(self, s3):
            yield {"Contents": page["Contents"][::order]}

    monkeypatch.setattr(S3Prefix, "_pages", reordered)

    found = discover(
        replace(Settings.from_env({}), inspect_threads=1),
        aws,
        S3Prefix("s3://photos"),
        question=Question("7.0", None, 50),
        published=None,
        inspect=False,
        dry_run=True,
        folder=tmp_path,
    )

    (table,) = found.rows.portions()
    assert table["key"].to_pylist() == sorted(KEYS, key=lambda key: key.encode())
    assert all(at <= datetime.now(UTC) for at in table["last_modified"].to_pylist())
