"""Airflow for the tests of Dags: a temporary home with a migrated SQLite database."""

from __future__ import annotations

from support import airflow_home

airflow_home.prepare()

from collections.abc import Iterator  # noqa: E402 - airflow must not be imported before its home is set
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
from airflow import settings  # noqa: E402
from airflow.utils.db import initdb  # noqa: E402

from support.fake_rekognition import fake_rekognition  # noqa: E402, F401 - a fixture


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let Airflow's own deprecations pass, in the tests of this folder only."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in airflow_home.WARNINGS_OF_AIRFLOW:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def airflow_db() -> Iterator[None]:
    """A metadata database as ``airflow db migrate`` leaves it, for ``dag.test()``."""
    initdb()
    yield
    settings.dispose_orm()
