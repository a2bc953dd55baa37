"""An archive of a million to a thousand million images, worked off in virtual time.

    python benchmarks/simulation.py [--images 1000000] [--slots 5 20] [--speed 5 20 100] [--storm]

Real are: the conductor's decisions (`moderation.archive.backfill.conductor`), how a manifest is cut, and of
the plugin the operator, its triggers, what it remembers of a job, how it waits, looks again and gives up, and
its retry policy. They go by a clock that is handed to them, and run under an asyncio loop that sleeps in no
time.

Modelled are (`benchmarks/virtual`):

- Rekognition: slots, calls a second of each operation, tokens; a job of n images takes n / speed seconds
  times a lognormal factor, one in fifty at least twice as long by Pareto's law, one in a hundred fails on its
  way.
- Airflow's scheduler: a pool that keeps the slots of deferred tasks, 32 workers, and assumed seconds between
  the steps of a task (`virtual.airflow.Overheads`).
- The other tasks of a run take an assumed time for each image (`virtual.archive.Pace`).

Ratios are to the same draw of jobs in the order of the plan, each begun in the moment in which a slot falls
free: what the quota allows to whoever does not know how long a job will take. Another order may end a little
sooner. "jobs" is the time from the first job's start to the last one's end; "all" begins with the archive, so
that the first chunk's planning is in it. Rows in Airflow's database are reckoned from those of a real run.
"""

from __future__ import annotations

import argparse
import logging
import random
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(REPOSITORY / "include"), str(REPOSITORY / "plugins")]

from virtual.airflow import Airflow, Overheads, Pool  # noqa: E402
from virtual.archive import EVERY, TASKS_OF_LOOK, Backfill, archive_of, manifests_of  # noqa: E402
from virtual.service import Draw, Service, Storm, arranged  # noqa: E402
from virtual.time import VirtualLoop, run  # noqa: E402

from moderation.plan import manifests  # noqa: E402 - after the path, so that the script runs uninstalled

ROWS = {"run": 41, "manifest": 13, "look": 24}
"""Rows in Airflow's database: of a run without its manifests and of a manifest, as counted by
`benchmarks/throughput.py --deferrable`; of a look of the conductor, five tasks, reckoned from these."""
REQUESTS = {
    "image": (1, 0),
    "manifest": (8, 3),
    "run": (20, 56),
    "look": (16, 9),
    "listing": (0, 2 / 1_000),
}
"""Requests to S3, GET and HEAD, then PUT and LIST: of each image its header; of a manifest and of a run what
the planning, the looks before payment and the publish of 1 and 3 manifests sent, counted; of a look with
eight runs under way, likewise; an image is listed at start and end. Not counted: Iceberg's own, a few
dozen a load, and what Rekognition reads and writes."""
USD = (0.0004 / 1_000, 0.005 / 1_000)
"""A request of each kind, as S3 Standard costs in us-east-1; assumed."""
CHUNK = 1_000_000


@dataclass(frozen=True)
class Case:
    """What is worked off, and how fast jobs are."""

    chunks: int
    slots: int
    speed: float
    spare: int = 0
    storm: Storm | None = None
    poll: float = 30.0


@dataclass(frozen=True)
class Outcome:
    """What came of it; ratios are to the bound."""

    jobs_ratio: float
    all_ratio: float
    days: float
    begun: int
    processes: int
    rows: int
    at_once: int
    requests: tuple[int, int]
    calls: dict[str, tuple[int, int, int]]


def plan_of_chunk(images: int = CHUNK) -> tuple[int, ...]:
    """Lines of the manifests of a chunk, cut by the planner's own code."""
    refs = (f"s3://photos/archive/{number:09d}.jpg" for number in range(images))
    return tuple(manifest.lines for manifest in manifests.cut(refs, total=images))


