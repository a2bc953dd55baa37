"""A Dag of one Rekognition task, the exceptions its tries end with, and ways for it to die."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.models.dagrun import DagRun
from airflow.sdk import DAG

from rekognition.operators import RekognitionStartMediaAnalysisJobOperator
from support import airflow_runs

MODES: dict[str, dict[str, Any]] = {
    "sync": {"deferrable": False},
    "deferrable": {"deferrable": True},
    "no_wait": {"deferrable": False, "wait_for_completion": False},
}
each_mode = pytest.mark.parametrize("mode", MODES)


def in_turn(*short: str) -> pytest.MarkDecorator:
    """Each mode, those that are not named if long: the tests of what all modes share take turns with them."""
    return pytest.mark.parametrize(
        "mode", [pytest.param(mode, marks=() if mode in short else pytest.mark.long) for mode in MODES]
    )


MANIFEST = {"input_uri": "s3://in-bucket/m1.jsonl", "output_uri": "s3://out-bucket/m1/", "job_name": "m1"}
_numbers = itertools.count()


class Killed(BaseException):
    """The task process is no more: nothing but the metadata database and AWS knows what it did."""


class Watched:
    """A Dag of one task, and the exceptions its tries ended with."""

    def __init__(self, mode: str, *, mapped: list[dict[str, Any]] | None = None, **kwargs: Any) -> None:
        self.errors: list[BaseException] = []
        common = {
            "task_id": "analyse",
            "retries": 3,
            "retry_delay": timedelta(0),
            "poll_interval": 0.01,
            "on_retry_callback": self._note,
            "on_failure_callback": self._note,
            **MODES[mode],
        }
        params = {"manifest": "m1", "confidence": "55", "force": False}
        start = datetime(2026, 1, 1, tzinfo=UTC)
        dag_id = f"rekognition_{next(_numbers)}"
        with DAG(dag_id, schedule=None, start_date=start, params=params) as self.dag:
            operator = RekognitionStartMediaAnalysisJobOperator
            if mapped is None:
                operator(**{**common, **MANIFEST, **kwargs})
            else:
                operator.partial(**{**common, **kwargs}).expand_kwargs(mapped)

    def _note(self, context: Any) -> None:
        self.errors.append(context["exception"])

    def run(self, **conf: Any) -> DagRun:
        self.dag_run = airflow_runs.run(self.dag, run_conf=conf)
        return self.dag_run

    def clear(self) -> None:
        airflow_runs.clear_and_run(self.dag, self.dag_run, "analyse")

    @property
    def states(self) -> list[str]:
        return [str(ti.state) for ti in airflow_runs.instances(self.dag_run, "analyse")]

    @property
    def tries(self) -> list[int]:
        return [ti.try_number for ti in airflow_runs.instances(self.dag_run, "analyse")]

    @property
    def returned(self) -> list[Any]:
        return airflow_runs.returned(self.dag_run, "analyse")


def kill_once(
    monkeypatch: pytest.MonkeyPatch, owner: type, method: str, *, call: int = 1, after: bool = True
) -> None:
    """Let the process die right before or after the given call of a real method; later ones live."""
    real: Callable[..., Any] = getattr(owner, method)
    count = itertools.count(1)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        mine = next(count) == call
        if mine and not after:
            raise Killed(f"before {method}")
        answer = real(*args, **kwargs)
        if mine:
            raise Killed(f"after {method}")
        return answer

    monkeypatch.setattr(owner, method, wrapped)
