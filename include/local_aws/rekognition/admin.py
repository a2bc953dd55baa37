"""The local side of the server, which AWS does not have: progress, faults, and what was paid for."""

from __future__ import annotations

import hmac
import json
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from local_aws.rekognition.denials import REASONS
from local_aws.rekognition.faults import JOB_KINDS, REQUEST_KINDS, FaultRule
from local_aws.rekognition.jobs.store import Job
from local_aws.rekognition.service import Service

_MOST_JOBS = 1000
_MOST_ENTRIES = 10_000
_MOST_BODY = 1024 * 1024


def build(service: Service, *, token: str) -> ASGIApp:
    """Return the application that is mounted at ``/_local``.

    ``GET health`` needs no token. All else, unknown paths too, answers 401 without it:
    ``GET jobs``; ``GET``, ``PUT`` (replace), ``POST`` (add) and ``DELETE faults``; ``GET`` and
    ``PUT`` and ``PATCH adapters``; ``GET`` and ``PUT denied``; ``GET ledger``.
    """
    routes = [
        Route("/health", _health),
        Route("/jobs", _Endpoint(service).jobs),
        Route("/faults", _Endpoint(service).faults, methods=["GET", "PUT", "POST", "DELETE"]),
        Route("/adapters", _Endpoint(service).adapters, methods=["GET", "PUT", "PATCH"]),
        Route("/denied", _Endpoint(service).denied, methods=["GET", "PUT"]),
        Route("/ledger", _Endpoint(service).ledger),
    ]
    return _RequireToken(Starlette(routes=routes), token)


class _RequireToken:
    """Lets nothing through but the health check unless the request bears the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers", [])).get(b"authorization", b"")
        if scope["path"] == "/_local/health" or hmac.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
            return
        refusal = JSONResponse(
            {"error": "this address needs the admin token"}, 401, {"WWW-Authenticate": "Bearer"}
        )
        await refusal(scope, receive, send)


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok\n")


class _Endpoint:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def jobs(self, request: Request) -> Response:
        """Jobs of all regions, newest first: where each stands."""
        limit = _number(request, "limit", default=_MOST_JOBS, most=_MOST_JOBS)
        jobs = await run_in_threadpool(lambda: self._service.store.newest(None, before=None, limit=limit))
        return JSONResponse({"jobs": [_progress(job) for job in jobs]})

    async def faults(self, request: Request) -> Response:
        """The rules in force; PUT replaces them, POST adds to them, DELETE ends them."""
        book = self._service.faults
        if request.method == "DELETE":
            book.replace([])
        elif request.method in {"PUT", "POST"}:
            try:
                rules = _read_rules(await request.body())
            except ValueError as error:
                return JSONResponse({"error": str(error)}, 400)
            if request.method == "PUT":
                book.replace(rules)
            else:
                book.add(rules)
        return JSONResponse({"faults": book.describe(), "kinds": {**REQUEST_KINDS, **JOB_KINDS}})

    async def adapters(self, request: Request) -> Response:
        """Which adapters exist, as status by ARN.

        PUT replaces those that are only said to exist. PATCH puts versions that were trained here in other
        states: TRAINING_COMPLETED, DEPRECATED, EXPIRED.
        """
        book, projects = self._service.adapters, self._service.projects
        try:
            if request.method == "PUT":
                book.replace(await _json_object(request))
            elif request.method == "PATCH":
                given = await _json_object(request)
                await run_in_threadpool(lambda: projects.set_statuses(given))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        versions = await run_in_threadpool(projects.versions)
        trained = {version.arn: version.status for version in versions}
        return JSONResponse({"adapters": book.describe(), "trained": trained})

    async def denied(self, request: Request) -> Response:
        """The operations that are denied, with the reason; PUT replaces them."""
        book = self._service.denials
        if request.method == "PUT":
            try:
                book.replace(await _json_object(request))
            except ValueError as error:
                return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"denied": book.describe(), "reasons": REASONS})

    async def ledger(self, request: Request) -> Response:
        """What was started and billed, oldest first, a page at a time; ``next`` goes into ``after``."""
        after = _number(request, "after", default=0, most=2**62)
        limit = _number(request, "limit", default=_MOST_ENTRIES, most=_MOST_ENTRIES)
        entries = await run_in_threadpool(lambda: self._service.store.ledger(after=after, limit=limit))
        totals = await run_in_threadpool(self._service.store.ledger_totals)
        following = entries[-1]["id"] if len(entries) == limit else None
        return JSONResponse({"entries": entries, "totals": totals, "next": following})


async def _json_object(request: Request) -> dict[str, Any]:
    given = json.loads(await request.body())
    if not isinstance(given, dict):
        raise ValueError("a JSON object is expected: status by ARN, or reason by operation")
    return given


def _progress(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "job_name": job.job_name,
        "region": job.region,
        "status": job.status,
        "total": job.total,
        "done": job.lines,
        "billed": job.billed,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "failure_code": job.failure_code,
        "failure_message": job.failure_message,
    }


def _read_rules(body: bytes) -> list[FaultRule]:
    """Read one rule, a list of rules, or ``{"faults": [...]}``.

    :raises ValueError: it is none of these, or a rule is wrong.
    """
    if len(body) > _MOST_BODY:
        raise ValueError("the rules are larger than 1 MB")
    document = json.loads(body)
    if isinstance(document, dict):
        document = document.get("faults", [document])
    if not isinstance(document, list) or not all(isinstance(rule, dict) for rule in document):
        raise ValueError("a fault is a JSON object; several stand in a list")
    return [FaultRule.from_dict(rule) for rule in document]


def _number(request: Request, name: str, *, default: int, most: int) -> int:
    text = request.query_params.get(name, "")
    return max(0, min(int(text), most)) if text.isdecimal() else default
