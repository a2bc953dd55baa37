from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moderation.settings import Settings
from support import planned_runs


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.long)])
def settings(request: pytest.FixtureRequest, tmp_path: Path, bucket: str, aws_env: Any) -> Settings:
    made = planned_runs.make_settings(tmp_path, bucket, tables=request.param)
    return replace(made, parquet_mirror=tmp_path / "mirror")


@pytest.fixture
def local_settings(tmp_path: Path, bucket: str, aws_env: Any) -> Settings:
    made = planned_runs.make_settings(tmp_path, bucket, tables="local")
    return replace(made, parquet_mirror=tmp_path / "mirror")
