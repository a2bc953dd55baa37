"""The page *Start analysis*: images of this computer or a place in S3, with the price before the start."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from moderation.adapters import champion
from moderation.adapters.registry import RegistryError
from moderation.console.gate import Right
from moderation.console.learning.choices import choices
from moderation.console.pages.view import page
from moderation.console.shared import Shared
from moderation.plan.price import estimate
from moderation.plan.request import JOB_NAME
from moderation.reference import limits
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.s3_objects import S3Error

MAX_FILE_BYTES = 64_000_000
"""Of one uploaded file; Rekognition takes 15 MB, and what is larger becomes a row that says so."""

MAX_KEY_BYTES = 900
_IN_MEMORY = 1 << 20
_MOST_LOOKED_AT = 20_000
_NAME = r"[A-Za-z0-9_.\-]{1,64}"


@dataclass(frozen=True)
class Started:
    """A run that was started.

    :param address: its page; "" when there is none.
    :param name: what it is called.
    """

    address: str
    name: str


Starter = Callable[[Request, dict[str, Any]], Awaitable[Started]]
"""Starts a run with these params of the Dag, in the name of who asks; raises ``HTTPException`` when it
may not, or cannot, be started."""


class Wanted(BaseModel):
    """What is to be analysed.

    :param upload: name of an upload of this person's, instead of ``source``.
    """

    source: str = Field(default="", max_length=1000)
    upload: str = Field(default="", max_length=64)
    name: str = Field(default="", max_length=64)
    min_confidence: float | None = Field(default=None, ge=0, le=100)
    adapter: str | None = Field(default=None, max_length=2048)


def _may_start(request: Request) -> None:
    person = getattr(request.state, "person", None)
    if person is None or not person.may(Right.START):
        raise HTTPException(403, "You may look at jobs, not start them.")


# The application's own dependency runs first: it is what says who asks.
router = APIRouter(dependencies=[Depends(_may_start)])


@router.get("/start", name="start")
def start_page(request: Request) -> Response:
    """The form."""
    shared: Shared = request.app.state.shared
    adapters, trouble = [], ""
    try:
        adapters = choices(shared.settings)
    except (RegistryError, S3Error) as error:
        trouble = f"Adapters cannot be told now: {error}"
    return page(
        request,
        "start.html.j2",
        runs_here=request.app.state.starter is not None,
        asked=shared.settings.min_confidence,
        adapters=adapters,
        no_adapters=trouble,
    )


@router.get("/start/price", name="price")
def price(request: Request, images: int = Query(ge=0, le=10**9), adapter: str = "") -> Response:
    """What so many images cost at most, and how long they take, at the set prices and quotas."""
    shared: Shared = request.app.state.shared
    full, rest = divmod(images, limits.MANIFEST_MAX_LINES)
    lines = [limits.MANIFEST_MAX_LINES] * full + ([rest] if rest else [])
    chosen = champion.resolve(shared.settings, adapter or None, now=datetime.now(UTC))
    found = estimate(shared.settings, manifest_lines=lines, adapter=chosen.adapter)
    return JSONResponse({"cost_usd": float(found.cost_usd), "detect_seconds": found.detect_seconds})


@router.get("/start/look", name="look")
def look(request: Request, source: str = Query(max_length=1000)) -> Response:
    """How much lies in a place in S3: at most 20,000 objects are counted."""
    shared: Shared = request.app.state.shared
    place = _s3_place(source)
    objects = size = 0
    for entry in s3_objects.list_objects(shared.s3, place):
        objects += 1
        size += entry["Size"]
        if objects >= _MOST_LOOKED_AT:
            break
    return JSONResponse({"objects": objects, "bytes": size, "more": objects >= _MOST_LOOKED_AT})


@router.get("/uploads/{name}", name="uploads")
def uploaded(request: Request, name: str) -> Response:
    """What of an upload is there already, sizes by path: a page that was closed goes on where it was."""
    shared: Shared = request.app.state.shared
    place = _upload_uri(shared.settings, request.state.person.name, name)
    prefix = s3_objects.split_uri(place).key
    there = s3_objects.list_objects(shared.s3, place)
    found = {entry["Key"].removeprefix(prefix): entry["Size"] for entry in there}
    return JSONResponse({"files": found})


@router.put("/uploads/{name}/{path:path}", name="upload")
async def upload(request: Request, name: str, path: str) -> Response:
    """Store one file of an upload; its body goes through a small buffer and the disk, not into memory."""
    shared: Shared = request.app.state.shared
    target = _upload_uri(shared.settings, request.state.person.name, name) + _checked_path(path)
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        size = 0
        async for block in request.stream():
            size += len(block)
            if size > MAX_FILE_BYTES:
                raise HTTPException(413, f"{path}: a file may have {MAX_FILE_BYTES:,} bytes at most.")
            await run_in_threadpool(file.write, block)
        file.seek(0)
        await run_in_threadpool(shared.store, target, file)
    return JSONResponse({"bytes": size}, status_code=201)


@router.post("/start", name="begin")
async def begin(request: Request, wanted: Wanted) -> Response:
    """Start the analysis; where nothing can start it, the command that does."""
    shared: Shared = request.app.state.shared
    if wanted.upload:
        source = _upload_uri(shared.settings, request.state.person.name, wanted.upload)
    else:
        source = _s3_place(wanted.source)
    if wanted.name and not JOB_NAME.fullmatch(wanted.name):
        raise HTTPException(400, "A name has letters, digits, dots, dashes and underscores, at most 24.")
    conf: dict[str, Any] = {"source": source}
    conf |= {} if wanted.min_confidence is None else {"min_confidence": wanted.min_confidence}
    conf |= {"adapter": wanted.adapter} if wanted.adapter else {}
    conf |= {"job_name": wanted.name} if wanted.name else {}
    starter: Starter | None = request.app.state.starter
    if starter is None:
        command = f"airflow dags trigger moderate_images --conf {shlex.quote(json.dumps(conf))}"
        return JSONResponse({"command": command})
    started = await starter(request, conf)
    return JSONResponse({"address": started.address, "name": started.name}, status_code=201)


def _s3_place(text: str) -> str:
    try:
        s3_objects.split_uri(text.strip())
    except s3_objects.UriError as error:
        raise HTTPException(400, str(error)) from error
    return text.strip()


def _upload_uri(settings: Settings, person: str, name: str) -> str:
    """Where an upload of this person's lies, ending with a slash: no other person writes there."""
    if not re.fullmatch(_NAME, name) or set(name) <= {"."}:
        raise HTTPException(400, "An upload's name has letters, digits, dots, dashes and underscores.")
    whose = hashlib.sha256(person.encode()).hexdigest()[:8]
    return s3_objects.join_uri(settings.input_uri, "uploads", "console", f"{whose}-{name}") + "/"


def _checked_path(path: str) -> str:
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts) or "\0" in path:
        raise HTTPException(400, "A path has no empty parts, no '.' and no '..'.")
    if len(path.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise HTTPException(400, f"A path has {MAX_KEY_BYTES} bytes at most.")
    return path
