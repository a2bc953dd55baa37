"""Whether verdicts can be taken, and how the work stands: for a monitor that is logged in."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from moderation.console.shared import Shared
from moderation.review.health import health as told

router = APIRouter()


@router.get("/health", name="health")
def health(request: Request) -> Response:
    """The numbers of `review.health` as JSON; an error tells that the database of verdicts cannot be used."""
    shared: Shared = request.app.state.shared
    return JSONResponse({"review": "reachable"} | asdict(told(shared.review)))
