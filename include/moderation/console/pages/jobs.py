"""The pages *Jobs* and *A job*, and what their scripts ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from moderation.archive.backfill.state import GOES_ON, PAUSED
from moderation.console.archives.known import Told
from moderation.console.gate import Right
from moderation.console.index.found import Found
from moderation.console.index.selection import Selection
from moderation.console.index.under_way import OpenRun
from moderation.console.pages.view import confidence, page
from moderation.console.shared import Shared
from moderation.console.verify.share import Share
from moderation.plan.plan import run_key
from moderation.report.page import wording
from moderation.sources.local_folder import as_known
from moderation.storage.s3_objects import S3Error

MOST_TILES = 240
TILES = 120
"""Tiles that come with a selection, so that its script need not ask for them; it asks for as many at once."""
DRAWN_TILES = 24
"""Of these the ones that a page shows before its script has run."""
MOST_JOBS = 100

router = APIRouter()


@router.get("/", name="jobs")
def jobs(request: Request, since: int = Query(default=0, ge=0)) -> Response:
    """Every load and every run under way; so many loads a page.

    :param since: loads to leave out, the newest first.
    """
    shared: Shared = request.app.state.shared
    every, trouble = shared.history.known_loads()
    loads = every[since : since + MOST_JOBS]
    running, no_runs = _running(shared, every)
    archives, no_archives = _archives(shared)
    return page(
        request,
        "jobs.html.j2",
        loads=loads,
        since=since,
        older=since + MOST_JOBS if since + MOST_JOBS < len(every) else None,
        newer=max(0, since - MOST_JOBS) if since else None,
        running=[(run, _name(run), _about(run)) for run in running],
        archives=archives,
        trouble=trouble or no_runs or no_archives,
        command=shared.settings.command,
        may_start=request.state.person.may(Right.START),
    )


@router.get("/under-way", name="under_way")
def under_way(request: Request) -> Response:
    """How far each run under way is; ``trouble`` says why that cannot be told now, else it is empty."""
    shared: Shared = request.app.state.shared
    every, trouble = shared.history.known_loads()
    running, no_runs = _running(shared, every)
    told = [
        run.as_data()
        | {"name": _name(run), "about": _about(run), "source": wording.foreign(as_known(run.plan.source))}
        for run in running
    ]
    return JSONResponse({"runs": told, "trouble": trouble or no_runs})


def _name(run: OpenRun) -> str:
    """The job name that was asked for, and which run it is."""
    plan = run.plan
    return wording.foreign(f"{plan.job_name} · {plan.run_key}" if plan.job_name else plan.run_key)


def _about(run: OpenRun) -> str:
    """How it is answered, and for what price at most."""
    plan = run.plan
    parts = (plan.backend, f"model {plan.model_version} or newer", plan.adapter or "base model")
    return f"{wording.foreign(', '.join(parts))}, at most {wording.dollars(plan.expected_cost_usd)}"


@router.get("/described", name="described")
def described(request: Request, load: list[str] = Query(max_length=MOST_JOBS)) -> Response:  # noqa: B008 - FastAPI's way
    """Name, backend and model of each load, as text that is safe to look at; "" where nobody knows."""
    shared: Shared = request.app.state.shared
    asked = set(load)
    loads = [row for row in shared.history.loads() if row["load_id"] in asked]
    told = {
        load_id: {what: wording.foreign(text) for what, text in row.items()}
        for load_id, row in shared.described.of(loads).items()
    }
    return JSONResponse(told)


def _running(shared: Shared, loads: list[dict[str, Any]]) -> tuple[list[OpenRun], str]:
    """Runs under way, and ""; or none, and why they cannot be looked up now."""
    try:
        return shared.under_way.runs(load["load_id"] for load in loads), ""
    except S3Error as error:
        return [], f"Runs under way cannot be looked up now: {error}"


def _archives(shared: Shared) -> tuple[list[Told], str]:
    """Archives that have not come to their end, and ""; or none, and why they cannot be looked up now."""
    try:
        told, _ = shared.archives.all()
    except S3Error as error:
        return [], f"Archives cannot be looked up now: {error}"
    return [one for one in told if one.archive.status in (GOES_ON, PAUSED)], ""


@router.get("/flagged", name="flagged")
def flagged(request: Request, load: list[str] = Query(max_length=MOST_JOBS)) -> Response:  # noqa: B008 - FastAPI's way
    """Images of each load that are flagged at the thresholds in use, each copy counted."""
    shared: Shared = request.app.state.shared
    return JSONResponse(shared.history.flagged(load, shared.thresholds()))


@router.get("/verified", name="verified")
def verified(request: Request, load: list[str] = Query(max_length=MOST_JOBS)) -> Response:  # noqa: B008 - FastAPI's way
    """How much of each load people have looked at, as text; unknown loads are left out."""
    shared: Shared = request.app.state.shared
    asked = set(load)
    loads = [row for row in shared.history.loads() if row["load_id"] in asked]
    shares = shared.shares.of(shared.review.log, loads)
    told = {load_id: _share(share) for load_id, share in shares.items()}
    return JSONResponse(told)


def _share(share: Share) -> str:
    return (
        f"{share.verified:,} ({wording.percent(share.verified, share.contents)})" if share.verified else "0"
    )


@router.get("/runs/{dag_id}/{run_id:path}", name="run")
def run(request: Request, dag_id: str, run_id: str) -> Response:
    """To the job that a run of Airflow published."""
    shared: Shared = request.app.state.shared
    key = run_key(dag_id, run_id)
    found = next((load for load in shared.history.loads() if load["run_key"] == key), None)
    if found is None:
        raise HTTPException(404, "This run has published nothing yet; when it has, its images are here.")
    address = request.app.url_path_for("job", load_id=found["load_id"])
    return RedirectResponse(request.scope.get("root_path", "").rstrip("/") + str(address), status_code=303)


@router.get("/jobs/{load_id}", name="job")
def job(request: Request, load_id: str) -> Response:
    """A load: what was found in it, as counts and as images."""
    shared: Shared = request.app.state.shared
    shared.decoders.start()  # Its first tiles come a tenth of a second sooner.
    part = request.query_params.get("part")
    found = shared.found(load_id, looked=True, waits=part is None)
    chosen = Selection.parse(request.query_params)
    share = shared.shares.of(shared.review.log, [found.load])[load_id]
    tiles = _tiles(shared, found.tiles(chosen, 0, TILES))
    values = _side(found, chosen) | {
        "tiles": tiles,
        "load_id": load_id,
        "load": found.load,
        "chosen": chosen,
        "share": share,
        "models": " and ".join(found.models()) or "–",
        "may_verify": request.state.person.may(Right.VERIFY),
        "has_run": _address_of_run(request, found.load) is not None,
    }
    if part == "side":
        return page(request, "job_side.html.j2", **values)
    return page(
        request,
        "job.html.j2",
        **values,
        drawn=tiles[:DRAWN_TILES],
        page_size=TILES,
        total=values["contents"],
    )


@router.get("/jobs/{load_id}/run", name="run_of")
def run_of(request: Request, load_id: str) -> Response:
    """To the page of the run that made the job."""
    address = _address_of_run(request, request.app.state.shared.found(load_id).load)
    if address is None:
        raise HTTPException(404, "The run that made this job is not known here; old runs are removed.")
    return RedirectResponse(address, status_code=303)


def _address_of_run(request: Request, load: Mapping[str, Any]) -> str | None:
    known = request.app.state.run_page
    return known(load) if known else None


@router.get("/jobs/{load_id}/tiles", name="tiles")
def tiles(
    request: Request,
    load_id: str,
    offset: int = Query(ge=0),
    limit: int = Query(ge=1, le=MOST_TILES),
) -> Response:
    """A page of the selection: how many contents it has, and the rows from ``offset`` on."""
    shared: Shared = request.app.state.shared
    found = shared.found(load_id)
    chosen = Selection.parse(request.query_params)
    rows = _tiles(shared, found.tiles(chosen, offset, limit))
    return JSONResponse({"total": len(found.listed(chosen).images), "tiles": rows})


def _side(found: Found, chosen: Selection) -> dict[str, Any]:
    """What stands beside the images of a selection."""
    return vars(found.side(chosen)) | {"asked": found.asked, "thresholds": found.thresholds}


def _tiles(shared: Shared, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a tile says, as text that is safe to look at."""
    return [
        {
            "n": row["n"],
            "name": wording.foreign(row["key"] or row["source_ref"]),
            "short": wording.foreign((row["key"] or row["source_ref"]).rstrip("/").rpartition("/")[2]),
            "copies": row["copies"],
            "label": wording.foreign(row["foremost"]) if row["foremost"] else None,
            "confidence": None if row["max_confidence"] is None else confidence(row["max_confidence"]),
            "code": row["error_code"],
            # Another address, so that a browser does not show what it kept.
            "hidden": "?severe" if shared.is_severe(row) else "",
            "status": row["status"],
            "gone": row["gone"],
        }
        for row in rows
    ]
