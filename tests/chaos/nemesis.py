"""Runs a scenario as Airflow would: each attempt a process, each that ends badly is followed by another."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos import attempt, readers, tearing
from chaos.attempt import Ending, Order
from chaos.readers import Rows
from chaos.scenarios import KILLED, OWED_AGAIN, PAID_AGAIN, UNEQUAL_COUNTS, Scenario
from chaos.servers import Servers
from chaos.stages import IN_FLIGHT
from moderation.settings import Settings
from support import pictures

BUCKET = "chaos"
IMAGES = 26
ATTEMPT_SECONDS = 120.0
"""No attempt may take longer: every wait in it is bounded by less."""
MAX_ATTEMPTS = 12
MAX_RUNS = 3
_NAMED = ("moderation.", "rekognition.", "local_aws.")


class BrokenPromise(AssertionError):
    """A run did not end as the undisturbed one; the text names seed, stage and what is wrong."""


@dataclass
class Outcome:
    """What a seed came to.

    :param faults: each fault that really struck, as often as it did.
    :param lost: images without a final row at the end.
    :param paid_twice: calls paid that no lost answer, failed job or call in flight explains.
    :param paid_in_flight: single calls of the detect backend that a kill had paid again.
    :param publishes_killed: attempts at a publish that died.
    :param looks: times that a reader compared all tables.
    :param unnamed: errors of stages that are none of the project's own.
    :param broken: why the seed did not survive; None when it did.
    """

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    paid_twice: int = 0
    paid_in_flight: int = 0
    publishes_killed: int = 0
    looks: int = 0
    attempts: int = 0
    seconds: float = 0.0
    unnamed: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    broken: str | None = None


class Nemesis:
    """Servers, pictures and the undisturbed runs that all others are compared with."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        self.folder, self.servers = folder, servers
        path = [str(entry) for entry in map(Path, _import_path()) if entry.is_dir()]
        os.environ["PYTHONPATH"] = os.pathsep.join(path)
        self.processes = multiprocessing.get_context("forkserver")
        self.processes.set_forkserver_preload(list(attempt.PRELOAD))
        self._undisturbed: dict[str, Rows] = {}
        self._upload()

    def undisturbed(self, backend: str) -> Rows:
        """The tables of a run to which nothing happened."""
        if backend not in self._undisturbed:
            scenario = Scenario(-1, backend, "local", ())
            run = _Run(self, scenario, Outcome(-1), name=f"undisturbed-{backend}")
            run.go()
            self._undisturbed[backend] = run.rows()
        return self._undisturbed[backend]

    def run(self, scenario: Scenario) -> Outcome:
        """Carry out a scenario; the outcome says whether it kept the promises, and never raises."""
        expected = self.undisturbed(scenario.backend)
        outcome = Outcome(scenario.seed)
        begun = time.monotonic()
        run = _Run(self, scenario, outcome, name=f"seed-{scenario.seed}")
        try:
            run.go()
            run.judge(expected)
        except AssertionError as error:
            outcome.broken = f"{type(error).__name__}: {error}"[:2000]
        finally:
            self.servers.revive()
            self.servers.set_faults([])
        if outcome.broken is None:
            shutil.rmtree(run.folder, ignore_errors=True)
        outcome.seconds = time.monotonic() - begun
        return outcome

    def _upload(self) -> None:
        client = self.servers.client()
        client.create_bucket(Bucket=BUCKET)
        good = {f"photos/{n:03d} ü.jpg": pictures.jpeg(90, 80) + b"%d" % n for n in range(IMAGES - 3)}
        bad = {
            "photos/broken.png": pictures.png(90, 80)[:-60],
            "photos/small.jpg": pictures.jpeg(40, 40),
            "photos/text.jpg": b"no picture at all",
            "photos/README.md": b"ignored",
        }
        for key, body in (good | bad).items():
            client.put_object(Bucket=BUCKET, Key=key, Body=body)
        client.close()


