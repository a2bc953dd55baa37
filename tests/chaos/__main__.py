"""``python -m chaos``: run the seeds, kill the publishes, print what came of it, write it where asked.

``--seeds 200`` alone runs 200 seeds and, beside them, kills 200 publishes under readers.
"""

from __future__ import annotations

import argparse
import multiprocessing
import queue
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support import airflow_home

airflow_home.prepare()

from chaos import table, workers  # noqa: E402 - airflow must not be imported before its home is set
from chaos.outcome import Outcome  # noqa: E402
from chaos.publishes import Tally  # noqa: E402
from chaos.scenarios import everything  # noqa: E402

_END_SECONDS = 30.0
_ALL_MET_AFTER = 200
"""So many seeds in a row meet every fault; if one was not met, the harness has lost it."""


def main() -> int:
    """Run; the exit code is the number of broken promises, 125 at most."""
    given = _arguments()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: sys.exit("stopped"))  # the servers are stopped on the way out
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    outcomes: list[Outcome] = []
    tally: Tally | None = None
    problems: list[str] = []
    for found in _work(given, folder):
        if isinstance(found, Outcome):
            outcomes.append(found)
            print(table.line(found), flush=True)
            problems += [f"seed {found.seed}"] if found.broken else []
        elif isinstance(found, Tally):
            tally = found
            print(found.text(), flush=True)
        else:
            problems.append(found)
    outcomes.sort(key=lambda outcome: outcome.seed)
    missed = everything() - {name for outcome in outcomes for name in outcome.faults}
    if len(outcomes) >= _ALL_MET_AFTER and missed:
        problems.append(f"never met: {', '.join(sorted(missed))}")
    text = table.markdown(outcomes, tally)
    print(text)
    if given.write:
        table.replace(given.write, text)
    if problems:
        print(f"{'; '.join(problems)}; files and logs are in {folder}", file=sys.stderr)
    return min(len(problems), 125)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--publishes", type=int, help="how many publishes are killed under readers")
    parser.add_argument("--jobs", type=int, default=2, help="seeds at a time, each with servers of its own")
    parser.add_argument("--minutes", type=float, help="begin no further seed after that time")
    parser.add_argument("--write", type=Path, help="Markdown file whose table is replaced")
    given = parser.parse_args()
    if given.seeds is None:
        given.seeds = 0 if given.publishes else 200
    if given.publishes is None:
        given.publishes = 200 if given.seeds >= _ALL_MET_AFTER else 0
    return given


def _work(given: argparse.Namespace, folder: Path) -> Iterator[Any]:
    """What the processes come to, as it comes."""
    tasks = [("seed", seed) for seed in range(given.first, given.first + given.seeds)]
    if given.publishes:
        tasks.insert(0, ("publishes", given.publishes))
    context = multiprocessing.get_context("spawn")
    waiting, done = context.Queue(), context.Queue()
    for task in tasks:
        waiting.put(task)
    started = []
    deadline = time.time() + 60 * given.minutes if given.minutes else None
    try:
        for number in range(max(1, min(given.jobs, len(tasks)))):
            waiting.put(None)
            process = context.Process(
                target=workers.work, args=(waiting, done, folder / f"worker-{number}", deadline)
            )
            process.start()
            started.append(process)
        running = len(started)
        while running:
            try:
                found = done.get(timeout=1.0)
            except queue.Empty:
                if not any(process.is_alive() for process in started):
                    yield "a process of the harness died"
                    return
                continue
            if found is None:
                running -= 1
            else:
                yield found
        for process in started:
            process.join(_END_SECONDS)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.join()


if __name__ == "__main__":
    sys.exit(main())
