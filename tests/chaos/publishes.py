"""Publishes that are killed again and again while readers look without a pause.

One run's answers are published as many loads, into tables that grow. Each load's publish is killed at one
point after the other before it may end; the first attempts at some of them know only a part of the answers,
so that their rows differ from those that are to stay. Three readers compare all that they see with it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from chaos import attempt, points, watching
from chaos.attempt import Ending, Order
from chaos.nemesis import Nemesis
from chaos.outcome import BrokenPromise
from chaos.run import ATTEMPT_SECONDS, BUCKET, Run
from moderation.plan import store
from moderation.settings import Settings
from moderation.storage import s3_objects

KILLS_PER_LOAD = 5
LOADS_PER_TABLES = 8
"""After so many loads other tables are begun, by turns local and in S3."""


_COMMITTED = ("publish: committed", "publish: marked", "publish: commit of loads unanswered")
_AFTER = [point for point in points.PUBLISH if point.name in _COMMITTED]
_BEFORE = [point for point in points.PUBLISH if point.name not in _COMMITTED]
_SHOWN = "publish: uploaded loads"
"""From here on a reader of plain files finds the load as the attempt knew it, whole, committed or not."""
Turns = tuple[Iterator[points.Point], Iterator[points.Point]]
"""The points before the commit, and those behind it, where an attempt has published what it knew."""


@dataclass
class Tally:
    """What came of the publishes.

    :param killed: attempts that died.
    :param loads: that were published in the end.
    :param looks: of all readers.
    :param unfinished: looks at tables that held rows of a load that was not committed.
    """

    killed: int = 0
    loads: int = 0
    looks: int = 0
    unfinished: int = 0
    points: set[str] = field(default_factory=set)
    seconds: float = 0.0

    def text(self) -> str:
        """One line for people."""
        return (
            f"{self.killed} publishes killed at {len(self.points)} points, {self.loads} loads published; "
            f"{self.looks} looks of three readers, {self.unfinished} of them while rows of an unfinished "
            f"load lay in the tables: none saw a partial or a mixed load ({self.seconds:.0f} s)"
        )


class Publishes:
    """The answers of one run, published as often as wanted."""

    def __init__(self, nemesis: Nemesis) -> None:
        self._nemesis = nemesis
        self._run: Run = nemesis.prepared("bulk", name="prepared")
        client = nemesis.servers.client()
        self._plan = store.load_plan(self._run.plan_uris[0], s3=client)
        client.close()
        self._expected = watching.expected_of(self._run.settings)
        self._numbers = itertools.count(1)

    def kill(self, times: int) -> Tally:
        """Kill so many publishes.

        :raises BrokenPromise: a publish did not end well; readers.PartialLoad: a reader saw what it must not.
        """
        tally, begun = Tally(), time.monotonic()
        turns = (itertools.cycle(_BEFORE), itertools.cycle(_AFTER))
        for round_ in itertools.count():
            if tally.killed >= times:
                break
            self._fill_tables(round_, turns, times, tally)
        tally.seconds = time.monotonic() - begun
        return tally

    def _fill_tables(self, round_: int, turns: Turns, times: int, tally: Tally) -> None:
        folder = self._run.folder / f"tables-{round_}"
        folder.mkdir()
        tables = str(folder / "tables") if round_ % 2 == 0 else f"s3://{BUCKET}/publishes/{round_}"
        environment = {
            **self._run.environment,
            "MODERATION_TABLES_URI": tables,
            "MODERATION_CATALOG_URI": f"sqlite:///{folder / 'catalog.db'}",
        }
        settings = Settings.from_env({**os.environ, **environment})
        with watching.Watch(settings, self._expected) as watch:
            for _ in range(LOADS_PER_TABLES):
                if tally.killed >= times:
                    break
                self._one_load(folder, environment, turns, min(KILLS_PER_LOAD, times - tally.killed), tally)
                watch.check()
        tally.looks += watch.looks
        tally.unfinished += watch.unfinished

    def _one_load(
        self,
        folder: Path,
        environment: dict[str, str],
        turns: Turns,
        kills: int,
        tally: Tally,
    ) -> None:
        number = next(self._numbers)
        plan_uri = self._plan_of(number)
        for nth in range(kills):
            point = next(turns[nth == KILLS_PER_LOAD - 1])
            # A first attempt that knows less writes other rows, which must all be gone in the end.
            left_out = 1 if nth < 3 and number % 2 and point.name != _SHOWN else 0
            ending = self._attempt(folder, environment, plan_uri, left_out, point)
            if ending.killed:
                tally.killed += 1
                tally.points.add(point.name)
        ending = self._attempt(folder, environment, plan_uri, 0, None)
        if ending.error:
            raise BrokenPromise(f"publish of load {number}: {ending.error}")
        tally.loads += 1

    def _plan_of(self, number: int) -> str:
        """The prepared plan under the name of another load."""
        digest = hashlib.sha256(b"%d" % number).hexdigest()[:12]
        folder = f"{self._run.settings.work_uri}/runs/copy-{number}/plan-001"
        uri, inputs_uri = f"{folder}/plan.json", f"{folder}/{self._plan.inputs_uri.rpartition('/')[2]}"
        plan = replace(
            self._plan,
            uri=uri,
            inputs_uri=inputs_uri,
            run_key=f"copy-{number}",
            load_id=f"{self._plan.load_id.partition('-')[0]}-{digest}",
            force=True,
        )
        client = self._nemesis.servers.client()
        s3_objects.put(client, inputs_uri, s3_objects.read(client, self._plan.inputs_uri).body)
        s3_objects.put(client, uri, plan.to_json())
        client.close()
        return uri

    def _attempt(
        self,
        folder: Path,
        environment: dict[str, str],
        plan_uri: str,
        left_out: int,
        point: points.Point | None,
    ) -> Ending:
        number = len([*folder.glob("*-publish.log")])
        order = Order(
            stage="publish_part",
            arguments={"plan_uri": plan_uri, "left_out": left_out},
            environment={**self._nemesis.servers.environment(), **environment},
            result=folder / f"{number:03d}-publish.json",
            strike=point.name if point else None,
        )
        process = self._nemesis.processes.Process(target=attempt.run, args=(order,))
        process.start()
        process.join(ATTEMPT_SECONDS)
        if process.is_alive():
            process.kill()
            raise BrokenPromise(f"publish did not end within {ATTEMPT_SECONDS:.0f} s")
        process.close()
        if order.result.exists():
            return Ending(**json.loads(order.result.read_text()))
        return Ending(killed=True)
