"""Files cut off in the middle between two stages: the next stage says so by name, and pays nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos import points
from moderation.plan import claims
from moderation.plan.store import load_plan
from moderation.storage import s3_objects

_STAGE = {
    "plan.json torn": ("arguments", "PlanError"),
    "manifest torn": ("arguments", "ManifestError"),
    "inputs torn": ("publish", "PlanError"),
    "claim torn": ("arguments", "PlanError"),
    "backend.json torn": ("publish", "PlanError"),
    "checkpoint part torn": ("detect", "CheckpointDamaged"),
    "outcome marker torn": ("publish", "CheckpointDamaged"),
    "spool torn": ("detect", None),
    "mirror copy torn": ("load", None),
}
"""Before which stage a file is torn, and the error that must name it; None: it is repaired in silence."""


class _Nothing:
    def around(self, stage: str, task: Callable[[], Any], plan_uri: str) -> Any:
        return task()


NOTHING = _Nothing()


def of(run: Any) -> Any:
    """The tearing that a run's scenario asks for."""
    return _Tearing(run, run.scenario.torn) if run.scenario.torn else NOTHING


@dataclass
class _Tearing:
    run: Any
    what: str
    done: bool = False

    def around(self, stage: str, task: Callable[[], Any], plan_uri: str) -> Any:
        """Carry out a stage, with the file torn before it the first time and mended after the error."""
        wanted, error = _STAGE[self.what]
        if self.done or stage != wanted:
            return task()
        self.done = True
        rng = random.Random(self.run.scenario.seed)
        client = self.run.servers.client()
        try:
            if error is None:
                self._tear_local(stage, task, plan_uri, rng)
            else:
                self._tear_stored(client, stage, error, plan_uri, rng)
        finally:
            client.close()
        self.run.outcome.faults[self.what] += 1
        return task()

    def _tear_stored(self, client: Any, stage: str, error: str, plan_uri: str, rng: random.Random) -> None:
        uri = self._uri(client, plan_uri)
        whole = s3_objects.read(client, uri).body
        s3_objects.put(client, uri, whole[: rng.randrange(len(whole))])
        before = self.run.servers.ledger()[1]
        ending = self._attempt(stage, plan_uri)
        assert (ending.error or "").startswith(error), f"{self.what}: {ending}"
        assert self.run.servers.ledger()[1] == before, f"{self.what}: something was paid"
        s3_objects.put(client, uri, whole)

    def _attempt(self, stage: str, plan_uri: str) -> Any:
        folder = str(self.run.folder / "nemesis")
        if self.what == "claim torn":
            source = "s3://chaos/photos/"
            return self.run.attempt("plan", {"source": source, "run_id": "another-run", "backend": "bulk"})
        arguments: dict[str, dict[str, Any]] = {
            "arguments": {"plan_uri": plan_uri},
            "detect": {"plan_uri": plan_uri, "index": 0, "folder": folder},
            "publish": {"plan_uri": plan_uri, "job_ids": []},
        }
        return self.run.attempt(stage, arguments[stage])

    def _uri(self, client: Any, plan_uri: str) -> str:
        plan = load_plan(plan_uri, s3=client)
        manifest = plan.manifests[0]
        output = f"s3://{manifest.output_bucket}/{manifest.output_prefix}"
        match self.what:
            case "outcome marker torn":
                return self._only(client, output, "/outcome.ckpt")
            case "checkpoint part torn":
                self._kill_in_detect("detect: before the results", plan_uri)
                for spool in (self.run.folder / "nemesis" / "spool").glob("*.spool"):
                    spool.unlink()  # another machine goes on
                return self._only(client, output, "/part-")
        return {
            "plan.json torn": plan_uri,
            "manifest torn": manifest.uri,
            "inputs torn": plan.inputs_uri,
            "backend.json torn": f"{plan.folder_uri}/backend.json",
            "claim torn": claims.uri_of(self.run.settings, plan),
        }[self.what]

    def _only(self, client: Any, folder: str, name: str) -> str:
        bucket, _ = s3_objects.split_uri(folder)
        keys = [entry["Key"] for entry in s3_objects.list_objects(client, folder) if name in entry["Key"]]
        return f"s3://{bucket}/{min(keys)}"

    def _kill_in_detect(self, point: str, plan_uri: str) -> None:
        folder = str(self.run.folder / "nemesis")
        order = {"plan_uri": plan_uri, "index": 0, "folder": folder}
        ending = self.run.attempt("detect", order, (points.ALL[point], None))
        assert ending.killed, ending

    def _tear_local(self, stage: str, task: Callable[[], Any], plan_uri: str, rng: random.Random) -> None:
        if stage == "detect":
            self._kill_in_detect("detect: fifth answer spooled", plan_uri)
            files: list[Path] = list((self.run.folder / "nemesis" / "spool").glob("*.spool"))
        else:
            task()
            files = sorted((self.run.folder / "mirror").rglob("*.parquet"))
        torn = rng.choice(files)
        size = torn.stat().st_size
        # A kill tears the last record of a spool at most.
        keep = size - rng.randint(1, 20) if stage == "detect" else rng.randrange(size)
        with torn.open("r+b") as file:
            file.truncate(keep)
