"""The console as one application: every route behind the gate, every answer under the same headers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moderation.adapters.registry import PromotionError
from moderation.adapters.sets.eligibility import NotEligibleError
from moderation.adapters.status import AdapterUnusableError
from moderation.archive.backfill.state import ArchiveError
from moderation.console.gate import Gate, Person, Right
from moderation.console.index.load_index import NoSuchLoadError
from moderation.console.index.selection import SelectionError
from moderation.console.pages import (
    adapters,
    archives,
    export,
    health,
    image,
    jobs,
    numbers,
    queues,
    start,
    verify,
)
from moderation.console.pages.adapters import Learning, Pages
from moderation.console.pages.start import Starter
from moderation.console.pages.view import page
from moderation.console.shared import Shared
from moderation.errors import DefectError, ModerationError, TransientError, WarehouseMissingError
from moderation.reference.library_errors import named
from moderation.review.queue import QueueError
from moderation.review.state.open import State
from moderation.review.verdict import VerdictError
from moderation.settings import Settings
from moderation.sources.decoding.decoders import CannotShowError

WRITE_HEADER = "X-Moderation-Console"
"""A form of another site cannot send it, so a cookie alone starts and changes nothing."""

Publisher = Callable[[Settings, State], Any]
"""Publishes the verdicts of a log that are not yet; raises when it cannot."""

RunPage = Callable[[Mapping[str, Any]], str | None]
"""The address of the page of a run, by its row of `loads`, or by a mapping with its `run_id`; None when it is
forgotten."""

_PUBLISH_SECONDS = 3_600.0
_SAFE_METHODS = {"GET", "HEAD"}
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    # Chart bars and tiles are placed by script, through the CSS object model, which needs no exception.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_DEFECT = "This is a defect of the console; its log has the details."
_STATUS = {
    AdapterUnusableError: 409,
    ArchiveError: 409,
    NotEligibleError: 400,
    PromotionError: 409,
    NoSuchLoadError: 404,
    QueueError: 404,
    VerdictError: 400,
    WarehouseMissingError: 404,
    SelectionError: 400,
}

_log = logging.getLogger(__name__)


def application(
    settings: Callable[[], Settings],
    *,
    gate: Gate,
    starter: Starter | None = None,
    publisher: Publisher | None = None,
    learning: Learning | None = None,
    run_page: RunPage | None = None,
    cache: Path | None = None,
) -> FastAPI:
    """The console.

    :param settings: reads them, when somebody first asks for a page: what is wrong with them stands there.
    :param gate: tells who asks; see :data:`moderation.console.gate.Gate`.
    :param starter: starts a run; None where nothing can, and people get the command.
    :param publisher: publishes verdicts, every hour while some wait and at the end; nothing does when None.
    :param learning: asks about adapters and starts trainings; without, they can be looked at.
    :param run_page: knows the pages of runs; None where there are none.
    :param cache: where indexes and small images are kept; a private folder of the user's when None.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        publishing = asyncio.create_task(_hourly(app, publisher)) if publisher else None
        yield
        if publishing is not None:
            publishing.cancel()
        if app.state.shared is not None:
            if publisher is not None:
                await run_in_threadpool(_publish, app.state.shared, publisher)
            app.state.shared.close()

    making = Lock()

    def make_shared() -> None:
        with making:
            if made.state.shared is None:
                made.state.shared = Shared(settings(), cache)

    async def admitted(request: Request, person: Person = Depends(gate)) -> None:  # noqa: B008 - FastAPI's way
        if not person.may(Right.LOOK):
            raise HTTPException(403, "You may not look at moderated images.")
        if request.method not in _SAFE_METHODS and WRITE_HEADER not in request.headers:
            raise HTTPException(403, f"A request that changes something needs the header {WRITE_HEADER}.")
        request.state.person = person
        if request.app.state.shared is None:
            await run_in_threadpool(make_shared)

    made = FastAPI(
        title="Moderation console",
        # The default pages would stand outside of the gate.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Depends(admitted)],
    )
    made.state.shared = None
    made.state.starter = starter
    made.state.adapters = Pages(learning or Learning())
    made.state.run_page = run_page
    made.include_router(jobs.router)
    made.include_router(image.router)
    made.include_router(export.router)
    made.include_router(start.router)
    made.include_router(queues.router)
    made.include_router(verify.router)
    made.include_router(numbers.router)
    made.include_router(adapters.router)
    made.include_router(archives.router)
    made.include_router(health.router)
    made.get("/static/{name:path}", name="static")(_static)
    made.add_middleware(_Headers)
    made.add_exception_handler(ModerationError, _told)
    made.add_exception_handler(StarletteHTTPException, _told)
    made.add_exception_handler(RequestValidationError, _told)
    made.add_exception_handler(Exception, _told)
    return made


def _static(name: str) -> Response:
    """A file of the pages."""
    known = _files()
    if name not in known:
        raise HTTPException(404, "There is no such file.")
    media_type = _MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")
    return Response(
        known[name].read_bytes(), media_type=media_type, headers={"Cache-Control": "private, max-age=300"}
    )


async def _hourly(app: FastAPI, publisher: Publisher) -> None:
    while True:
        await asyncio.sleep(_PUBLISH_SECONDS)
        if app.state.shared is not None:
            await run_in_threadpool(_publish, app.state.shared, publisher)


def _publish(shared: Shared, publisher: Publisher) -> None:
    """Publish what waits. What fails stays in the log of verdicts, and is tried again."""
    try:
        if shared.has_unpublished():
            publisher(shared.settings, shared.review)
    except Exception:  # Whatever it is, the pages go on and the next hour tries again.
        _log.exception("verdicts could not be published now; nothing is lost, they are published later")


@lru_cache(maxsize=1)
def _files() -> dict[str, Any]:
    """What can be had, by its name: no part of an address ever becomes a path."""
    folder = resources.files("moderation.console.pages").joinpath("static")
    inner = [entry for entry in folder.iterdir() if entry.is_dir()]
    return {entry.name: entry for entry in folder.iterdir() if entry.is_file()} | {
        f"{below.name}/{entry.name}": entry for below in inner for entry in below.iterdir()
    }


class _Headers:
    """Gives every answer the headers of this application that it does not have.

    By itself: Starlette's way for functions costs a task and two queues a request, half of what a small image
    takes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _complete(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def _complete(headers: MutableHeaders) -> None:
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", "private, no-cache")


def _told(request: Request, error: Exception) -> Response:
    """The page, or for a script the JSON, that tells what went wrong."""
    status, text = _status(error)
    if status >= 500:
        defect = text == _DEFECT
        _log.error("%s: %s", request.url.path, text, exc_info=error if defect else None)
    if "text/html" in request.headers.get("accept", ""):
        answer = page(request, "message.html.j2", status=status, text=text)
    else:
        answer = JSONResponse({"error": text}, status_code=status)
    _complete(answer.headers)  # What nobody foresaw is answered outside of `_Headers`.
    return answer


def _status(error: Exception) -> tuple[int, str]:
    if isinstance(error, StarletteHTTPException):
        return error.status_code, str(error.detail)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return 400, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    if isinstance(error, CannotShowError):
        return 404, f"This image cannot be shown: {error}."
    known: Any = named(error)
    if isinstance(known, TransientError):
        return 503, f"{known}. This passes by itself: the page can be loaded again."
    if known is None or isinstance(known, DefectError):
        return 500, _DEFECT
    return next((status for kind, status in _STATUS.items() if isinstance(known, kind)), 500), str(known)
