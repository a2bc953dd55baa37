"""Airflow for the tests of Dags: a temporary home with a migrated SQLite database."""

from __future__ import annotations

from support import airflow_home

airflow_home.prepare()

from collections.abc import Iterator  # noqa: E402 - airflow must not be imported before its home is set
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
from airflow import settings  # noqa: E402
from airflow.utils.db import initdb  # noqa: E402

from local_aws.rekognition import launch  # noqa: E402
from local_aws.rekognition.launch import Rekognition  # noqa: E402
from local_aws.seaweedfs import Credentials, SeaweedFS  # noqa: E402
from support import moderation_runs  # noqa: E402
from support import rekognition_server as offline  # noqa: E402
from support.airflow_web import application  # noqa: E402, F401 - a fixture
from support.fake_rekognition import fake_rekognition  # noqa: E402, F401 - a fixture


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let Airflow's own deprecations pass, in the tests of this folder only."""
    here = {path for path in {item.path for item in items} if Path(__file__).parent in path.parents}
    for item in items:
        if item.path in here:
            for warning in airflow_home.WARNINGS_OF_AIRFLOW:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def airflow_db() -> Iterator[None]:
    """A metadata database as ``airflow db migrate`` leaves it, for ``dag.test()``."""
    initdb()
    yield
    settings.dispose_orm()


@pytest.fixture(scope="session")
def dag_server(
    tmp_path_factory: pytest.TempPathFactory, s3_server: SeaweedFS, credentials: Credentials
) -> Iterator[Rekognition]:
    """One offline Rekognition without quotas for the runs of ``moderate_images``."""
    folder = tmp_path_factory.mktemp("rekognition-dag")
    with launch.start(
        folder, credentials, s3_server.endpoint_url, settings=offline.quick(), python_path=[offline.TESTS]
    ) as server:
        yield server


@pytest.fixture
def world(
    aws_env: pytest.MonkeyPatch, dag_server: Rekognition, s3_client: Any, bucket: str, tmp_path: Path
) -> moderation_runs.World:
    """One test's bucket and folder, and the Dag as its file makes it in them."""
    moderation_runs.environment(aws_env, dag_server, bucket, tmp_path)
    return moderation_runs.World(dag_server, s3_client, bucket, moderation_runs.read_dag())