class _Run:
    """One scenario under way."""

    def __init__(self, nemesis: Nemesis, scenario: Scenario, outcome: Outcome, *, name: str) -> None:
        self.nemesis, self.servers, self.scenario, self.outcome = nemesis, nemesis.servers, scenario, outcome
        self.name = name
        self.folder = nemesis.folder / name
        self.folder.mkdir(parents=True)
        self.environment = {
            "MODERATION_WORK_URI": f"s3://{BUCKET}/{name}",
            "MODERATION_TABLES_URI": (
                f"s3://{BUCKET}/tables/{name}" if scenario.tables == "s3" else str(self.folder / "tables")
            ),
            "MODERATION_CATALOG_URI": f"sqlite:///{self.folder / 'catalog.db'}",
            "MODERATION_WAREHOUSE": str(self.folder / "warehouse.duckdb"),
            "MODERATION_PARQUET_DIR": str(self.folder / "mirror"),
            "MODERATION_MODEL": "offline-1",
            "MODERATION_SPOOL_DIR": str(self.folder / "spool"),
            "TMPDIR": str(self.folder),
        }
        self.settings = Settings.from_env({**os.environ, **self.environment})
        kills = [(point, None) for point in scenario.kills]
        self.strikes: list[tuple[Any, str | None]] = [*kills, *scenario.servers]
        self.kills_of_detect = 0
        self.manifests = 0
        self._orders = 0

    def go(self) -> None:
        """Run until nothing is owed, a few times at most."""
        _, self._since = self.servers.ledger()
        self.servers.set_faults(self.scenario.rules)
        for number in range(1, MAX_RUNS + 1):
            owed = self._one_run("nemesis" if number == 1 else f"nemesis-{number}")
            if not owed:
                return
            if self.scenario.service not in OWED_AGAIN:
                raise BrokenPromise(f"images are owed after {self.scenario.service}")
        raise BrokenPromise(f"images are still owed after {MAX_RUNS} runs")

    def rows(self) -> Rows:
        """The tables as they are now."""
        return readers.snapshot(self.settings, self.name)

    def judge(self, expected: Rows) -> None:
        """Compare with the undisturbed run; look at what was paid."""
        rows = self.rows()
        readers.totals_add_up(rows)
        service = self.scenario.service or ""
        if service in OWED_AGAIN | UNEQUAL_COUNTS:
            rows, expected = readers.settled(rows), readers.settled(expected)
        self.outcome.lost = len(
            {row["source_ref"] for row in expected["images"]} - {row["source_ref"] for row in rows["images"]}
        )
        if self.scenario.service:
            self.outcome.faults[self.scenario.service] += 1
        self._judge_payments()
        self.outcome.left_over = readers.left_over(self.settings)
        for table in expected:
            if rows[table] != expected[table]:
                raise BrokenPromise(f"{table} differs: {_difference(rows[table], expected[table])}")
        if self.outcome.paid_twice:
            raise BrokenPromise(f"{self.outcome.paid_twice} calls were paid twice")
        if self.outcome.left_over:
            raise BrokenPromise(f"files of no load are left: {self.outcome.left_over}")

    def _judge_payments(self) -> None:
        entries, _ = self.servers.ledger(after=self._since)
        paid = Counter(entry["source_ref"] for entry in entries if entry["event"] == "detect_billed")
        again = sum(count - 1 for count in paid.values())
        lost_answers = 3 if self.scenario.service == "lost answers" else 0
        # A connection that dies with the server's process, or that is cut, takes a paid answer with it.
        restarts = self.servers.restarts - self._restarts_before if self.scenario.servers else 0
        explained = IN_FLIGHT * (self.kills_of_detect + restarts) + lost_answers
        self.outcome.paid_in_flight = min(again, explained)
        started = [entry for entry in entries if entry["event"] == "job_started"]
        statuses = self.servers.jobs()
        failed = sum(statuses[entry["job_id"]] == "FAILED" for entry in started)
        submissions = len(started) - failed - (self.manifests if self.scenario.backend == "bulk" else 0)
        billed = Counter(
            (entry["job_id"], entry["line_number"]) for entry in entries if entry["event"] == "image_billed"
        )
        by_line = sum(count - 1 for count in billed.values())
        self.outcome.paid_twice = max(0, again - explained) + max(0, submissions) + by_line

    def _one_run(self, run_id: str) -> bool:
        """The tasks of the Dag, in their order; True when images are owed at the end."""
        self._restarts_before = self.servers.restarts
        source = f"s3://{BUCKET}/photos/"
        plan_uri = self._task("plan", {"source": source, "run_id": run_id, "backend": self.scenario.backend})
        torn = tearing.of(self) if run_id == "nemesis" else tearing.NOTHING
        arguments = torn.around(
            "arguments", lambda: self._task("arguments", {"plan_uri": plan_uri}), plan_uri
        )
        self.manifests += len(arguments)
        folder = {"folder": str(self.folder / run_id)}
        Path(folder["folder"]).mkdir()
        job_ids = []
        for index, given in enumerate(arguments):
            if self.scenario.backend == "bulk":
                job_ids.append(self._task("submit", {"arguments": given, "map_index": index, **folder}))
                continue
            one = {"plan_uri": plan_uri, "index": index, **folder}
            analyse = functools.partial(self._task, "detect", one)
            job_ids.append(torn.around("detect", analyse, plan_uri))
        bulk_ids = job_ids if self.scenario.backend == "bulk" else []
        publish = {"plan_uri": plan_uri, "job_ids": bulk_ids}
        load_id = torn.around("publish", lambda: self._task("publish", publish), plan_uri)
        torn.around("load", lambda: self._task("load", {"load_id": load_id}), plan_uri)
        return self._task("report", {"plan_uri": plan_uri, "load_id": load_id}) is None

    def _task(self, stage: str, arguments: dict[str, Any]) -> Any:
        """Attempt a stage until it returns."""
        for number in range(1, MAX_ATTEMPTS + 1):
            strike = next((entry for entry in self.strikes if entry[0].stage == stage), None)
            if strike:
                self.strikes.remove(strike)
            given = {**arguments, "try_number": number} if stage == "submit" else arguments
            ending = self.attempt(stage, given, strike)
            if ending.error is None and not ending.killed:
                return ending.value
            if stage == "report" and (ending.error or "").startswith("ImagesOwedError"):
                return None
            self._note(stage, ending)
        raise BrokenPromise(f"{stage} did not end in {MAX_ATTEMPTS} attempts: {ending}")

    def attempt(
        self, stage: str, arguments: dict[str, Any], strike: tuple[Any, str | None] | None = None
    ) -> Ending:
        """One process, to its end; servers that it kills come back meanwhile."""
        self._orders += 1
        self.outcome.attempts += 1
        point, victim = strike or (None, None)
        groups = {KILLED[0]: (self.servers.s3_group,), KILLED[1]: (self.servers.rekognition_group,)}
        order = Order(
            stage=stage,
            arguments=arguments,
            environment={**self.servers.environment(), **self.environment},
            result=self.folder / f"{self._orders:03d}-{stage}.json",
            strike=point.name if point else None,
            victims=groups[victim] if victim else (),
        )
        with readers.Polling(self.settings) if stage == "publish" else nullcontext() as polling:
            self._wait_for(order)
        if polling:
            self.outcome.looks += polling.looks
        struck = order.result.with_suffix(".struck").exists()
        if struck and point:
            self.outcome.faults[victim or point.name] += 1
        killed = not order.result.exists()
        if killed and not struck:
            raise BrokenPromise(f"{stage} died by itself, see {order.result.with_suffix('.log')}")
        if stage == "publish" and killed:
            self.outcome.publishes_killed += 1
            readers.look(self.settings)
            self.outcome.looks += 1
        self.kills_of_detect += killed and stage == "detect"
        return Ending(killed=True) if killed else Ending(**json.loads(order.result.read_text()))

    def _wait_for(self, order: Order) -> None:
        process = self.nemesis.processes.Process(target=attempt.run, args=(order,))
        process.start()
        deadline = time.monotonic() + ATTEMPT_SECONDS
        try:
            while process.is_alive():
                self.servers.revive()
                if time.monotonic() > deadline:
                    process.kill()
                    raise BrokenPromise(f"{order.stage} did not end within {ATTEMPT_SECONDS:.0f} s")
                process.join(0.05)
        finally:
            process.join()
            process.close()
        self.servers.revive()

    def _note(self, stage: str, ending: Ending) -> None:
        if ending.error_module and not ending.error_module.startswith(_NAMED):
            self.outcome.unnamed.append(f"{stage}: {ending.error_module}.{ending.error}")


def _import_path() -> Sequence[str]:
    root = Path(__file__).parents[2]
    return [str(root / name) for name in ("tests", "include", "plugins")]


def _difference(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> str:
    missing = [row for row in expected if row not in found]
    surplus = [row for row in found if row not in expected]
    changed = ""
    if missing and surplus:
        pair = ((name, missing[0][name], surplus[0].get(name)) for name in missing[0])
        changed = f"; first: {[entry for entry in pair if entry[1] != entry[2]]}"
    return f"{len(missing)} rows are missing, {len(surplus)} are surplus{changed}"


Judge = Callable[[Rows], None]
__all__ = ["PAID_AGAIN", "BrokenPromise", "Nemesis", "Outcome"]
