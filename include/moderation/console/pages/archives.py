"""The pages *Archives* and *An archive*: how far each is, what it costs, and what operators ask of it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from moderation.archive.backfill import orders, state
from moderation.archive.backfill.names import DAG_ID
from moderation.archive.backfill.state import (
    ASKED,
    DONE,
    ENDED,
    GOES_ON,
    PARKED,
    PAUSED,
    RUNNING,
    STOPPED,
    WAITING,
    Archive,
    ArchiveError,
    Chunk,
    moment,
)
from moderation.console.archives.drawn import plot
from moderation.console.gate import Person, Right
from moderation.console.pages.queues import decider
from moderation.console.pages.view import page
from moderation.console.shared import Shared

MOST_CHUNKS = 100
_SHOWN = {
    "all": (),
    "under way": (ASKED, RUNNING),
    "parked": (PARKED,),
    "waiting": (WAITING,),
    "done": (DONE,),
}

router = APIRouter(prefix="/archives")


class Order(BaseModel):
    """What is asked of an archive.

    :ivar days: of a pause; None until it is resumed.
    :ivar chunks: parked ones that are tried again; None for all.
    :ivar day_usd: of a budget, in US dollars; None for no limit, and what is not given stays. ``month_usd``
        likewise.
    """

    model_config = ConfigDict(extra="forbid")

    days: float | None = Field(default=None, gt=0, lt=3_650)
    chunks: set[int] | None = Field(default=None, min_length=1, max_length=100_000)
    day_usd: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    month_usd: float | None = Field(default=None, gt=0, allow_inf_nan=False)


@router.get("", name="archives")
def archives(request: Request) -> Response:
    """Every archive, and how one is begun."""
    shared = _shared(request)
    told, damaged = shared.archives.all()
    return page(
        request,
        "archives/archives.html.j2",
        archives=told,
        parked={one.archive.name: _count(one.archive, PARKED) for one in told},
        damaged=damaged,
        moves=any(_moves(one.archive) for one in told),
        command=shared.settings.command,
        moment_of=moment,
    )


@router.get("/{name}", name="archive")
def archive(
    request: Request, name: str, shown: str = Query(default="all"), since: int = Query(default=0, ge=0)
) -> Response:
    """One archive: figures, months, chunks.

    :param shown: chunks in this state only; see ``_SHOWN``.
    :param since: chunks to leave out.
    """
    shared, person = _shared(request), _person(request)
    found = _read(shared, name)
    told = shared.archives.told(found)
    wanted = _SHOWN.get(shown, ())
    chunks = [chunk for chunk in found.chunks if not wanted or chunk.status in wanted]
    counts = Counter(chunk.status for chunk in found.chunks)
    return page(
        request,
        "archives/archive.html.j2",
        archive=found,
        far=told.far,
        plot=plot(found, told.far),
        parked=[chunk for chunk in found.chunks if chunk.status == PARKED],
        failed=[chunk for chunk in found.chunks if chunk.status == WAITING and chunk.reason],
        chunks=chunks[since : since + MOST_CHUNKS],
        shown=shown if shown in _SHOWN else "all",
        tabs={name: sum(counts[one] for one in states or counts) for name, states in _SHOWN.items()},
        older=since + MOST_CHUNKS if since + MOST_CHUNKS < len(chunks) else None,
        newer=max(0, since - MOST_CHUNKS) if since else None,
        gone=sum(chunk.gone for chunk in found.chunks),
        changed=sum(chunk.changed for chunk in found.chunks),
        before=sum(chunk.before for chunk in found.chunks),
        moves=_moves(found),
        can=_can(found) if person.may(Right.DECIDE) else frozenset(),
        may_decide=person.may(Right.DECIDE),
        has_runs=request.app.state.run_page is not None,
        dag_id=DAG_ID,
        command=shared.settings.command,
        moment_of=moment,
    )


@router.get("/{name}/chunks/{number}/run", name="chunk_run")
def chunk_run(request: Request, name: str, number: int) -> Response:
    """To the page of the run that works a chunk off."""
    found = _read(_shared(request), name)
    chunk = _chunk(found, number)
    known = request.app.state.run_page
    address = known({"run_id": found.run_id(chunk)}) if known else None
    if address is None:
        raise HTTPException(404, "The run of this chunk is not known here: not begun yet, or removed since.")
    return RedirectResponse(address, status_code=303)


@router.post("/{name}/{what}", name="order")
def order(
    request: Request, name: str, what: Literal["pause", "resume", "stop", "retry", "budget"], wanted: Order
) -> Response:
    """Ask something of an archive in the name of who asks; the conductor goes by it at its next look."""
    person, shared = decider(request), _shared(request)
    _read(shared, name)
    asked: dict[str, Any] = {"person": person.name}
    if what == "pause":
        asked["until"] = datetime.now(UTC) + timedelta(days=wanted.days) if wanted.days else None
    if what == "retry":
        asked["numbers"] = wanted.chunks
    if what == "budget":
        asked |= wanted.model_dump(include=wanted.model_fields_set & {"day_usd", "month_usd"})
    changed = getattr(orders, what)(shared.settings, shared.s3, name, **asked)
    shared.archives.changed()
    return JSONResponse({"status": changed.status})


def _can(found: Archive) -> frozenset[str]:
    """What can be asked of it as it stands."""
    can = {
        GOES_ON: {"pause", "stop", "budget"},
        PAUSED: {"resume", "stop", "budget"},
        STOPPED: {"resume", "budget"},
        ENDED: set[str](),
    }[found.status]
    if found.cleaned_at:
        return frozenset()
    return frozenset(can | ({"retry"} if _count(found, PARKED) else set()))


def _moves(found: Archive) -> bool:
    """Whether its figures may be others in a moment."""
    return found.status == GOES_ON or any(chunk.is_under_way for chunk in found.chunks) or not found.result


def _count(found: Archive, status: str) -> int:
    return sum(chunk.status == status for chunk in found.chunks)


def _chunk(found: Archive, number: int) -> Chunk:
    for chunk in found.chunks:
        if chunk.number == number:
            return chunk
    raise HTTPException(404, "The archive has no such chunk.")


def _read(shared: Shared, name: str) -> Archive:
    """The archive as it is now, whoever changed it.

    :raises ArchiveError: its file is damaged.
    """
    try:
        state.check_name(name)
    except ArchiveError as error:
        raise HTTPException(404, str(error)) from error
    if not state.exists(shared.settings, shared.s3, name):
        raise HTTPException(404, "There is no such archive.")
    return state.read(shared.settings, shared.s3, name)


def _shared(request: Request) -> Shared:
    shared: Shared = request.app.state.shared
    return shared


def _person(request: Request) -> Person:
    person: Person = request.state.person
    return person
