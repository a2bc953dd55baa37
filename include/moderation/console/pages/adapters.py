"""The pages *Adapters* and *An adapter*: what can be trained, what was, and which one is in use."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from moderation.adapters import champion, gate, older, registry, stages, training
from moderation.adapters.after import reminder, sample
from moderation.adapters.registry import Registry, Version
from moderation.adapters.sets import eligibility, to_decide
from moderation.adapters.sets.decided import UnknownLabelError, spelled
from moderation.adapters.sets.to_decide import Lack
from moderation.console.gate import Person, Right
from moderation.console.learning import drawn, flips, in_use
from moderation.console.learning.choices import short
from moderation.console.learning.eligible import Eligible, line
from moderation.console.learning.training import ENDED, Ask, Trainings
from moderation.console.pages.queues import decider
from moderation.console.pages.start import Starter
from moderation.console.pages.verify import verifier
from moderation.console.pages.view import links, page
from moderation.console.shared import Shared
from moderation.publish.adapters import publish_after
from moderation.variables.adapters import AdapterSettings

_PROJECT = r"[a-zA-Z0-9_.\-]{1,255}"
_LONGEST_ARN = 2_048

_UNFINISHED = {"TRAINING_FAILED": "failed", "GONE": "gone"}

router = APIRouter(prefix="/adapters")


@dataclass(frozen=True)
class Learning:
    """What the pages of adapters are handed in.

    :param ask: gives a boto3 client of Rekognition for the length of a block; None: it cannot be asked.
    :param trainer: starts the training Dag; None where nothing can, and people get the command.
    """

    ask: Ask | None = None
    trainer: Starter | None = None


class Pages:
    """What these pages keep between requests."""

    def __init__(self, learning: Learning) -> None:
        self.learning = learning
        self.eligible = Eligible()
        self.trainings = Trainings(learning.ask)


class Train(BaseModel):
    """A training as the form asks for it."""

    model_config = ConfigDict(extra="forbid")

    labels: list[str] = Field(min_length=1, max_length=200)
    project: str = Field(default="moderation", max_length=255)
    max_cost_usd: float = Field(ge=0)


class Lacking(BaseModel):
    """What a queue is asked for: what some labels lack."""

    model_config = ConfigDict(extra="forbid")

    labels: list[str] = Field(min_length=1, max_length=200)
    lack: Lack


class Named(BaseModel):
    """An adapter that something is done with."""

    model_config = ConfigDict(extra="forbid")

    arn: str = Field(max_length=_LONGEST_ARN)
    reason: str = Field(default="", max_length=500)


class Promotion(Named):
    """A promotion; the share is percent of the images answered before, a night."""

    knowingly: bool = False
    older_share: float = Field(default=0, ge=0, le=100)


@router.get("", name="adapters")
def adapters(request: Request) -> Response:
    """Which adapter is in use, those that were trained, and how near each label is to a training."""
    shared, pages, person = _shared(request), _pages(request), _person(request)
    rule = AdapterSettings.from_env()
    found = registry.load(shared.settings)
    link = links(request)
    lines = [line(row, lambda: link("new_queue")) for row in pages.eligible.rows(shared, rule)]
    versions = [_told(pages, found, version) for version in found.versions.values()]
    return page(
        request,
        "adapters/adapters.html.j2",
        champion=found.champion,
        versions=sorted(versions, key=lambda told: told["begun"], reverse=True),
        new=reminder.waiting(found, shared.review.log, rule),
        under_way=[told["arn"] for told in versions if told["far"]],
        ready=[one for one in lines if one.counted.eligible],
        near=[one for one in lines if not one.counted.eligible and one.errors],
        rest=[one for one in lines if not one.counted.eligible and not one.errors],
        rule=rule,
        cost_usd=training.expected_cost_usd(rule),
        runs_here=pages.learning.trainer is not None,
        may_train=person.may(Right.START),
        may_verify=person.may(Right.VERIFY),
        may_decide=person.may(Right.DECIDE),
    )


@router.get("/one", name="adapter")
def adapter(request: Request, arn: str = Query(max_length=_LONGEST_ARN)) -> Response:
    """One adapter beside the base model, and what people did with it."""
    shared, pages, person = _shared(request), _pages(request), _person(request)
    found = registry.load(shared.settings)
    version = _known(found, arn)
    compared = version.evaluation
    labels = compared["labels"] if compared else []
    curves = (compared or {}).get("curves") or {}
    changed = champion.changed_since(shared.settings, version, shared.review.log)
    used = {one["label"]: one["threshold"] for one in labels}
    return page(
        request,
        "adapters/adapter.html.j2",
        adapter=_told(pages, found, version),
        compared=compared,
        changed=changed.lines(shared.settings.command) if changed else (),
        is_outdated=champion.is_outdated(version, changed),
        labels=labels,
        groups=flips.groups(shared, compared, version.set_uri, links(request)) if compared else [],
        curves=[
            {
                "label": label,
                "plots": drawn.plots(points),
                "at": drawn.place(used[label]),
                "used": used[label],
            }
            for label, points in curves.items()
            if label in used
        ],
        events=[event for event in reversed(found.events) if event.version == arn],
        production=in_use.production(shared, found, version),
        shadows=in_use.shadows(shared, version, links(request)),
        sample=in_use.queue_address(shared, version, links(request)),
        asks=version.gate is not None and version.gate["verdict"] == gate.ASKS,
        may_train=person.may(Right.START),
        may_verify=person.may(Right.VERIFY),
        may_decide=person.may(Right.DECIDE),
        may_promote=_may_be_promoted(found, version),
    )


@router.get("/far", name="training_far")
def far(request: Request, arn: list[str] = Query(max_length=50)) -> Response:  # noqa: B008 - FastAPI's way
    """How far trainings are, by ARN."""
    pages, found = _pages(request), registry.load(_shared(request).settings)
    known = [found.versions[one] for one in arn if one in found.versions]
    return JSONResponse({version.arn: vars(pages.trainings.far(version)) for version in known})


@router.get("/older", name="older")
def asked_anew(request: Request, share: float = Query(default=0, ge=0, le=100)) -> Response:
    """What a promotion would ask for anew, in words.

    :param share: percent of the images answered before, a night.
    """
    return JSONResponse({"told": older.count(_shared(request).settings, share / 100).text()})


@router.post("/train", name="train")
async def train(request: Request, wanted: Train) -> Response:
    """Start a training in the name of who asks; where nothing can start it, the command that does."""
    if not _person(request).may(Right.START):
        raise HTTPException(403, "You may look at adapters, not train them.")
    if not re.fullmatch(_PROJECT, wanted.project):
        raise HTTPException(400, "A project's name has letters, digits, dots, dashes and underscores.")
    shared, pages = _shared(request), _pages(request)
    rule = AdapterSettings.from_env()
    rows = await run_in_threadpool(pages.eligible.rows, shared, rule)
    known = {row.label for row in rows}
    if unknown := [label for label in wanted.labels if label not in known]:
        raise HTTPException(400, f"Nobody has decided about {', '.join(unknown)} yet.")
    eligibility.require(rows, wanted.labels)
    if training.expected_cost_usd(rule) > wanted.max_cost_usd:
        raise HTTPException(400, "The training is expected to cost more than it may; raise the limit.")
    if pages.learning.trainer is None:
        words = ["adapter", "train", *wanted.labels, "--project", wanted.project]
        words += ["--max-cost-usd", f"{wanted.max_cost_usd:g}", "--wait"]
        return JSONResponse({"command": f"{shared.settings.command} {shlex.join(words)}"})
    started = await pages.learning.trainer(request, wanted.model_dump())
    return JSONResponse({"address": started.address, "name": started.name}, status_code=201)


@router.post("/queue", name="lack_queue")
def lack_queue(request: Request, wanted: Lacking) -> Response:
    """Make the queue of what some labels lack, or add to it; answers with its address."""
    verifier(request)
    shared = _shared(request)
    try:
        spelled(wanted.labels)
    except UnknownLabelError as error:
        raise HTTPException(400, f"{error}.") from error
    used, default = stages.thresholds_in_use()
    made = to_decide.make(
        shared.settings,
        shared.review,
        wanted.labels,
        wanted.lack,
        thresholds=used,
        default_threshold=default,
    )
    if made.queue is None:
        raise HTTPException(400, "; ".join(["There is nothing to look at", *made.lines()[1:]]) + ".")
    address = links(request)("work", queue_id=made.queue.queue_id) + "?mode=focus"
    return JSONResponse(made.record() | {"address": address})


@router.post("/compare", name="compare")
def compare(request: Request, named: Named) -> Response:
    """Compare an adapter whose training has ended; nothing is paid."""
    if not _person(request).may(Right.START):
        raise HTTPException(403, "You may look at adapters, not compare them.")
    shared = _shared(request)
    version = _known(registry.load(shared.settings), named.arn)

    def finish(rekognition: Any) -> None:
        stages.evaluate(version.arn, version.set_uri, rekognition=rekognition, settings=shared.settings)

    _asked(request, finish)
    publish_after(shared.settings)
    return JSONResponse({"arn": version.arn})


@router.post("/promote", name="promote")
def promote(request: Request, wanted: Promotion) -> Response:
    """Use an adapter from now on, for contents first seen after it."""
    person = decider(request)
    shared = _shared(request)
    _known(registry.load(shared.settings), wanted.arn)
    log = shared.review.log
    _asked(
        request, lambda rekognition: champion.check_to_promote(shared.settings, rekognition, wanted.arn, log)
    )
    found = registry.promote(
        shared.settings,
        wanted.arn,
        person=person.name,
        now=datetime.now(UTC),
        knowingly=wanted.knowingly,
        older_share=wanted.older_share / 100,
    )
    sample.after_promotion(shared.settings, shared.review.queues)
    publish_after(shared.settings)
    return JSONResponse({"champion": found.champion})


@router.post("/roll-back", name="roll_back")
def roll_back(request: Request, named: Named) -> Response:
    """Use again what was used before the champion that the person sees."""
    person = decider(request)
    settings = _shared(request).settings
    if registry.load(settings).champion != named.arn:
        raise HTTPException(409, "Another adapter is in use by now; load the page again.")
    found = registry.roll_back(settings, person=person.name, now=datetime.now(UTC), reason=named.reason)
    publish_after(settings)
    return JSONResponse({"champion": found.champion})


@router.post("/retire", name="retire")
def retire(request: Request, named: Named) -> Response:
    """Never use an adapter again."""
    person = decider(request)
    settings = _shared(request).settings
    _known(registry.load(settings), named.arn)
    now = datetime.now(UTC)
    found = registry.retire(settings, named.arn, person=person.name, now=now, reason=named.reason)
    publish_after(settings)
    return JSONResponse({"champion": found.champion})


def _told(pages: Pages, found: Registry, version: Version) -> dict[str, Any]:
    """A version as both pages show it; ``far`` is empty once it was compared."""
    told = {**vars(version), "short": short(version.arn), "far": None, "is_ended": False}
    told["begun"] = version.begun_at or registry.created(version.arn).isoformat()
    not_used = "retired" if version.arn in found.retired else "not in use"
    told["state"] = "in use" if version.arn == found.champion else not_used
    if version.evaluation is None:
        far_it_is = pages.trainings.far(version)
        told |= {
            "far": far_it_is,
            "is_ended": far_it_is.status == ENDED,
            "state": _UNFINISHED.get(far_it_is.status, "in training"),
        }
    return told


def _may_be_promoted(found: Registry, version: Version) -> bool:
    stopped = version.gate is None or version.gate["verdict"] == gate.STOPS
    return not stopped and version.arn not in found.retired and version.arn != found.champion


def _known(found: Registry, arn: str) -> Version:
    if arn not in found.versions:
        raise HTTPException(404, "No such adapter was trained here.")
    return found.versions[arn]


def _asked(request: Request, what: Callable[[Any], Any]) -> None:
    """Ask Rekognition; what it refuses is said in its own words."""
    ask = _pages(request).learning.ask
    if ask is None:
        raise HTTPException(503, "Rekognition cannot be asked from here; use `moderation adapter`.")
    try:
        with ask() as rekognition:
            what(rekognition)
    except (ClientError, BotoCoreError) as error:
        raise HTTPException(503, f"Rekognition cannot be asked now: {error}") from error


def _shared(request: Request) -> Shared:
    shared: Shared = request.app.state.shared
    return shared


def _pages(request: Request) -> Pages:
    pages: Pages = request.app.state.adapters
    return pages


def _person(request: Request) -> Person:
    person: Person = request.state.person
    return person
