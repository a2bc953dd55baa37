"""One published load for all tests of the console that only look."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local_aws.seaweedfs import Credentials, SeaweedFS
from moderation.settings import Settings
from support.console_load import publish_pictures, served
from support.planned_runs import make_settings


@pytest.fixture(scope="session")
def console_world(
    s3_server: SeaweedFS, credentials: Credentials, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, str, Path]]:
    """Settings of a published load, its id, and a folder for caches."""
    folder = tmp_path_factory.mktemp("console")
    bucket = f"test-{uuid.uuid4().hex[:16]}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_S3": s3_server.endpoint_url,
        }.items():
            patch.setenv(name, value)
        s3 = boto3.client(
            "s3", endpoint_url=s3_server.endpoint_url, config=Config(s3={"addressing_style": "path"})
        )
        s3.create_bucket(Bucket=bucket)
        settings = replace(make_settings(folder, bucket, tables="local"), input_uri=f"s3://{bucket}/input")
        yield settings, publish_pictures(settings, s3, bucket), folder
        s3.close()


@pytest.fixture
def load_id(console_world: tuple[Settings, str, Path]) -> str:
    return console_world[1]


@pytest.fixture
def console(console_world: tuple[Settings, str, Path], aws_env: Any) -> Iterator[Any]:
    """The console over that load, logged in."""
    settings, _, folder = console_world
    with served(settings, folder / "cache") as client:
        yield client
