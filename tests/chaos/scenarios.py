"""What happens to a run, decided by its seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from chaos import points
from chaos.points import Point

_LOST = {"kind": "lost_answer", "count": 2}
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
    "result lines reordered": [{"kind": "results_reordered"}],
    "result lines duplicated": [{"kind": "results_duplicated", "fraction": 0.3}],
    "result lines missing": [{"kind": "results_missing", "fraction": 0.3, "count": 1}],
    "result lines malformed": [{"kind": "results_malformed", "fraction": 0.3, "count": 1}],
    "results file cut off": [{"kind": "results_truncated", "count": 1}],
}
_BULK_ONLY = {name for name in SERVICE_FAULTS if "result" in name or "FAILED" in name}
OWED_AGAIN = {"result lines missing", "result lines malformed", "results file cut off"}
"""After these, images are owed and the source is run again."""
PAID_AGAIN = OWED_AGAIN
"""AWS billed answers that it then lost: another run pays for these images again, and only for these."""
UNEQUAL_COUNTS = {"result lines duplicated"}
"""After these, ``jobs``, ``loads`` and ``anomalies`` tell of what was odd; images and labels are the same."""

TORN = {
    "bulk": ("plan.json torn", "manifest torn", "inputs torn", "claim torn", "mirror copy torn"),
    "detect": ("manifest torn", "checkpoint part torn", "spool torn", "outcome marker torn"),
}
KILLED = ("S3 killed (kill -9)", "Rekognition killed (kill -9)")


@dataclass(frozen=True)
class Scenario:
    """One seed's run.

    :param backend: ``bulk`` or ``detect``.
    :param tables: ``s3`` or ``local``.
    :param kills: points at which attempts die, in the order of the stages.
    :param servers: points at which a server is killed, with its name in :data:`KILLED`.
    :param service: a key of :data:`SERVICE_FAULTS`, or None.
    :param torn: one of :data:`TORN`, or None.
    """

    seed: int
    backend: str
    tables: str
    kills: tuple[Point, ...]
    servers: tuple[tuple[Point, str], ...] = ()
    service: str | None = None
    torn: str | None = None
    rules: list[dict[str, Any]] = field(default_factory=list)


def scenario(seed: int) -> Scenario:
    """The run of a seed: always one killed publish, nearly always more.

    Points take turns with the seeds, so that a few dozen seeds have met each of them.
    """
    rng = random.Random(seed)
    backend = "detect" if seed % 3 == 2 else "bulk"
    analyse = points.DETECT if backend == "detect" else points.SUBMIT
    turn = seed // 3
    kills = [points.PUBLISH[seed % len(points.PUBLISH)]]
    kills += [analyse[turn % len(analyse)], *rng.sample(analyse, rng.choice((0, 1)))]
    kills += rng.sample(points.PLAN, rng.choice((0, 1, 2)))
    kills += rng.sample(points.PUBLISH, rng.choice((0, 1)))
    if rng.random() < 0.5:
        kills.append(points.LOAD[turn % len(points.LOAD)])
    if rng.random() < 0.1:
        kills += points.REPORT
    servers: tuple[tuple[Point, str], ...] = ()
    service = torn = None
    match seed % 4:
        case 0:
            names = [name for name in SERVICE_FAULTS if backend == "bulk" or name not in _BULK_ONLY]
            service = names[(seed // 4) % len(names)]
        case 1:
            torn = TORN[backend][(seed // 4) % len(TORN[backend])]
        case 2:
            where = rng.choice((*analyse, *points.PUBLISH, points.PLAN[0]))
            servers = ((where, KILLED[(seed // 4) % 2]),)
    rules = [{**rule, "seed": seed} for rule in SERVICE_FAULTS[service]] if service else []
    tables = rng.choice(("s3", "local"))
    return Scenario(seed, backend, tables, tuple(kills), servers, service, torn, rules)
