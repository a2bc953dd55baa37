"""What happens to a run, decided by its seed alone; two hundred in a row meet everything several times."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from chaos import points
from chaos.points import Point

IN_SUITE, IN_SUITE_LONG = (2, 7), (0, 1, 3, 4, 5, 6, 8, 9, 10, 11)
"""
The seeds that the tests run, short and long.

The short ones have what no other test has together with deaths: a killed server, S3, and company, every task
twice. A service that misbehaves, and files that are torn, have tests of their own.
"""
_LOST = {"kind": "lost_answer", "count": 2}
STORM = "throttle storm, 30 % for 60 s"
SERVICE_FAULTS: dict[str, list[dict[str, Any]]] = {
    "throttle storm, 30 %": [{"kind": "throttle", "probability": 0.3}],
    "lost answers": [
        {**_LOST, "operation": "StartMediaAnalysisJob"},
        {**_LOST, "operation": "DetectModerationLabels"},
        {**_LOST, "operation": "GetMediaAnalysisJob"},
    ],
    "internal errors, 20 %": [{"kind": "internal_error", "probability": 0.2}],
    "connections cut, 20 %": [{"kind": "drop", "probability": 0.2}],
    "job ends FAILED": [{"kind": "job_failed", "count": 1, "after_images": 3}],
    "jobs end FAILED, twice in a row": [{"kind": "job_failed", "count": 2, "after_images": 5}],
    "result lines reordered": [{"kind": "results_reordered"}],
    "result lines duplicated": [{"kind": "results_duplicated", "fraction": 0.3}],
    "result lines missing": [{"kind": "results_missing", "fraction": 0.3, "count": 1}],
    "result lines malformed": [{"kind": "results_malformed", "fraction": 0.3, "count": 1}],
    "results file cut off": [{"kind": "results_truncated", "count": 1}],
}
STORM_RULES = [
    {"kind": "throttle", "probability": 0.3, "for_seconds": 60.0},
    {"kind": "job_slow", "seconds": 20.0},
]
"""The jobs of the run are made slow, so that it lasts as long as the storm."""

_BULK_ONLY = {name for name in SERVICE_FAULTS if "result" in name or "FAILED" in name}
OWED_AGAIN = {"result lines missing", "result lines malformed", "results file cut off"}
"""AWS billed answers that it then lost: the images are owed; a second run pays for these and no others."""
UNEQUAL_COUNTS = {"result lines duplicated"}
"""After these, ``jobs``, ``loads`` and ``anomalies`` tell of what was odd; images and labels are the same."""

TORN = {
    "bulk": (
        "plan.json torn",
        "manifest torn",
        "inputs torn",
        "claim torn",
        "backend.json torn",
        "mirror copy torn",
    ),
    "detect": (
        "manifest torn",
        "checkpoint part torn",
        "spool torn",
        "outcome marker torn",
        "backend.json torn",
    ),
}
KILLED = ("S3 killed (kill -9)", "Rekognition killed (kill -9)")
RIVALS = "two runs of one source at once"
TWINS = "every task runs twice at once"


@dataclass(frozen=True)
class Scenario:
    """One seed's run.

    :param backend: ``bulk`` or ``detect``.
    :param tables: ``s3`` or ``local``.
    :param kills: points at which attempts die, in the order of the stages.
    :param servers: points at which a server is killed, with its name in :data:`KILLED`.
    :param service: a key of :data:`SERVICE_FAULTS`, or :data:`STORM`, or None.
    :param torn: one of :data:`TORN`, or None.
    :param company: :data:`RIVALS`, :data:`TWINS` or None.
    :param redo: the second run, where one is needed, names the load that is to be redone, not the source.
    """

    seed: int
    backend: str
    tables: str
    kills: tuple[Point, ...]
    servers: tuple[tuple[Point, str], ...] = ()
    service: str | None = None
    torn: str | None = None
    company: str | None = None
    redo: bool = False
    rules: list[dict[str, Any]] = field(default_factory=list)

    def faults(self) -> set[str]:
        """The names of all that is meant to happen."""
        named = {self.service, self.torn, self.company} - {None}
        return {point.name for point in self.kills} | {victim for _, victim in self.servers} | named  # type: ignore[return-value]


def scenario(seed: int) -> Scenario:
    """The run of a seed: always one killed publish, nearly always more.

    Everything takes turns with the seeds: which point, which fault, which file.
    """
    rng = random.Random(seed)
    backend = "detect" if seed % 3 == 2 else "bulk"
    analyse = points.DETECT if backend == "detect" else points.SUBMIT
    turn, round_ = seed // 3, seed // 4
    kills = [points.PUBLISH[seed % len(points.PUBLISH)]]
    kills += [analyse[turn % len(analyse)], *rng.sample(analyse, rng.choice((0, 1)))]
    kills.append(points.PLAN[seed % len(points.PLAN)])
    kills += rng.sample(points.PUBLISH, rng.choice((0, 1)))
    if seed % 2:
        kills.append(points.LOAD[turn % len(points.LOAD)])
    if seed % 10 == 0:
        kills += points.REPORT
    servers: tuple[tuple[Point, str], ...] = ()
    service = torn = company = None
    match seed % 4:
        case 0:
            names = [name for name in SERVICE_FAULTS if backend == "bulk" or name not in _BULK_ONLY]
            # Every third of these seeds is of the detect backend.
            place = round_ // 3 if backend == "detect" else round_ - (round_ + 1) // 3
            service = names[place % len(names)]
        case 1:
            torn = TORN[backend][round_ % len(TORN[backend])]
        case 2:
            where = rng.choice((*analyse, *points.PUBLISH, points.PLAN[0]))
            servers = ((where, KILLED[round_ % 2]),)
        case _ if round_ % 13 == 5:
            service = STORM
        case _:
            company = (RIVALS, TWINS)[round_ % 2]
    rules = STORM_RULES if service == STORM else SERVICE_FAULTS.get(service or "", [])
    return Scenario(
        seed,
        backend,
        rng.choice(("s3", "local")),
        tuple(kills),
        servers,
        service,
        torn,
        company,
        redo=round_ % 2 == 1,
        rules=[{**rule, "seed": seed} for rule in rules],
    )


def everything() -> set[str]:
    """The names of all faults that there are."""
    torn = {name for names in TORN.values() for name in names}
    return {*points.ALL, *SERVICE_FAULTS, STORM, *torn, *KILLED, RIVALS, TWINS}
