"""Tables in a folder, a work prefix in S3, and what reads the ledger's files there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from moderation.settings import Settings
from moderation.tables.catalog import open_catalog
from moderation.tables.ledger.runs import Files
from support import planned_runs


@pytest.fixture
def settings(tmp_path: Path, bucket: str, aws_env: pytest.MonkeyPatch) -> Settings:
    return planned_runs.make_settings(tmp_path, bucket, tables="local")


@pytest.fixture
def files(settings: Settings) -> Iterator[Files]:
    with open_catalog(settings) as catalog:
        yield Files(settings, catalog.properties)
