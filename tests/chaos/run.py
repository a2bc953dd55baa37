"""One scenario, run as Airflow would: each attempt a process, each that ends badly is followed by another."""

from __future__ import annotations

import functools
import itertools
import json
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos import attempt, payments, readers, tearing
from chaos.attempt import Ending, Order
from chaos.outcome import BrokenPromise, Outcome
from chaos.readers import Rows
from chaos.scenarios import KILLED, OWED_AGAIN, RIVALS, STORM, TWINS, UNEQUAL_COUNTS, Scenario
from chaos.stages import IN_FLIGHT
from moderation.settings import Settings

if TYPE_CHECKING:
    from chaos.nemesis import Nemesis

BUCKET = "chaos"
SOURCE = f"s3://{BUCKET}/photos/"
ATTEMPT_SECONDS = 150.0
"""No attempt may take longer: every wait in it is bounded by less."""
MAX_ATTEMPTS = 12
MAX_RUNS = 3
LOST_ANSWERS = 3
"""Single calls whose answer the fault "lost answers" may cost."""
_NAMED = ("moderation.", "rekognition.", "local_aws.")


class Run:
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
            "MODERATION_MODEL": "offline-hash-1",
            "MODERATION_SPOOL_DIR": str(self.folder / "spool"),
            "TMPDIR": str(self.folder),
        }
        self.settings = Settings.from_env({**os.environ, **self.environment})
        kills = [(point, None) for point in scenario.kills]
        self.strikes: list[tuple[Any, str | None]] = [*kills, *scenario.servers]
        self.kills_of_detect = 0
        self.plan_uris: list[str] = []
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()

    def go(self) -> None:
        """Run until nothing is owed, a few times at most."""
        self._restarts_before = self.servers.restarts
        _, self._since = self.servers.ledger()
        self.servers.set_faults(self.scenario.rules)
        names = ["nemesis", "rival"] if self.scenario.company == RIVALS else ["nemesis"]
        with ThreadPoolExecutor(len(names)) as pool:
            owed = any([*pool.map(self._one_run, names)])
        for number in range(2, MAX_RUNS + 1):
            if not owed:
                return
            if self.scenario.service not in OWED_AGAIN:
                raise BrokenPromise(f"images are owed after {self.scenario.service}")
            owed = self._run_again(f"nemesis-{number}")
        if owed:
            raise BrokenPromise(f"images are still owed after {MAX_RUNS} runs")

    def _run_again(self, run_id: str) -> bool:
        """Another run, which may pay for nothing but what is owed."""
        rows = self.rows()
        settled = {row["source_ref"] for row in readers.settled(rows)["images"]}
        open_refs = {row["source_ref"] for row in rows["images"]} - settled
        _, before = self.servers.ledger()
        load_id = max(row["load_id"] for row in rows["loads"])
        owed = self._one_run(run_id, redo=load_id if self.scenario.redo else None)
        entries, _ = self.servers.ledger(after=before)
        surplus = payments.billed(entries) - open_refs
        if surplus:
            raise BrokenPromise(f"{run_id} paid for images that are not owed: {sorted(surplus)}")
        return owed

    def rows(self) -> Rows:
        """The tables as they are now."""
        return readers.snapshot(self.settings, self.name)

    def judge(self, expected: Rows) -> None:
        """Compare with the undisturbed run; look at what was paid."""
        rows = self.rows()
        readers.totals_add_up(rows)
        service = self.scenario.service or ""
        if service in OWED_AGAIN | UNEQUAL_COUNTS or self.scenario.company == RIVALS:
            rows, expected = readers.settled(rows), readers.settled(expected)
        self.outcome.lost = len(
            {row["source_ref"] for row in expected["images"]} - {row["source_ref"] for row in rows["images"]}
        )
        for name in filter(None, (self.scenario.service, self.scenario.company)):
            self.outcome.faults[name] += 1
        paid = self._payments()
        self.outcome.paid_in_flight, self.outcome.paid_twice = paid.in_flight, paid.twice
        self.outcome.left_over = readers.left_over(self.settings)
        for table in expected:
            if rows[table] != expected[table]:
                raise BrokenPromise(f"{table} differs: {_difference(rows[table], expected[table])}")
        if paid.twice:
            raise BrokenPromise(f"{paid.twice} payments too many: {'; '.join(paid.problems[:5])}")
        if self.outcome.left_over:
            raise BrokenPromise(f"files of no load are left: {self.outcome.left_over}")

    def _payments(self) -> payments.Payments:
        entries, _ = self.servers.ledger(after=self._since)
        # A connection that dies with the server's process, or that is cut, takes a paid answer with it.
        restarts = self.servers.restarts - self._restarts_before if self.scenario.servers else 0
        lost = LOST_ANSWERS if self.scenario.service == "lost answers" else 0
        return payments.judge(
            entries,
            self.servers.jobs(),
            lost_calls=IN_FLIGHT * (self.kills_of_detect + restarts) + lost,
            repeats=self.scenario.service in OWED_AGAIN,
        )

    def _one_run(self, run_id: str, redo: str | None = None) -> bool:
        """The tasks of the Dag, in their order; True when images are owed at the end."""
        order = {"source": SOURCE, "run_id": run_id, "backend": self.scenario.backend, "redo": redo}
        plan_uri = self._task("plan", order)
        self.plan_uris.append(plan_uri)
        torn = tearing.of(self) if run_id == "nemesis" else tearing.NOTHING
        arguments = torn.around(
            "arguments", lambda: self._task("arguments", {"plan_uri": plan_uri}), plan_uri
        )
        folder = {"folder": str(self.folder / run_id)}
        Path(folder["folder"]).mkdir()
        job_ids = []
        for index, given in enumerate(arguments):
            if self.scenario.backend == "bulk":
                job_ids.append(self._task("submit", {"arguments": given, "map_index": index, **folder}))
                continue
            one = {"plan_uri": plan_uri, "index": index, "slowly": self.scenario.service == STORM, **folder}
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
            given = {**arguments, "try_number": number} if stage == "submit" else arguments
            endings = self._attempts(stage, given, twice=number == 1 and self.scenario.company == TWINS)
            good = [ending for ending in endings if ending.error is None and not ending.killed]
            if any(ending.value != good[0].value for ending in good):
                raise BrokenPromise(f"two attempts at {stage} at once came to different ends: {good}")
            if good:
                return good[0].value
            if stage == "report" and any((e.error or "").startswith("ImagesOwedError") for e in endings):
                return None
            for ending in endings:
                self._note(stage, ending)
        raise BrokenPromise(f"{stage} did not end in {MAX_ATTEMPTS} attempts: {endings}")

    def _attempts(self, stage: str, given: dict[str, Any], *, twice: bool) -> Sequence[Ending]:
        """One attempt, or two at once: the first is what a worker that was thought dead goes on with."""
        with self._guard:
            strike = next((entry for entry in self.strikes if entry[0].stage == stage), None)
            if strike:
                self.strikes.remove(strike)
        if not twice:
            return [self.attempt(stage, given, strike)]
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda one: self.attempt(stage, given, one), (strike, None)))

    def attempt(
        self, stage: str, arguments: dict[str, Any], strike: tuple[Any, str | None] | None = None
    ) -> Ending:
        """One process, to its end; servers that it kills come back meanwhile."""
        point, victim = strike or (None, None)
        groups = {KILLED[0]: (self.servers.s3_group,), KILLED[1]: (self.servers.rekognition_group,)}
        order = Order(
            stage=stage,
            arguments=arguments,
            environment={**self.servers.environment(), **self.environment},
            result=self.folder / f"{next(self._numbers):03d}-{stage}.json",
            strike=point.name if point else None,
            victims=groups[victim] if victim else (),
        )
        with readers.Polling(self.settings) if stage == "publish" else nullcontext() as polling:
            self._wait_for(order)
        struck = order.result.with_suffix(".struck").exists()
        killed = not order.result.exists()
        if killed and not struck:
            raise BrokenPromise(f"{stage} died by itself, see {order.result.with_suffix('.log')}")
        if stage == "publish" and killed:
            readers.look(self.settings)
        with self._guard:
            if strike and not struck and self.scenario.company == RIVALS:
                self.strikes.append(strike)  # this one had nothing to do; the other may
            self.outcome.attempts += 1
            self.outcome.looks += polling.looks if polling else 0
            if struck and point:
                self.outcome.faults[victim or point.name] += 1
            if stage == "publish" and killed:
                self.outcome.publishes_killed += 1
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


def _difference(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> str:
    missing = [row for row in expected if row not in found]
    surplus = [row for row in found if row not in expected]
    changed = ""
    if missing and surplus:
        pair = ((name, missing[0][name], surplus[0].get(name)) for name in missing[0])
        changed = f"; first: {[entry for entry in pair if entry[1] != entry[2]]}"
    return f"{len(missing)} rows are missing, {len(surplus)} are surplus{changed}"
