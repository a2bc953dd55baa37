"""Fixtures that every part of the suite shares: real servers on free loopback ports."""

from __future__ import annotations

from support import airflow_home, surroundings

surroundings.leave_outside()  # what a shell and a home say of AWS, proxies and Airflow
airflow_home.prepare()  # a test that imports airflow must never write into the home of who runs it

import gc
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import settings

from local_aws import seaweedfs
from local_aws.seaweedfs import Credentials, SeaweedFS
from support import assumed, aws_models, browser, iceberg_metadata

# A deadline is a fixed time for work of unknown length: on a busy machine it fails what is right.
settings.register_profile("moderation", deadline=None)
settings.load_profile("moderation")
gc.disable()  # until all is collected: what that makes stays to the end, and is looked through again and again

aws_models.read_once()
iceberg_metadata.read_once()
LONGEST = (
    "test_nemesis.py",
    "test_restarts.py",
    "test_operations.py",  # with the same Airflow, which ends when the tests of its folder do
    "test_make_run.py",
    "test_compaction.py",
    "test_commit.py",
    "test_moderate_images.py",
    "test_rekognition_paid_once_runs.py",
    "test_rebuild.py",
    "test_moderate_images_backends.py",
    "test_by_keyboard.py",
    "test_redshift.py",
    "test_warehouse_tasks.py",
    "test_verify_by_keyboard.py",
    "test_postgres.py",
    "test_glue.py",
)
"""The files that keep a worker for a minute or more, the longest first."""

TEST_CREDENTIALS = Credentials("AKIAMODERATIONTEST00", "test-secret-key-of-no-value-anywhere")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long begin first, so that no worker is left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    turn = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (turn.get(item.path.name, len(turn)), item.path not in slow))


def pytest_collection_finish() -> None:
    """The garbage of a test is looked for among what tests make, not among all that was collected."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line of all: what was left out for want of a browser, and how to get one."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    left_out = [report for report in skipped if browser.HOW in str(report.longrepr)]
    if left_out:
        reporter.write_line(f"{len(left_out)} tests were left out for want of a browser: {browser.HOW}")


@pytest.fixture(scope="session")
def credentials() -> Credentials:
    return TEST_CREDENTIALS


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory, credentials: Credentials) -> Iterator[SeaweedFS]:
    # Sessions end while a test looks on; those that last are asked for with DurationSeconds.
    folder = tmp_path_factory.mktemp("seaweedfs")
    server = seaweedfs.start(folder, credentials, roles=assumed.ROLES, session_seconds=assumed.SECONDS)
    yield server
    server.stop()


@pytest.fixture
def aws_env(
    monkeypatch: pytest.MonkeyPatch, s3_server: SeaweedFS, credentials: Credentials
) -> pytest.MonkeyPatch:
    """The process environment as `.env` would set it, for code that builds its own clients."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", credentials.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint_url)
    return monkeypatch


@pytest.fixture
def s3_client(s3_server: SeaweedFS, credentials: Credentials) -> Iterator[Any]:
    client = boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint_url,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 5, "mode": "standard"}),
    )
    yield client
    client.close()


@pytest.fixture
def bucket(s3_client: Any) -> str:
    """A fresh, empty bucket."""
    name = f"test-{uuid.uuid4().hex[:16]}"
    s3_client.create_bucket(Bucket=name)
    return name
