"""Settings and helpers for the stages before the analysis, on the real S3 server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from moderation.settings import Settings
from moderation.sources.base import Source
from moderation.sources.listing import SCHEMA, Tally
from support import pictures

Put = Callable[..., None]


@pytest.fixture
def settings(aws_env: pytest.MonkeyPatch, bucket: str, tmp_path: Any) -> Settings:
    """All places in one fresh bucket."""
    return replace(
        Settings.from_env({}),
        work_uri=f"s3://{bucket}/work",
        input_uri=f"s3://{bucket}/in",
        tables_uri=str(tmp_path / "tables"),
        catalog_uri=f"sqlite:///{tmp_path / 'catalog.db'}",
        inspect_threads=4,
    )


@pytest.fixture
def put(s3_client: Any, bucket: str) -> Put:
    """Put objects into the bucket: good pictures, no two alike, unless a body is given."""
    good = pictures.picture()

    def put(*keys: str, body: bytes | None = None) -> None:
        for key in keys:
            content = good + key.encode() if body is None else body
            s3_client.put_object(Bucket=bucket, Key=key, Body=content)

    return put


@pytest.fixture
def scan(settings: Settings, s3_client: Any) -> Callable[..., tuple[pa.Table, Tally]]:
    """All rows of a source, and the counts."""

    def scan(source: Source, *, dry_run: bool = False) -> tuple[pa.Table, Tally]:
        tally = Tally()
        batches = list(source.batches(settings, s3_client, tally, dry_run=dry_run))
        return pa.Table.from_batches(batches, schema=SCHEMA), tally

    return scan
