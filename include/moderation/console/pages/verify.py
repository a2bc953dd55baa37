"""The pages on which people decide: Focus, Grid and what came of it; and where their decisions go."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from moderation.console.gate import Person, Right
from moderation.console.index.load_index import NoSuchLoadError
from moderation.console.index.selection import Selection
from moderation.console.pages.view import links, page
from moderation.console.shared import Shared
from moderation.console.verify import lately, said, seen
from moderation.console.verify.told import Told, may_work, told
from moderation.report.page import wording
from moderation.review.queue import Left, Queue
from moderation.review.verdict import Said, Subject, Verdict

MOST_ITEMS = 400
RECENT = 60
"""Decisions that a page knows of when it opens: so many can be taken back after a reload."""

_ROUNDS = 12
"""How often more is asked for, each time for twice as many, in place of images that nobody can look at."""

_MODES = ("focus", "grid")
_ROWS_A_DECISION = 12
_USUAL_ROWS = 2_000
_MOST_ROWS = 20_000
_MOST_NAMED = 20
_TEN = 10

router = APIRouter(prefix="/verify")


class Wanted(BaseModel):
    """What is asked for.

    :param n: items at most; 0 only keeps those that are held.
    :param holding: items that the page has.
    """

    n: int = Field(ge=0, le=MOST_ITEMS)
    holding: list[str] = Field(default=[], max_length=2 * MOST_ITEMS)


class Again(BaseModel):
    """What is looked at again."""

    what: Literal["unseen", "skipped"] = "unseen"


class Released(BaseModel):
    """Items that a page lets go."""

    items: list[str] = Field(max_length=2 * MOST_ITEMS)


def verifier(request: Request) -> Person:
    """Who asks, if they may verify."""
    person: Person = request.state.person
    if not person.may(Right.VERIFY):
        raise HTTPException(403, "You may look; to verify, another role is needed.")
    return person


@router.get("/queues/{queue_id}", name="work")
def work(request: Request, queue_id: str, mode: str = "focus") -> Response:
    """One image large, or many at once."""
    shared: Shared = request.app.state.shared
    person = verifier(request)
    if mode not in _MODES:
        raise HTTPException(400, f"mode is one of {', '.join(_MODES)}")
    queue = shared.review.queues.get(queue_id)
    _admit(told(queue), person)
    return page(
        request,
        f"verify/{mode}.html.j2",
        queue=told(queue),
        mode=mode,
        progress=_progress(shared, queue_id, person),
        recent=_recent(shared, request, queue, person),
        taxonomy=seen.labels_of_taxonomy(),
        usual=_usual(shared, queue, person),
        kinds=wording.CONTENT_TYPES,
        now_ms=int(time.time() * 1000),
        renew=max(1, queue.spec.lease_seconds // 3),
        cap=queue.spec.cap,
    )


@router.post("/queues/{queue_id}/next", name="next")
def following(request: Request, queue_id: str, wanted: Wanted) -> Response:
    """More items for who asks, which nobody else gets meanwhile; those that they hold stay theirs."""
    shared: Shared = request.app.state.shared
    person = verifier(request)
    queues = shared.review.queues
    queue = queues.get(queue_id)
    about = told(queue)
    _admit(about, person)
    if about.state != "open":
        return JSONResponse(
            {
                "items": [],
                "lost": wanted.holding,
                "paused": "This queue is paused.",
                "progress": _progress(shared, queue_id, person),
            }
        )
    kept = set(queues.renew(wanted.holding, person.name)) if wanted.holding else set()
    given, gone = _given(shared, request, queue, person, wanted.n, kept) if wanted.n else ([], 0)
    is_over = wanted.n > 0 and not given
    return JSONResponse(
        {
            "items": given,
            "left": asdict(left(shared, queue_id, person)) if is_over else None,
            "lost": [item for item in wanted.holding if item not in kept],
            "paused": f"{gone} images are left out: no published load has them any more." if gone else "",
            "progress": _progress(shared, queue_id, person),
        }
    )


def _given(  # noqa: PLR0917 - all of one request
    shared: Shared, request: Request, queue: Queue, person: Person, n: int, kept: Collection[str]
) -> tuple[list[dict[str, Any]], int]:
    """So many items for a person as a page has them, and how many were passed over as gone."""
    queues = shared.review.queues
    given: list[dict[str, Any]] = []
    gone: set[str] = set()
    # First what the person holds from before: so a page goes on where the last one stopped.
    items = [item for item in queues.held(queue.queue_id, person.name) if item.item_id not in kept]
    for turn in range(_ROUNDS):
        shown = seen.shown(shared, items, queue=queue, person=person, link=links(request))
        given += shown
        unseen = {item.item_id for item in items} - {item["item"] for item in shown}
        queues.set_aside(unseen, person.name)
        gone |= unseen
        items = []
        if len(given) < n:
            items = queues.next(
                queue.queue_id,
                person.name,
                min((n - len(given)) << turn, MOST_ITEMS),
                sees_severe=person.may(Right.DECIDE),
                without=gone,
            )
        if not items:
            break
    return given, len(gone)


@router.post("/queues/{queue_id}/release", name="release")
def release(request: Request, queue_id: str, released: Released) -> Response:
    """Let items go, so that others need not wait for the lease to end."""
    person = verifier(request)
    request.app.state.shared.review.queues.release(released.items, person.name)
    return JSONResponse({"released": len(released.items)})


@router.post("/answers", name="answered")
def answered(request: Request, batch: said.Batch) -> Response:
    """Keep decisions; the same one sent twice is one. What is named as taken is kept for good."""
    person = verifier(request)
    return JSONResponse(said.take(request.app.state.shared, person, batch))


@router.get("/queues/{queue_id}/summary", name="summary")
def summary(request: Request, queue_id: str) -> Response:
    """How far a queue is, and the part of who asks in it."""
    shared: Shared = request.app.state.shared
    person: Person = request.state.person
    queue = shared.review.queues.get(queue_id)
    about = told(queue)
    mine = lately.decisions(_rows(shared, person, queue_id, _MOST_ROWS))
    rows = [row for one in mine for row in one["rows"]]
    number = Counter(row["verdict"] for row in rows if row["subject"] == Subject.LABEL)
    whole = Counter(row["verdict"] for row in rows if row["subject"] == Subject.IMAGE)
    wrong = Counter(
        row["label"] for row in rows if row["verdict"] == Said.ABSENT and row["subject"] == Subject.LABEL
    )
    return page(
        request,
        "verify/summary.html.j2",
        queue=about,
        what=about.what,
        progress=_progress(shared, queue_id, person),
        unseen=_unseen(shared, request, queue, person),
        may_verify=may_work(about, person),
        skipped=shared.review.queues.skipped().get(queue_id, 0),
        left=left(shared, queue_id, person),
        wrong=wrong.most_common(5),
        mine={
            "decisions": sum(one["state"] != "skipped" for one in mine),
            "present": number[Said.PRESENT],
            "absent": number[Said.ABSENT],
            "unsure": number[Said.UNSURE] + whole[Said.UNSURE],
            "nothing": whole[Said.NOTHING],
            "skipped": whole[Said.SKIPPED],
            "severe": whole[Said.SEVERE],
            "today": _today(shared, person),
        },
    )


def _unseen(shared: Shared, request: Request, queue: Queue, person: Person) -> list[dict[str, str]]:
    """The first of what could not be seen, each with its name and page."""
    items = shared.review.queues.unseen(queue.queue_id, _MOST_NAMED)
    shown = {
        one["item"]: one for one in seen.shown(shared, items, queue=queue, person=person, link=links(request))
    }
    return [
        {"name": shown[item.item_id]["name"], "page": shown[item.item_id]["page"]}
        if item.item_id in shown
        else {"name": wording.foreign(item.source_ref), "page": ""}
        for item in items
    ]


@router.post("/queues/{queue_id}/again", name="look_again")
def look_again(request: Request, queue_id: str, again: Again) -> Response:
    """What could not be seen waits again: its image may be back. Or what the person skipped, for them."""
    person = verifier(request)
    queues = request.app.state.shared.review.queues
    _admit(told(queues.get(queue_id)), person)
    if again.what == "skipped":
        return JSONResponse({"items": queues.skip_no_more(queue_id, person.name)})
    return JSONResponse({"items": queues.look_again(queue_id)})


def left(shared: Shared, queue_id: str, person: Person) -> Left:
    """What of the open items of a queue a person gets."""
    return shared.review.queues.left(queue_id, person.name, sees_severe=person.may(Right.DECIDE))


def _admit(about: Told, person: Person) -> None:
    if not may_work(about, person):
        raise HTTPException(403, "This queue is for other people.")


def _progress(shared: Shared, queue_id: str, person: Person) -> dict[str, int]:
    far = shared.review.queues.progress(queue_id)
    return {
        "done": far.done,
        "total": far.total,
        "leased": far.leased,
        "unseen": far.unseen,
        "today": _today(shared, person),
    }


def _today(shared: Shared, person: Person) -> int:
    return shared.review.log.exposures(person.name, datetime.now(UTC).date())


def _recent(shared: Shared, request: Request, queue: Queue, person: Person) -> list[dict[str, Any]]:
    """The person's last decisions in the queue, each with its image."""
    decided = lately.decisions(_rows(shared, person, queue.queue_id, RECENT * _ROWS_A_DECISION))[:RECENT]
    items = shared.review.queues.items([one["item"] for one in decided])
    shown = seen.shown(shared, items, queue=queue, person=person, link=links(request))
    by_id = {item["item"]: item for item in shown}
    return [one | {"item": by_id[one["item"]]} for one in decided if one["item"] in by_id]


def _rows(shared: Shared, person: Person, queue_id: str, most: int) -> list[Verdict]:
    """What the person said last in a queue, the newest first."""
    return shared.review.log.by_reviewer(person.name, most, queue_id=queue_id)


def _usual(shared: Shared, queue: Queue, person: Person) -> list[str]:
    """Labels that the person says are there, the most often first; then those of the queue's job."""
    rows = shared.review.log.by_reviewer(person.name, _USUAL_ROWS)
    said_so = Counter(row.label for row in rows if row.verdict == Said.PRESENT and row.label)
    names = [name for name, _ in said_so.most_common(_TEN) if name]
    if len(names) < _TEN and queue.spec.load_id:
        with suppress(NoSuchLoadError):  # No published load has its images any more, which the page says.
            tree = shared.found(queue.spec.load_id).side(Selection()).tree
            most = sorted(tree, key=lambda node: (-node["level"], -node["images"]))
            names += [node["name"] for node in most if node["name"] not in names]
    return names[:_TEN]
