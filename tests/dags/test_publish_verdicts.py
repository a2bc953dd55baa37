from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from moderation import stages
from moderation.adapters.after import reminder
from moderation.publish.verdicts import PublishedVerdicts
from moderation.review.queue import Progress
from moderation.review.state import open as review_state
from moderation.review.state.faults import StateUnavailableError
from moderation.storage.lease import LeaseBusy
from moderation_airflow import metrics

DAG_FILE = Path(__file__).parents[2] / "dags" / "publish_verdicts.py"
OLDEST = datetime(2026, 11, 22, tzinfo=UTC)


def load_dag() -> Any:
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 - airflow is slow to import

    bag = DagBag(str(DAG_FILE))
    assert not bag.import_errors
    return bag.dags["publish_verdicts"]


def publish(
    monkeypatch: pytest.MonkeyPatch, done: PublishedVerdicts | Exception
) -> tuple[Any, dict[Any, Any]]:
    """What the task returns, and the events of its asset; the log is none."""

    def published(state: Any) -> PublishedVerdicts:
        if isinstance(done, Exception):
            raise done
        return done

    queues = SimpleNamespace(
        oldest_waiting=lambda: SimpleNamespace(since=OLDEST),
        progress_of_all=lambda: {"a": Progress(open=4, leased=1, done=9), "b": Progress(open=2)},
    )
    log = SimpleNamespace(waiting=lambda: (3, OLDEST))
    state = SimpleNamespace(log=log, queues=queues, close=lambda: None)
    monkeypatch.setattr(review_state, "open_state", lambda: state)
    monkeypatch.setattr(stages, "publish_verdicts", published)
    new = reminder.Waiting(since="arn", labels=("Gambling",), contents=41, needed=200)
    monkeypatch.setattr(reminder, "remind", lambda settings, log: new)
    task = load_dag().get_task("publish")
    (asset,) = task.outlets
    events = {asset: SimpleNamespace(extra=None)}
    return task.python_callable(outlet_events=events), events


def test_verdicts_are_published_hourly_one_run_at_a_time() -> None:
    dag = load_dag()
    assert dag.schedule == "@hourly"
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert dag.get_task("load").upstream_task_ids == {"publish"}


def test_an_event_tells_of_new_verdicts_and_metrics_of_those_that_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: dict[str, float] = {}
    for name in ("incr", "gauge"):
        monkeypatch.setattr(metrics.stats, name, sent.__setitem__)
    returned, events = publish(monkeypatch, PublishedVerdicts(rows=2, first="a", last="b"))
    assert [event.extra for event in events.values()] == [returned]
    assert returned == {"rows": 2, "first": "a", "last": "b", "rewritten": 0}
    assert sent["moderation.verdicts.published"] == 2
    assert sent["moderation.verdicts.waiting"] == 3
    assert sent["moderation.verdicts.waiting_seconds"] > 0
    assert sent["moderation.review.backlog"] == 7
    assert sent["moderation.review.oldest_seconds"] > 0
    assert sent["moderation.adapters.new_verdicts"] == 41
    assert "moderation.review.errors" not in sent


def test_a_publish_that_fails_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    monkeypatch.setattr(metrics.stats, "incr", lambda name, *_: counted.append(name))

    def fails() -> None:
        raise StateUnavailableError("away")

    monkeypatch.setattr(review_state, "open_state", fails)
    with pytest.raises(StateUnavailableError):
        load_dag().get_task("publish").python_callable(outlet_events={})
    assert counted == ["moderation.review.errors"]


def test_how_long_verdicts_wait_is_told_by_a_publish_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, float] = {}
    for name in ("incr", "gauge"):
        monkeypatch.setattr(metrics.stats, name, lambda key, value=1: sent.__setitem__(key, value))
    with pytest.raises(LeaseBusy):
        publish(monkeypatch, LeaseBusy("s3://work/review/lease"))
    assert sent["moderation.verdicts.waiting_seconds"] > 0
    assert sent["moderation.review.errors"] == 1
    assert "moderation.verdicts.published" not in sent


def test_nothing_new_ends_in_a_skip_and_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowSkipException, match="nothing new"):
        publish(monkeypatch, PublishedVerdicts(rows=0))
