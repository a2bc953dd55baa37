"""Runs that work off chunks in this process, as the Dag ``moderate_images`` does it by single calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moderation import stages
from moderation.analyse.detect.budget import FixedBudget
from moderation.analyse.detect.records import request_of
from moderation.analyse.detect.request import DetectOptions
from moderation.analyse.detect.run import run_manifest
from moderation.plan.store import load_plan
from moderation.settings import Settings

DAG = "moderate_images"


@dataclass
class StageRuns:
    """What Airflow knows of runs, and how they go.

    :ivar failing: ids of runs that fail, as soon as they have begun.
    :ivar dying: ids of runs that fail when they have paid, before they publish.
    :ivar others: runs that have nothing to do with archives and have not ended.
    """

    settings: Settings
    s3: Any
    folder: Path
    failing: set[str] = field(default_factory=set)
    dying: set[str] = field(default_factory=set)
    others: int = 0
    known: dict[str, str] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)

    def states(self, run_ids: list[str]) -> Mapping[str, str | None]:
        return {run_id: self.known.get(run_id) for run_id in run_ids}

    def why(self, run_id: str) -> str:
        return f"{run_id} was told to fail" if run_id in self.failing | self.dying else ""

    def lives(self, dag_id: str, run_id: str) -> bool:
        return dag_id == DAG and self.known.get(run_id) == "running"

    def live(self) -> int:
        return self.others + sum(state == "running" for state in self.known.values())

    def ahead(self, run_ids: list[str]) -> Mapping[str, int | None]:
        return {run_id: 0 for run_id in run_ids if self.known.get(run_id) == "running"} | {
            run_id: None for run_id in run_ids if self.known.get(run_id) != "running"
        }

    def begin(self, asked: list[dict[str, Any]]) -> None:
        """What the operator does: a run that is there is begun once, or cleared when it is to go again."""
        for one in asked:
            run_id = one["trigger_run_id"]
            if run_id not in self.known or one["reset_dag_run"]:
                self.begun.append(run_id)
                self.known[run_id] = self._state_after(run_id, one["conf"])

    def _state_after(self, run_id: str, conf: dict[str, Any]) -> str:
        if run_id in self.failing:
            return "failed"
        run = stages.Run(DAG, run_id, datetime.now(UTC))
        asked = {**conf, "backend": "detect"}
        uri = stages.discover(run, settings=self.settings, **asked)
        stages.job_arguments(uri, settings=self.settings)
        plan = load_plan(uri, s3=self.s3)
        for manifest in plan.manifests:
            run_manifest(
                request_of(plan, manifest),
                settings=self.settings,
                s3=self.s3,
                budget=FixedBudget(1000),
                options=DetectOptions(spool_dir=self.folder / "spool"),
            )
        if run_id in self.dying:
            return "failed"
        stages.publish(uri, [], describe_job=_none, list_jobs=lambda: iter(()), settings=self.settings)
        return "success"


def _none(job_id: str) -> dict[str, Any]:
    raise AssertionError(job_id)
