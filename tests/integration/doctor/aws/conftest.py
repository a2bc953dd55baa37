"""An account on loopback: the real S3 server and the offline Rekognition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition.launch import Rekognition
from moderation.doctor.aws.account import Account
from moderation.settings import DagSettings, Settings


@pytest.fixture
def settings(bucket: str, tmp_path: Path) -> Settings:
    """All places in one fresh bucket, and nothing published."""
    return replace(
        Settings.from_env({}),
        work_uri=f"s3://{bucket}/work",
        input_uri=f"s3://{bucket}/in",
        tables_uri=f"s3://{bucket}/tables",
        catalog_uri=f"sqlite:///{tmp_path}/catalog.db",
        warehouse_path=tmp_path / "warehouse.duckdb",
    )


@pytest.fixture
def account(
    settings: Settings, aws_env: pytest.MonkeyPatch, rekognition_server: Rekognition
) -> Iterator[Account]:
    """One in which nothing stands in the way."""
    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", rekognition_server.endpoint_url)
    account = Account(settings, DagSettings.from_env({}))
    yield account
    account.close()


@pytest.fixture
def keys(s3_client: Any, bucket: str) -> Any:
    """Gives the keys that the bucket has now."""
    return lambda: [entry["Key"] for entry in s3_client.list_objects_v2(Bucket=bucket).get("Contents", [])]
