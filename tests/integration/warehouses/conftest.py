"""A real PostgreSQL for the warehouses, and settings whose tables are in the real S3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moderation.settings import Settings
from support import planned_runs
from support.postgres_fixtures import postgres_server, postgres_uri  # noqa: F401 - fixtures
from support.table_fixtures import local_settings  # noqa: F401 - a fixture


@pytest.fixture
def settings(tmp_path: Path, bucket: str, aws_env: Any) -> Settings:
    return planned_runs.make_settings(tmp_path, bucket, tables="s3")
