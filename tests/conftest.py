"""Fixtures that every part of the suite shares: real servers on free loopback ports."""

from __future__ import annotations

from support import airflow_home, surroundings

surroundings.leave_outside()  # what a shell and a home say of AWS, proxies and Airflow
airflow_home.prepare()  # a test that imports airflow must never write into the home of who runs it

import gc
import os
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import settings

from local_aws import seaweedfs
from local_aws.seaweedfs import Credentials, SeaweedFS
from support import assumed, aws_models, browser, drawings, iceberg_metadata

# A deadline is a fixed time for work of unknown length: on a busy machine it fails what is right.
settings.register_profile("moderation", deadline=None)
settings.load_profile("moderation")
_AT_FIRST = dict(os.environ)
gc.disable()  # until all is collected: what that makes stays to the end

aws_models.read_once()
iceberg_metadata.read_once()
drawings.draw_once()
LONGEST = (
    "test_make_run.py",
    "test_restarts.py",
    "test_operations.py",  # with the same Airflow, which ends when the tests of its folder do
    "test_moderate_images.py",
    "test_compaction.py",
    "test_state_of_earlier_release.py",
    "test_commit.py",
    "test_rebuild.py",
    "test_nemesis.py",
    "test_glue.py",
    "test_written_places.py",
    "test_verify_by_keyboard.py",
    "test_by_keyboard.py",
    "test_moderator.py",
    "test_warehouse_tasks.py",
    "test_rekognition_paid_once_runs.py",
    "test_survival.py",
    "test_jobs.py",
    "test_redshift.py",
    "test_postgres.py",
)
"""The files that keep a worker for half a minute or more, the longest first."""

TOGETHER = ("tests/dags", "tests/integration/console", "tests/integration/airflow_restarts")
"""Folders whose tests share what takes seconds to start: one worker runs all of theirs."""

TEST_CREDENTIALS = Credentials("AKIAMODERATIONTEST00", "test-secret-key-of-no-value-anywhere")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long begin first, so that no worker is left with one at the end."""
    turn = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: turn.get(item.path.name, len(turn)))


def pytest_collection_finish() -> None:
    """Tests run in a folder of their own: what goes by defaults leaves nothing in `var/` of who runs them.

    The garbage of a test is looked for among what tests make, not among all that was collected.
    """
    os.chdir(surroundings.working_folder())
    gc.freeze()
    # With Python's own values a twelfth of the time of the tests goes into looking for garbage.
    gc.set_threshold(5_000, 10, 20)
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Workers take whole files, as with ``--dist loadfile``, or the whole of a folder of :data:`TOGETHER`."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 - it may be absent

    class ByServers(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((folder for folder in TOGETHER if file.startswith(f"{folder}/")), file)

    return ByServers(config, log)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line of all: what was left out for want of a browser, and how to get one."""
    gc.unfreeze()
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    left_out = [report for report in skipped if browser.HOW in str(report.longrepr)]
    if left_out:
        reporter.write_line(f"{len(left_out)} tests were left out for want of a browser: {browser.HOW}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """No file of tests leaves another one its environment, or credentials that boto3 remembers."""
    yield
    if nextitem is None or nextitem.path != item.path:
        boto3.DEFAULT_SESSION = None
        if left := surroundings.left_by(_AT_FIRST):
            pytest.fail(f"{item.path.name} leaves the next file its environment: {sorted(left)}")


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
