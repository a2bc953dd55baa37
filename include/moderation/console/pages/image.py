"""The page *An image*, and the images themselves."""

from __future__ import annotations

import hashlib
import html
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from moderation.console.gate import Person, Right
from moderation.console.index.found import Found
from moderation.console.index.selection import Selection
from moderation.console.pages.view import page
from moderation.console.shared import Shared
from moderation.console.tiles.kept import NO_LONGER, TILE, VIEW
from moderation.console.verify import lately
from moderation.policy.rules import decide
from moderation.reference import definitions
from moderation.reference.content import subject_id
from moderation.review.verdict import Said, Verdict
from moderation.sources.image_header import media_type

AHEAD = 3
"""Images that a page loads before they are asked for."""

_SILENT = {Said.SKIPPED, Said.NOTE, Said.COMPLETE}
_NOBODY = 499
"""The status of an answer that nobody waits for any more, as nginx has it in its log."""

_FOR_GOOD = "private, max-age=86400"

router = APIRouter(prefix="/jobs/{load_id}/images/{n}")


@router.get("", name="image")
def image(request: Request, load_id: str, n: int) -> Response:
    """An image with its labels, large; ``part=panel`` gives what stands beside it."""
    shared: Shared = request.app.state.shared
    part = request.query_params.get("part") == "panel"
    found = shared.found(load_id, looked=True, waits=not part)
    row = _row(found, n)
    row |= found.about(row) | {"gone_at": found.gone.since(n)}
    chosen = Selection.parse(request.query_params)
    return page(
        request,
        "image_panel.html.j2" if part else "image.html.j2",
        load_id=load_id,
        load=found.load,
        chosen=chosen,
        image=row,
        labels=[label | {"threshold": found.threshold(label["name"])} for label in row["labels"]],
        defined=definitions.definition,
        decided=_decided(shared, row),
        hidden=shared.is_severe(row) and not request.state.person.may(Right.DECIDE),
        may_verify=request.state.person.may(Right.VERIFY),
        said=_said_of(shared, row, request.state.person),
        may_original=request.state.person.may(Right.ORIGINAL),
        way=_way(found, chosen, n),
    )


@router.get("/answers", name="answers")
def answers(request: Request, load_id: str, n: int) -> Response:
    """Every answer about the image in all loads, as a table."""
    shared: Shared = request.app.state.shared
    row = _row(shared.found(load_id), n)
    told = shared.history.answers(row["source_ref"])
    return page(request, "answers.html.j2", answers=told, etag=row["etag"])


@router.get("/around", name="around")
def around(request: Request, load_id: str, n: int) -> Response:
    """Where the image stands in the selection, and its neighbours there."""
    found = request.app.state.shared.found(load_id)
    _row(found, n)
    return JSONResponse(_way(found, Selection.parse(request.query_params), n))


@router.get("/tile", name="tile")
async def tile(request: Request, load_id: str, n: int) -> Response:
    """The image, at most 320 pixels a side; a drawing that says why where there is none."""
    return await _shown(request, load_id, n, TILE)


@router.get("/view", name="view")
async def view(request: Request, load_id: str, n: int) -> Response:
    """The image, at most 1,600 pixels a side; a drawing that says why where there is none."""
    return await _shown(request, load_id, n, VIEW)


@router.get("/original", name="original")
def original(request: Request, load_id: str, n: int) -> Response:
    """The bytes that were moderated, as a file to save."""
    if not request.state.person.may(Right.ORIGINAL):
        raise HTTPException(403, "Originals are for operators only.")
    shared: Shared = request.app.state.shared
    row = _row(shared.found(load_id), n)
    if shared.is_severe(row) and not request.state.person.may(Right.DECIDE):
        raise HTTPException(403, "This image is marked as severe.")
    data = shared.tiles.original(row)
    headers = {
        "Content-Disposition": f'attachment; filename="{load_id}-{n}"',
        "Content-Security-Policy": "sandbox",
    }
    return Response(data, media_type=media_type(data[:64]), headers=headers)


async def _shown(request: Request, load_id: str, n: int, longest: int) -> Response:
    """What is kept at once; what is to be made in its turn, if somebody still waits for it then."""
    shared: Shared = request.app.state.shared

    def look() -> tuple[dict[str, Any], Response | None]:
        row = _row(shared.found(load_id), n, Found.source)
        return row, _answer(request, load_id, row, longest, make=False)

    row, kept = await run_in_threadpool(look)
    if kept is not None:
        return kept
    # Who waits here holds neither a thread that other pages need nor the bytes of an original.
    async with shared.making:
        if await request.is_disconnected():
            return Response(status_code=_NOBODY)
        made = await run_in_threadpool(_answer, request, load_id, row, longest, make=True)
    return made or Response(status_code=_NOBODY)


