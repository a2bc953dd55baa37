"""Where tasks may run on several machines, nothing that must outlive one lies on its disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from moderation.review.state.faults import StateUnusableError
from moderation.review.state.open import open_state
from moderation_airflow.machines import several_hosts
from moderation_airflow.machines.several_hosts import OwnDiskError

SHARED = {
    "MODERATION_CATALOG_URI": "postgresql+psycopg://a:secret@db/catalog",
    "MODERATION_TABLES_URI": "s3://tables",
    "MODERATION_WAREHOUSES": "airflow:warehouse",
}


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Celery, and all that is shared; the variable that the executor leaves behind is taken away again."""
    monkeypatch.setenv("MODERATION_SEVERAL_HOSTS", "")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    for name, value in SHARED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize(
    ("named", "several"),
    [
        ("LocalExecutor", False),
        ("airflow.executors.local_executor.LocalExecutor", False),
        ("CeleryExecutor", True),
        ("LocalExecutor,KubernetesExecutor", True),
        ("team=CeleryExecutor;LocalExecutor", True),
        ("edge:airflow.providers.edge3.executors.EdgeExecutor", True),
        ("our.own.Fleet", True),
    ],
)
def test_every_executor_but_the_local_ones_means_several_machines(executor, named, several):
    executor.setenv("AIRFLOW__CORE__EXECUTOR", named)
    assert several_hosts.note() is several


def test_what_all_machines_share_is_let_pass(executor):
    several_hosts.refuse_own_disks()


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("MODERATION_CATALOG_URI", "sqlite:////data/catalog.db", "is a file: set it to glue or postgresql"),
        ("MODERATION_TABLES_URI", "/data/tables", "is a folder: set it to s3://"),
        ("MODERATION_TABLES_URI", "file:///data/tables", "is a folder: set it to s3://"),
        ("MODERATION_WAREHOUSES", "duckdb", "has duckdb: set it to airflow:CONNECTION_ID"),
        ("MODERATION_WAREHOUSES", "folder, airflow:x", "has folder: set it to airflow:CONNECTION_ID"),
        ("MODERATION_WAREHOUSES", "", "has duckdb: set it to airflow:CONNECTION_ID"),
    ],
)
def test_what_lies_on_one_disk_is_refused_with_the_variable_and_what_to_set(executor, name, value, remedy):
    executor.setenv(name, value)
    with pytest.raises(OwnDiskError, match=f"CeleryExecutor .*{name} {remedy}") as told:
        several_hosts.refuse_own_disks()
    assert "secret" not in str(told.value)


def test_all_that_is_wrong_is_told_at_once(executor):
    for name in SHARED:
        executor.delenv(name)
    executor.setenv("MODERATION_TABLES_URI", "tables")
    with pytest.raises(OwnDiskError) as told:
        several_hosts.refuse_own_disks()
    assert all(name in str(told.value) for name in SHARED)


def test_who_says_that_it_is_one_machine_is_believed(executor):
    executor.setenv("MODERATION_CATALOG_URI", "sqlite:////data/catalog.db")
    executor.setenv("MODERATION_SEVERAL_HOSTS", "0")
    several_hosts.refuse_own_disks()


def test_the_embedded_default_asks_for_nothing(executor):
    executor.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    for name in SHARED:
        executor.delenv(name)
    several_hosts.refuse_own_disks()


def test_a_file_of_verdicts_is_refused_where_it_would_be_opened_and_none_is_made(executor, tmp_path: Path):
    executor.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    several_hosts.note()
    with pytest.raises(StateUnusableError, match="MODERATION_REVIEW_DB is a file"):
        open_state()
    assert not list(tmp_path.iterdir())
