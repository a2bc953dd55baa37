"""The Dag ``review_numbers``: a week's numbers are a table and a page; people hear when precision moved."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from airflow.dag_processing.dagbag import DagBag

from moderation.report.page.store import read_page
from moderation.review.statistics.drift import Left
from moderation.settings import Settings
from moderation_airflow import alerts, metrics
from moderation_airflow.review import numbers
from support.airflow_home import REPOSITORY
from support.judged import publish_judged


def read_dag() -> Any:
    bag = DagBag(str(REPOSITORY / "dags" / "review_numbers.py"))
    assert not bag.import_errors
    return bag.dags["review_numbers"]


@pytest.fixture
def verified(aws_env: pytest.MonkeyPatch, bucket: str, tmp_path: Any, s3_client: Any) -> Settings:
    """Three published images with a verdict on each."""
    for name, value in {
        "MODERATION_WORK_URI": f"s3://{bucket}/work",
        "MODERATION_TABLES_URI": str(tmp_path / "tables"),
        "MODERATION_CATALOG_URI": f"sqlite:///{tmp_path}/catalog.db",
        "MODERATION_WAREHOUSE": str(tmp_path / "warehouse.duckdb"),
        "MODERATION_REVIEW_DB": str(tmp_path / "review.db"),
    }.items():
        aws_env.setenv(name, value)
    settings = Settings.from_env()
    publish_judged(settings, s3_client, bucket, red=1, images=3)
    return settings


def test_it_runs_each_week_and_loads_what_it_published() -> None:
    dag = read_dag()
    assert (dag.schedule, dag.catchup, dag.max_active_runs) == ("0 6 * * 1", False, 1)
    assert dag.get_task("load").upstream_task_ids == {"tell"}


@pytest.mark.slow
def test_the_numbers_are_published_loaded_and_a_page_and_a_clear_doubles_nothing(
    verified: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, float] = {}
    monkeypatch.setattr(metrics.stats, "gauge", sent.__setitem__)
    dag = read_dag()
    for _ in range(2):
        told = dag.get_task("tell").python_callable()
        dag.get_task("load").python_callable()
    assert told["left"] == []
    assert sent == {"moderation.review.precision_left": 0}
    assert b"How good the answers are" in read_page(verified, "numbers.html")
    with duckdb.connect(verified.warehouse_path, read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM review_numbers").fetchone() == (told["numbers"],)


def test_whoever_is_told_of_failures_hears_of_precision_that_moved(
    verified: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Left("Violence", "7.0", None, 50.0, before=(0.8, 0.9), now=(0.5, 0.6))
    heard: list[tuple[str, str]] = []
    sent: dict[str, float] = {}
    monkeypatch.setattr(metrics.stats, "gauge", sent.__setitem__)
    monkeypatch.setattr(numbers, "publish_numbers", lambda *_: [moved])
    monkeypatch.setattr(alerts, "_tell", lambda _, subject, message, *__: heard.append((subject, message)))
    told = numbers.tell({"ti": SimpleNamespace(dag_id="review_numbers", run_id="weekly")})
    assert sent == {"moderation.review.precision_left": 1}
    ((subject, message),) = heard
    assert subject == "Moderation: precision is not where it was"
    assert message.startswith("precision of Violence fell: 50.0% to 60.0%, before 80.0% to 90.0%")
    assert told["page"] in message
