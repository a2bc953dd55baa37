"""An archive asks the offline Rekognition; its tables are in a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from local_aws.rekognition.launch import Rekognition
from moderation.settings import Settings


@pytest.fixture
def settings(
    aws_env: pytest.MonkeyPatch, rekognition_server: Rekognition, bucket: str, tmp_path: Path
) -> Settings:
    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", rekognition_server.endpoint_url)
    aws_env.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return replace(
        Settings.from_env({}),
        work_uri=f"s3://{bucket}/work",
        tables_uri=str(tmp_path / "tables"),
        catalog_uri=f"sqlite:///{tmp_path}/catalog.db",
        model_version="offline-hash-1",
        detect_tps=1000.0,
        inspect_threads=4,
    )
