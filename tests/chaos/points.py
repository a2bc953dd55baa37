"""Named places at which a process of the pipeline can be made to die, put around the real functions.

Nothing in the product knows of them: a process that is about to run a stage wraps the functions itself.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Accepts = Callable[[tuple[Any, ...]], bool]
Strike = Callable[[], None]


@dataclass(frozen=True)
class Point:
    """One place.

    :param name: ``stage: what has just happened, or is about to``.
    :param target: ``module:attribute`` or ``module:Class.method`` of a real function.
    :param after: strike when the call has returned, not before it begins.
    :param call: which of the accepted calls.
    :param accepts: which calls count, by their positional arguments.
    """

    name: str
    target: str
    after: bool = False
    call: int = 1
    accepts: Accepts | None = None

    @property
    def stage(self) -> str:
        """The stage whose process dies."""
        return self.name.partition(":")[0]


def _is_plan(args: tuple[Any, ...]) -> bool:
    return "/plan-" in args[1] and args[1].endswith("/plan.json")


def _key(name: str) -> Accepts:
    return lambda args: args[1] == name


def _step(name: str) -> Accepts:
    return lambda args: args[0] == name


_OPERATOR = "rekognition.operators:RekognitionStartMediaAnalysisJobOperator"
_HOOK = "rekognition.hooks:RekognitionHook"
_STORE = "chaos.attempt:FileStore"
_CHECKPOINT = "moderation.analyse.detect.checkpoint"
_OUTPUT = "moderation.analyse.detect.output"
_WAREHOUSE = "moderation.warehouses.duckdb"
_PUBLISH_STEPS = (
    "built",
    *(f"uploaded {table}" for table in ("images", "labels_l1", "labels_l2", "jobs")),
    *(f"added {table}" for table in ("images", "labels_l1", "labels_l2", "labels_l3", "jobs", "anomalies")),
    "uploaded loads",
    "committed",
    "marked",
)

PLAN = (
    Point("plan: source listed", "moderation.plan.planner:discover", after=True),
    Point("plan: second manifest about to be written", "moderation.plan.draft:Writer._put", call=2),
    Point("plan: manifests written, inputs not", "moderation.plan.draft:write_inputs"),
    Point("plan: inputs written", "moderation.plan.draft:write_inputs", after=True),
    Point("plan: images claimed", "moderation.plan.claims:write", after=True),
    Point("plan: before plan.json", "moderation.storage.s3_objects:put_if_absent", accepts=_is_plan),
    Point(
        "plan: after plan.json", "moderation.storage.s3_objects:put_if_absent", accepts=_is_plan, after=True
    ),
)
SUBMIT = (
    Point("submit: before the token is stored", f"{_STORE}.set", accepts=_key("rekognition_submission")),
    Point("submit: token stored, not sent", f"{_HOOK}.start_media_analysis_job"),
    Point("submit: sent, answer not stored", f"{_HOOK}.start_media_analysis_job", after=True),
    Point(
        "submit: answer stored",
        f"{_STORE}.set",
        accepts=_key("rekognition_submission"),
        call=2,
        after=True,
    ),
    Point("submit: before the first look", f"{_HOOK}.wait_for_job"),
    Point("submit: in mid-poll", "rekognition.waiters.looks:at_job", call=2),
    Point("submit: job ended, task not", f"{_OPERATOR}.poll_until_complete", after=True),
)
DETECT = (
    Point("detect: first answer not spooled", f"{_CHECKPOINT}:Spool.add"),
    Point("detect: fifth answer spooled", f"{_CHECKPOINT}:Spool.add", call=5, after=True),
    Point("detect: between spool and part", f"{_CHECKPOINT}:store_part"),
    Point("detect: part written", f"{_CHECKPOINT}:store_part", after=True),
    Point("detect: before the results", f"{_OUTPUT}:write_files"),
    Point("detect: before the summary is put", f"{_OUTPUT}:_put_once", call=2),
    Point("detect: before the marker", f"{_OUTPUT}:write_outcome"),
    Point("detect: marker written", f"{_OUTPUT}:write_outcome", after=True),
    Point("detect: parts deleted", f"{_CHECKPOINT}:delete_parts", after=True),
)
PUBLISH = (
    *(
        Point(f"publish: {step}", "moderation.publish.commit:reached", accepts=_step(step))
        for step in _PUBLISH_STEPS
    ),
    Point("publish: file half in place", "moderation.storage.files:Storage.put_file", call=3),
    Point("publish: in a commit of the catalog", "pyiceberg.catalog.sql:SqlCatalog.commit_table", call=2),
    Point("publish: commit of loads unanswered", "pyiceberg.table:Table.add_files", after=True),
)
LOAD = (
    Point("load: before the transaction", f"{_WAREHOUSE}:DuckDBWarehouse._copy"),
    Point("load: in mid-transaction", f"{_WAREHOUSE}:_prepare", call=3),
    Point("load: before the commit", f"{_WAREHOUSE}:labels_view"),
    Point("load: committed", f"{_WAREHOUSE}:DuckDBWarehouse._copy", after=True),
    Point("load: mirror, first file copied", "moderation.warehouses.folder:FolderMirror._copy", after=True),
    Point("load: mirror, file not renamed", "moderation.storage.files:Storage.copy_to", call=3, after=True),
)
REPORT = (Point("report: before it is written", "moderation.report.run_report:build_report", after=True),)

ALL = {point.name: point for point in (*PLAN, *SUBMIT, *DETECT, *PUBLISH, *LOAD, *REPORT)}


def held(point: Point) -> tuple[Any, str]:
    """The module or class that has the point's function, and its name there.

    :raises AttributeError: there is none of that name any more.
    """
    module_name, _, path = point.target.partition(":")
    *holders, name = path.split(".")
    owner: Any = importlib.import_module(module_name)
    for holder in holders:
        owner = getattr(owner, holder)
    getattr(owner, name)
    return owner, name


def arm(point: Point, strike: Strike) -> None:
    """Wrap the point's function in this process, so that ``strike`` is called there, once."""
    owner, name = held(point)
    real = getattr(owner, name)
    count = itertools.count(1)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        mine = (point.accepts is None or point.accepts(args)) and next(count) == point.call
        if mine and not point.after:
            strike()
        answer = real(*args, **kwargs)
        if mine and point.after:
            strike()
        return answer

    setattr(owner, name, wrapped)
