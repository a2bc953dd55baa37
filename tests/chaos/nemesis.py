"""Runs scenarios one after the other and compares each with a run that nothing disturbed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from chaos import attempt
from chaos.outcome import Outcome
from chaos.readers import Rows
from chaos.run import BUCKET, Run
from chaos.scenarios import Scenario
from chaos.servers import Servers
from support import pictures

__all__ = ["Nemesis", "Outcome"]

IMAGES = 26


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
            run = self.prepared(backend, name=f"undisturbed-{backend}")
            self._undisturbed[backend] = run.rows()
        return self._undisturbed[backend]

    def prepared(self, backend: str, *, name: str) -> Run:
        """A run to which nothing happened, at its end."""
        run = Run(self, Scenario(-1, backend, "local", ()), Outcome(-1), name=name)
        run.go()
        return run

    def run(self, scenario: Scenario) -> Outcome:
        """Carry out a scenario; the outcome says whether it kept the promises, and never raises."""
        expected = self.undisturbed(scenario.backend)
        outcome = Outcome(scenario.seed)
        begun = time.monotonic()
        run = Run(self, scenario, outcome, name=f"seed-{scenario.seed}")
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


def _import_path() -> Sequence[str]:
    root = Path(__file__).parents[2]
    return [str(root / name) for name in ("tests", "include", "plugins")]
