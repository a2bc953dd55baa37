"""AWS's own listing order, as moto keeps it; the real S3 server of the other tests sorts by folder."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from moderation.plan.discovery import discover
from moderation.plan.ledger import Question
from moderation.settings import Settings
from moderation.sources.s3_prefix import S3Prefix

KEYS = ["a/z.jpg", "a-b.jpg", "a.jpg", "a/b/c.jpg", "B.jpg", "\u00e9.jpg", "\U0001f600.jpg", "\ufb01.jpg"]


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_a_plan_is_that_of_the_keys_bytes_whatever_order_they_are_listed_in(
    aws, order, monkeypatch, tmp_path
):
    settings = replace(
        Settings.from_env({}), inspect_threads=1, catalog_uri=f"sqlite:///{tmp_path}/catalog.db"
    )
    aws.create_bucket(Bucket=settings.work_uri.removeprefix("s3://"))  # where is noted what was erased
    for key in KEYS:
        aws.put_object(Bucket="photos", Key=key, Body=b"x" * 100)
    pages = S3Prefix._pages

    def reordered(self, s3, threads):
        for page in pages(self, s3, threads):
            yield page[::order]

    monkeypatch.setattr(S3Prefix, "_pages", reordered)

    found = discover(
        settings,
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
