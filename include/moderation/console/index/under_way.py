"""How far the runs are whose images are not published yet, told by what lies beside their plans.

A task leaves the summary of a manifest last, whichever backend answers it, so a manifest with a summary is
answered. Single calls also leave parts of a checkpoint meanwhile, whose first line says how many answers each
holds. A part never changes, and so is looked into once.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from moderation.analyse.detect import checkpoint
from moderation.plan import claims, store
from moderation.plan.plan import Plan, PlanError
from moderation.settings import Settings
from moderation.storage import s3_objects

_FRESH_SECONDS = 2.0
_SUMMARY = "manifest-summary.json"
_PART = ".ckpt"


@dataclass(frozen=True)
class OpenRun:
    """A plan whose images are not published yet.

    :param ended: manifests of which all answers are there.
    :param answered: images of which the answers are there, as far as it can be told.
    """

    plan: Plan
    ended: int
    answered: int

    @property
    def state(self) -> str:
        """Where it is, in a few words."""
        if self.ended == len(self.plan.manifests):
            return "answered, not yet published"
        return "being analysed" if self.answered or self.ended else "planned, nothing answered yet"

    def as_data(self) -> dict[str, Any]:
        """What a page shows of it, apart from foreign text."""
        return {
            "load_id": self.plan.load_id,
            "state": self.state,
            "images": self.plan.totals.to_analyse,
            "answered": self.answered,
            "manifests": len(self.plan.manifests),
            "ended": self.ended,
        }


class UnderWay:
    """Runs under way, looked up at most every two seconds however many pages ask."""

    def __init__(self, settings: Settings, s3: Any) -> None:
        self._settings = settings
        self._s3 = s3
        self._plans: dict[str, Plan] = {}
        self._parts: dict[str, int] = {}
        self._runs: list[OpenRun] = []
        self._read_at: float | None = None
        self._lock = threading.Lock()

    def runs(self, published: Iterable[str]) -> list[OpenRun]:
        """Plans that hold images, the newest first.

        :param published: ids of loads that are published.
        :raises moderation.storage.s3_objects.S3Error: they cannot be looked up now.
        """
        with self._lock:
            if self._read_at is None or time.monotonic() - self._read_at > _FRESH_SECONDS:
                self._runs = self._look()
                self._read_at = time.monotonic()
            known = set(published)
            return [run for run in self._runs if run.plan.load_id not in known]

    def _look(self) -> list[OpenRun]:
        held = {claim.plan_uri for claim in claims.held(self._s3, self._settings)}
        self._plans = {uri: plan for uri in sorted(held) if (plan := self._plan(uri))}
        seen: set[str] = set()
        runs = [self._progress(plan, seen) for plan in self._plans.values()]
        self._parts = {uri: records for uri, records in self._parts.items() if uri in seen}
        return sorted(runs, key=lambda run: run.plan.created_at, reverse=True)

    def _plan(self, uri: str) -> Plan | None:
        """None for one that is gone or damaged: its own run tells that, and the others are shown."""
        if uri in self._plans:
            return self._plans[uri]
        try:
            return store.load_plan(uri, s3=self._s3)
        except PlanError:
            return None
        except s3_objects.S3Error as error:
            if error.is_missing:
                return None
            raise

    def _progress(self, plan: Plan, seen: set[str]) -> OpenRun:
        records = s3_objects.list_objects(self._s3, f"{plan.folder_uri}/jobs/")
        ended = {entry["Key"].rpartition("/")[2].removesuffix(".json") for entry in records}
        partly: dict[str, int] = defaultdict(int)
        for manifest_id, uri in self._output(plan):
            if uri.endswith(f"/{_SUMMARY}"):
                ended.add(manifest_id)
            elif uri.endswith(_PART) and "/part-" in uri:
                seen.add(uri)
                partly[manifest_id] += self._records(uri)
        for manifest in plan.manifests:
            if manifest.manifest_id in ended or partly[manifest.manifest_id] > manifest.lines:
                partly[manifest.manifest_id] = manifest.lines
        answered = sum(partly.values())
        return OpenRun(plan, sum(manifest.manifest_id in ended for manifest in plan.manifests), answered)

    def _output(self, plan: Plan) -> Iterable[tuple[str, str]]:
        """Manifest and address of everything that its backends have left."""
        folders: dict[str, dict[str, str]] = defaultdict(dict)
        for manifest in plan.manifests:
            prefix = f"s3://{manifest.output_bucket}/{manifest.output_prefix.rstrip('/')}"
            folders[prefix.rpartition("/")[0] + "/"][prefix.rpartition("/")[2]] = manifest.manifest_id
        for folder, names in folders.items():
            bucket, prefix = s3_objects.split_uri(folder)
            for entry in self._entries(folder):
                name = entry["Key"].removeprefix(prefix).partition("/")[0]
                if name in names:
                    yield names[name], s3_objects.Location(bucket, entry["Key"]).uri

    def _entries(self, folder: str) -> Iterator[dict[str, Any]]:
        try:
            yield from s3_objects.list_objects(self._s3, folder)
        except s3_objects.S3Refused:
            return  # one run's place that may not be looked into hides no other run

    def _records(self, uri: str) -> int:
        """Answers in a part; none in one that is gone or damaged, which the run itself will tell."""
        if uri not in self._parts:
            try:
                first = next(iter(s3_objects.iter_lines(self._s3, uri)), b"")
                self._parts[uri] = int(checkpoint.decode(first + b"\n", uri).get("records", 0))
            except checkpoint.CheckpointDamaged:
                self._parts[uri] = 0
            except s3_objects.S3Error as error:
                if not error.is_missing:
                    raise
                return 0
        return self._parts[uri]
