"""Fixtures of the detect backend against a real offline Rekognition and a real S3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition.launch import Rekognition
from moderation.settings import Settings
from support.detect import Workbench


@pytest.fixture
def settings(aws_env: pytest.MonkeyPatch, bucket: str) -> Settings:
    return replace(Settings.from_env(), work_uri=f"s3://{bucket}/work")


@pytest.fixture
def workbench(
    aws_env: pytest.MonkeyPatch, s3_client: Any, bucket: str, settings: Settings, tmp_path: Path
) -> Callable[[Rekognition], Workbench]:
    """Makes the tools of one test around one Rekognition server."""

    def make(server: Rekognition) -> Workbench:
        aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", server.endpoint_url)
        return Workbench(server, s3_client, bucket, settings, tmp_path / "spool")

    return make


@pytest.fixture
def bench(workbench: Callable[[Rekognition], Workbench], rekognition_server: Rekognition) -> Workbench:
    """The tools around the shared server without quotas."""
    return workbench(rekognition_server)
