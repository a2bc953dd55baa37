"""The console without Airflow: on this machine only, for whoever has the link."""

from __future__ import annotations

import gc
import hmac
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from moderation import stages
from moderation.console.application import application
from moderation.console.gate import OP, Gate, Person
from moderation.console.learning.training import Ask
from moderation.console.pages.adapters import Learning
from moderation.errors import NeedsAPersonError
from moderation.review.state.open import State
from moderation.settings import ConsoleSettings, Settings
from moderation.storage.memory import give_back_freed_memory

HOST = "127.0.0.1"
_COOKIE = "moderation_console"
_WEEK = 7 * 86_400
_KEPT_BYTES = 4 << 20
"""Of freed memory: with less, a tenth of its work on images would be to get it back from the system."""

_NAME = "you"


class PortTakenError(NeedsAPersonError):
    """Another program has the port."""


def alone(settings: Settings, *, token: str, ask: Ask | None = None, cache: Path | None = None) -> FastAPI:
    """The console for one person, who may do all.

    Whoever comes with the token in the address gets it as a cookie, and the address without it.

    :param token: a secret of this process.
    :param ask: gives a boto3 client of Rekognition for the length of a block; None: it cannot be asked.
    """
    learning = Learning(ask=ask)
    made = application(
        lambda: settings, gate=_gate(token), publisher=_publish, learning=learning, cache=cache
    )

    made.add_middleware(_Login, token=token)
    # A page of another site could have its name point here; only these names are answered.
    made.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)
    if prefix := ConsoleSettings.from_env().prefix:
        made.add_middleware(_Below, prefix=prefix)
    return made


class _Login:
    """Whoever comes with the token gets it as a cookie, and is led to the address without it."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope) if scope["type"] == "http" else None
        given = request.query_params.get("token") if request else None
        if request is None or given is None or not _same(given, self._token):
            await self._app(scope, receive, send)
            return
        await self._led(request)(scope, receive, send)

    def _led(self, request: Request) -> Response:
        rest = [(name, value) for name, value in parse_qsl(request.url.query) if name != "token"]
        # The path alone: a host in the address is whatever the request says.
        prefix, path = request.scope.get("root_path", "").rstrip("/"), request.url.path
        path = path if path.startswith(f"{prefix}/") else prefix + path
        target = path + (f"?{urlencode(rest)}" if rest else "")
        response = RedirectResponse("/" + target.lstrip("/"), status_code=303)
        response.set_cookie(
            _cookie_of(request), self._token, max_age=_WEEK, httponly=True, samesite="strict", path="/"
        )
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


class _Below:
    """Puts every request below a prefix, which a proxy strips or leaves where it was.

    The prefix is a setting: a header would be whatever the request says.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path")
        if path is not None:
            stands = path == self._prefix or path.startswith(f"{self._prefix}/")
            below = path if stands else self._prefix + path
            scope = {**scope, "root_path": self._prefix, "path": below}
        await self._app(scope, receive, send)


def serve(settings: Settings, *, port: int, told: Callable[[str], None], ask: Ask | None = None) -> None:
    """Serve the console until it is interrupted.

    :param port: 0 for any that is free.
    :param told: is given the link that logs in, once the console answers.
    :param ask: as of :func:`alone`.
    :raises PortTakenError: another program has the port.
    """
    token = secrets.token_urlsafe(24)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise PortTakenError(
                f"port {port} cannot be had ({error.strerror}); choose one with --port, or any with --port 0"
            ) from error
        listening.listen(128)
        told(f"http://{HOST}:{listening.getsockname()[1]}/?token={token}")
        give_back_freed_memory(kept_bytes=_KEPT_BYTES)
        app = alone(settings, token=token, ask=ask)
        # What was imported is there to stay: to look through it for garbage stops all threads for a tenth of
        # a second, in the midst of somebody's page.
        gc.freeze()
        # Access lines would show the token, and names of images.
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            gc.unfreeze()  # What is frozen is not torn down at the end, of which DuckDB complains at length.


def _publish(settings: Settings, state: State) -> None:
    stages.publish_verdicts(state, settings=settings)
    stages.load_verdicts(settings=settings)


def _gate(token: str) -> Gate:
    async def gate(request: Request) -> Person:  # plain, each request would go to another thread for it
        if not _same(request.cookies.get(_cookie_of(request), ""), token):
            raise HTTPException(401, "Open the link that `moderation console` printed: it logs you in.")
        return Person(name=_NAME, rights=OP)

    return gate


def _cookie_of(request: Request) -> str:
    """Cookies do not tell ports apart, so two consoles on one machine need two names."""
    return f"{_COOKIE}_{request.url.port or 0}"


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())
