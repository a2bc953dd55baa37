"""The pages *Verify* and *New queue*: what waits, how far it is, and who may work on it."""

from __future__ import annotations

import secrets
from typing import Literal

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from moderation.console.gate import Person, Right
from moderation.console.index.selection import Selection
from moderation.console.pages.verify import left, verifier
from moderation.console.pages.view import links, page
from moderation.console.shared import Shared
from moderation.console.verify import making
from moderation.console.verify.seen import labels_of_taxonomy
from moderation.console.verify.told import KINDS, may_work, told
from moderation.review.queue import DISPUTES, Kind, Progress

_MOST_LOADS = 200
_SEEDS = 2**31

router = APIRouter(prefix="/verify")


class Asked(BaseModel):
    """A queue as the form asks for it; shares are percent.

    :param query: of a job's page, for a queue of its selection.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    name: str = Field(default="", max_length=120)
    load_id: str | None = Field(default=None, max_length=80)
    label: str = Field(default="", max_length=200)
    low: float | None = None
    high: float | None = None
    size: int | None = Field(default=None, ge=1, le=1_000_000)
    query: str = Field(default="", max_length=2_000)
    blind: bool = False
    second_share: float | None = Field(default=0, ge=0, le=100)
    golden_share: float | None = Field(default=0, ge=0, le=100)
    benign_share: float | None = Field(default=0, ge=0, le=100)
    cap: int | None = Field(default=None, ge=1)
    people: list[str] = Field(default=[], max_length=100)


class Turned(BaseModel):
    """Whether a queue goes on."""

    to: Literal["pause", "resume"]


class People(BaseModel):
    """Who may work on a queue; nobody named is everybody."""

    people: list[str] = Field(max_length=100)


@router.get("", name="queues")
def queues(request: Request) -> Response:
    """Every queue with its progress, the newest first; what waits longest stands on top."""
    shared: Shared = request.app.state.shared
    person: Person = request.state.person
    every = shared.review.queues.all()
    far, skipped = shared.review.queues.progress_of_all(), shared.review.queues.skipped()
    rows = []
    for queue in reversed(every):
        about = told(queue)
        progress = far.get(queue.queue_id, Progress())
        if queue.queue_id == DISPUTES or (queue.paused and not progress.total):
            continue
        waits = may_work(about, person) and about.state == "open" and progress.done < progress.total
        is_over = waits and not progress.leased and not left(shared, queue.queue_id, person).some
        rows.append(
            {
                **{"queue": about, "what": about.what, "progress": progress, "is_over": is_over},
                **{"may_work": waits and not is_over, "skipped": skipped.get(queue.queue_id, 0)},
            }
        )
    waiting = shared.review.queues.oldest_waiting()
    by_id = {queue.queue_id: queue for queue in every}
    disputed = far.get(DISPUTES, Progress())
    return page(
        request,
        "verify/queues.html.j2",
        queues=rows,
        oldest=waiting and {"since": waiting.since, "queue": told(by_id[waiting.queue_id])},
        disputes=disputed.total - disputed.done,
        may_verify=person.may(Right.VERIFY),
        may_decide=person.may(Right.DECIDE),
    )


@router.get("/new", name="new_queue")
def new_queue(  # noqa: PLR0917 - the query of an address
    request: Request,
    load_id: str = "",
    kind: str = "",
    label: str = "",
    low: float = Query(default=50, ge=0, le=100),
    high: float = Query(default=80, ge=0, le=100),
) -> Response:
    """The form; from a job's page with what is chosen there."""
    shared: Shared = request.app.state.shared
    person = verifier(request)
    loads, _ = shared.history.known_loads()
    chosen = Selection.parse(request.query_params if load_id else {})
    query = chosen.query()
    return page(
        request,
        "verify/new.html.j2",
        loads=loads[:_MOST_LOADS],
        labels=labels_of_taxonomy(),
        kinds_told=[
            (str(key), name, note)
            for key, (name, note) in KINDS.items()
            if (key != Kind.GOLDEN or person.may(Right.DECIDE))
            and (key != Kind.POLICY or shared.policy() is not None)
        ],
        chosen_kind=kind or (Kind.FILTER if load_id else Kind.POLICY if shared.policy() else Kind.JOB),
        chosen_load=load_id,
        chosen_label=label,
        low=low,
        high=high,
        query=query,
        has_selection=bool(load_id),
        selection_told=making.in_words(chosen),
        may_decide=person.may(Right.DECIDE),
    )


@router.post("/new", name="make_queue")
def make_queue(request: Request, asked: Asked) -> Response:
    """Make a queue and fill it; answers with its address."""
    shared: Shared = request.app.state.shared
    person = verifier(request)
    if asked.kind == Kind.ADAPTER:
        raise HTTPException(400, "A sample of an adapter's answers is made when the adapter is promoted.")
    if asked.kind == Kind.DISPUTE or (asked.kind == Kind.GOLDEN and not person.may(Right.DECIDE)):
        raise HTTPException(403, "Golden images and disputes are for operators.")
    if asked.people and not person.may(Right.DECIDE):
        raise HTTPException(403, "Who works at a queue is set by operators.")
    if asked.kind == Kind.BAND and not asked.label:
        raise HTTPException(400, "A band needs a label.")
    wanted = asked.model_dump(exclude={"query", "golden_share"}) | {
        "kind": str(asked.kind),
        "label": asked.label or None,
        "load_id": asked.load_id or None,
        "second_share": (asked.second_share or 0) / 100,
        "golden": (asked.golden_share or 0) / 100,
        "benign_share": (asked.benign_share or 0) / 100,
        "people": tuple(asked.people),
        "seed": secrets.randbelow(_SEEDS),
    }
    queue, items = making.make(shared, wanted, query=asked.query)
    if not items:
        raise HTTPException(400, "No image is like that, so there is nothing to verify.")
    address = links(request)("work", queue_id=queue.queue_id) + "?mode=focus"
    return JSONResponse({"queue": queue.queue_id, "items": items, "address": address})


@router.post("/queues/{queue_id}/pause", name="pause")
def pause(request: Request, queue_id: str, turned: Turned) -> Response:
    """Hand out no more of a queue, or go on."""
    decider(request)
    every = request.app.state.shared.review.queues
    (every.pause if turned.to == "pause" else every.resume)(queue_id)
    return JSONResponse({"queue": queue_id})


@router.post("/queues/{queue_id}/people", name="restrict")
def restrict(request: Request, queue_id: str, people: People) -> Response:
    """Say who may work on a queue."""
    decider(request)
    request.app.state.shared.review.queues.restrict(queue_id, people.people)
    return JSONResponse({"queue": queue_id})


@router.post("/disputes", name="disputes")
def disputes(request: Request) -> Response:
    """The address of the queue of what people disagree about."""
    decider(request)
    request.app.state.shared.review.queues.disputes()
    return JSONResponse({"address": links(request)("work", queue_id=DISPUTES) + "?mode=focus"})


def decider(request: Request) -> Person:
    """Who asks, if they may decide for others."""
    person: Person = request.state.person
    if not person.may(Right.DECIDE):
        raise HTTPException(403, "This is for operators.")
    return person