def _answer(
    request: Request, load_id: str, row: Mapping[str, Any], longest: int, *, make: bool
) -> Response | None:
    """An image, or why there is none; None when it is to be made first."""
    shared: Shared = request.app.state.shared
    if shared.is_severe(row) and (longest == TILE or not request.state.person.may(Right.DECIDE)):
        headers = {"Cache-Control": "private, no-store"}
        return Response(_said("marked as severe"), media_type="image/svg+xml", headers=headers)
    made = shared.tiles.shown(row, longest) if make else shared.tiles.kept(row, longest)
    if made is None:
        return None
    headers = {"Cache-Control": _FOR_GOOD if made.lasting and longest == TILE else "private, no-cache"}
    if made.body and longest == VIEW:
        # Asked for again each time: it may have been marked as severe since.
        headers["ETag"] = f'"{hashlib.blake2b(made.body, digest_size=16).hexdigest()}"'
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
    if made.body:
        return Response(made.body, media_type="image/jpeg", headers=headers)
    headers["Cache-Control"] = "private, max-age=60"
    since = shared.found(load_id).gone.since(row["n"]) if made.why == NO_LONGER else None
    why = f"it is gone at its source, as the listing of {since:%Y-%m-%d} showed" if since else made.why
    return Response(_said(why), media_type="image/svg+xml", headers=headers)


def _said(why: str) -> bytes:
    """A drawing that says why there is no image; so wide that a script tells it from one."""
    lines = textwrap.wrap(f"Not shown: {why}", 34)[:6]
    text = "".join(
        f'<tspan x="160" dy="{0 if number == 0 else 22}">{html.escape(line)}</tspan>'
        for number, line in enumerate(lines)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240" '
        f'width="{VIEW + 4}" height="{(VIEW + 4) * 3 // 4}">'
        '<rect width="320" height="240" fill="#8b929a" fill-opacity="0.18"/>'
        f'<text x="160" y="{124 - 11 * (len(lines) - 1)}" text-anchor="middle" fill="#7b838c" '
        f'font-family="system-ui, sans-serif" font-size="16">{text}</text></svg>'
    ).encode()


def _row(
    found: Found, n: int, look: Callable[[Found, int], dict[str, Any] | None] = Found.image
) -> dict[str, Any]:
    row = look(found, n) if 0 <= n < 2**31 else None
    if row is None:
        raise HTTPException(404, "There is no such image in this load.")
    return row


def _way(found: Found, chosen: Selection, n: int) -> dict[str, Any]:
    """Place and neighbours: ``before`` the nearest first, ``after`` likewise."""
    images = found.listed(chosen).images
    place = found.place(chosen, n)
    if place is None:
        return {"place": None, "total": len(images), "before": [], "after": []}
    return {
        "place": place + 1,
        "total": len(images),
        "before": images[max(0, place - AHEAD) : place][::-1].tolist(),
        "after": images[place + 1 : place + 1 + AHEAD].tolist(),
    }


def _said_of(shared: Shared, row: dict[str, Any], person: Person) -> dict[str, Any]:
    """What people say of the image: ``mine`` as rows that can be changed, ``others`` in words."""
    content = subject_id(row["source_ref"], row["etag"], row["size_bytes"])
    by_person: dict[str, list[Verdict]] = {}
    for verdict in reversed(shared.review.log.of_contents([content])):
        by_person.setdefault(verdict.reviewer, []).append(verdict)
    standing = {name: lately.standing(rows) for name, rows in by_person.items()}
    others = [
        {"name": name, "label": one["label"] or one["subject"], "verdict": one["verdict"]}
        for name, rows in sorted(standing.items())
        for one in rows
        if name != person.name and one["verdict"] not in _SILENT
    ]
    return {"mine": standing.get(person.name, []), "others": others}


def _decided(shared: Shared, row: dict[str, Any]) -> dict[str, Any] | None:
    """What the policy makes of the image; None without a policy or an answer."""
    policy = shared.policy()
    if policy is None or row["content_type"] is None:
        return None
    decision, number = decide(policy, row["labels"], content_type=row["content_type"])
    return {"decision": decision, "rule": number, "policy": policy.name}
