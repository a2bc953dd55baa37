"""What of an archive is in which chunk."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from moderation.archive.backfill.cutting import cut
from moderation.archive.backfill.state import Options
from moderation.settings import Settings
from moderation.storage import s3_objects
from support import pictures

HELD = {"a": 1, "b": 2, "c": 3, "d": 1, "e": 2}
"""Keys, and what each holds."""


def chunks(settings: Settings, s3: Any, bucket: str, order: str) -> list[str]:
    """The keys of each chunk."""
    options = Options(order=order, chunk_images=2)
    archive = cut(settings, s3, "old", f"s3://{bucket}/photos/", options, now="2026-11-01T00:00:00+00:00")
    read = [pq.read_table(io.BytesIO(s3_objects.read(s3, chunk.uri).body)) for chunk in archive.chunks]
    return ["".join(key.split("/")[-1] for key in table.column("key").to_pylist()) for table in read]


@pytest.fixture
def archive(settings: Settings, s3_client: Any, bucket: str) -> Settings:
    for name, number in HELD.items():
        body = pictures.jpeg(seed=number) + bucket.encode()
        s3_client.put_object(Bucket=bucket, Key=f"photos/{name}", Body=body)
    return settings


@pytest.mark.parametrize("order", ["prefix", "given"])
def test_copies_are_in_the_chunk_of_the_first_for_chunks_under_way_at_once_would_each_pay(
    archive: Settings, s3_client: Any, bucket: str, order: str
) -> None:
    assert chunks(archive, s3_client, bucket, order) == ["ad", "be", "c"]


def test_where_copies_are_paid_for_anyhow_the_order_asked_for_is_kept(
    archive: Settings, s3_client: Any, bucket: str
) -> None:
    alone = replace(archive, share_answers=False)
    assert chunks(alone, s3_client, bucket, "prefix") == ["ab", "cd", "e"]