def simulate(case: Case, plan: Sequence[int]) -> Outcome:
    """Work an archive off; the same case has the same outcome."""
    random.seed(case.slots)
    loop = VirtualLoop()
    service = Service(loop, case.slots, Draw(case.speed), max(plan), case.storm)

    async def work_off() -> tuple[Airflow, Backfill]:
        airflow = Airflow(service, Pool(case.slots + case.spare), Overheads(), poll_seconds=case.poll)
        backfill = Backfill(loop, airflow, archive_of(plan, case.chunks), plan)
        await backfill.work_off()
        return airflow, backfill

    airflow, backfill = run(loop, work_off())
    lines = [
        (uri.removeprefix("s3://work/"), max(plan))
        for number in range(1, case.chunks + 1)
        for uri in manifests_of(number, len(plan))
    ]
    bound = arranged(service.draw, lines, case.slots)
    looks = int(service.last_end / EVERY)
    return Outcome(
        jobs_ratio=(service.last_end - (service.first_start or 0.0)) / bound,
        all_ratio=service.last_end / bound,
        days=service.last_end / 86_400,
        begun=service.started,
        processes=airflow.processes.total() + looks * (len(TASKS_OF_LOOK) - 1),
        rows=ROWS["run"] * case.chunks + ROWS["manifest"] * len(lines) + ROWS["look"] * looks,
        at_once=backfill.most_at_once,
        requests=requests(
            images=sum(plan) * case.chunks, manifests=len(lines), runs=case.chunks, looks=looks
        ),
        calls={name: (found.calls, found.throttled, found.most) for name, found in service.calls.items()},
    )


def requests(*, images: int, manifests: int, runs: int, looks: int) -> tuple[int, int]:
    """GET and HEAD, then PUT and LIST, of a whole archive."""
    counts = {"image": images, "listing": images, "manifest": manifests, "run": runs, "look": looks}
    cheap, dear = (
        round(sum(count * REQUESTS[name][kind] for name, count in counts.items())) for kind in (0, 1)
    )
    return cheap, dear


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=CHUNK, help="a multiple of a million")
    parser.add_argument("--slots", type=int, nargs="+", default=[5, 20])
    parser.add_argument(
        "--speed", type=float, nargs="+", default=[5.0, 20.0, 100.0], help="images a second of a job"
    )
    parser.add_argument("--spare", type=int, help="slots of the pool above the quota; default: a third")
    parser.add_argument(
        "--storm", action="store_true", help="90 %% of the calls are throttled, from 1 h on for 30 min"
    )
    given = parser.parse_args()
    quiet()
    plan = plan_of_chunk()
    print(" slots speed  jobs   all     days   jobs begun  processes        rows  chunks  CPU s   MB")
    for slots in given.slots:
        for speed in given.speed:
            spare = -(-slots // 3) if given.spare is None else given.spare
            storm = Storm(3600.0, 5400.0) if given.storm else None
            began = time.process_time()
            case = Case(given.images // CHUNK, slots, speed, spare, storm)
            tell(case, simulate(case, plan), time.process_time() - began)


def tell(case: Case, found: Outcome, cpu: float) -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{case.slots:>6} {case.speed:>5g} {found.jobs_ratio:>5.3f} {found.all_ratio:>5.3f} "
        f"{found.days:>8.2f} {found.begun:>12,} {found.processes:>10,} {found.rows:>11,} "
        f"{found.at_once:>7} {cpu:>6.1f} {memory:>4}"
    )
    seconds = found.days * 86_400
    for name, (calls, throttled, most) in found.calls.items():
        print(
            f"         {name}: {calls:,} calls, {calls / seconds:.2f} a second, at most {most}; "
            f"{throttled:,} throttled"
        )
    usd = sum(count * price for count, price in zip(found.requests, USD, strict=True))
    print("         S3: {:,} GET and HEAD, {:,} PUT and LIST, {:,.2f} USD".format(*found.requests, usd))
    sys.stdout.flush()


def quiet() -> None:
    """What tasks log of virtual time helps nobody."""
    import structlog  # noqa: PLC0415 - Airflow's; only a program of its own may set it

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)


if __name__ == "__main__":
    main()
