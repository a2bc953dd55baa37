"""The report pages in Airflow's web server. The application itself demands a login, whatever the route."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import select
from starlette.middleware.base import RequestResponseEndpoint

from moderation.errors import ModerationError
from moderation.plan.store import load_plan
from moderation.report.page import images
from moderation.report.page.store import NoSuchPageError, read_completion, read_page
from moderation.report.page.write import load_file
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.variables.table import SettingsError
from moderation_airflow.report import URL_PREFIX
from moderation_airflow.web import runs
from moderation_console import URL_PREFIX as CONSOLE_PREFIX

# Pages are files written by tasks: whatever may once stand in one, it runs no script. It keeps its origin,
# for a browser sends the login of the same site alone when a link of the page is followed. Airflow shows
# pages in a frame, nobody else may; a file's own policy cannot say so, for browsers ignore it there.
_HEADERS = {
    "Content-Security-Policy": "sandbox allow-same-origin; frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}
_log = logging.getLogger(__name__)

app = FastAPI(
    title="Moderation report",
    # The default pages would stand outside of the login.
    openapi_url=None,
    docs_url=None,
    redoc_url=None,
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=runs.DAG_ID))],
)


@app.middleware("http")
async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Every answer says what it may do and who may frame it: refusals and redirects as well as pages."""
    answer = await call_next(request)
    answer.headers.update(_HEADERS)
    return answer


@app.get("/")
def overview(request: Request) -> Response:
    """The page over all loads, under the address that its links are relative to."""
    return RedirectResponse(str(request.url_for("page_over_all").path))


@app.get("/index.html")
def page_over_all(request: Request) -> Response:
    """The page over all loads."""
    return _page(request, "index.html")


@app.get("/runs.html")
def page_of_runs(request: Request) -> Response:
    """The list of runs, also of those that published nothing."""
    return _page(request, "runs.html")


@app.get("/loads/{name}")
def page_of_load(request: Request, name: str) -> Response:
    """A load's page."""
    return _page(request, f"loads/{name}", run=lambda: runs.of_load(name.removesuffix(".html")))


@app.get(
    "/dags/{dag_id}/runs/{run_id:path}",
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))],
)
def page_of_run(request: Request, dag_id: str, run_id: str) -> Response:
    """The page of the load that a run published; the run's completion report when it published none."""
    load_id = _returned(dag_id, run_id, "publish")
    if isinstance(load_id, str):
        return RedirectResponse(str(request.url_for("page_of_load", name=load_file(load_id)).path))
    if _returned(dag_id, run_id, "discover") is None:
        return _say(404, "This run has planned nothing, so it has no report page; see its task discover.")
    address = request.url_for("completion_of_run", dag_id=dag_id, run_id=run_id, name="report.html")
    return RedirectResponse(str(address.path))


@app.get(
    "/completion/{load_id}/{name}",
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM, param_dag_id=runs.DAG_ID))],
)
def completion_of_load(request: Request, load_id: str, name: str) -> Response:
    """What the run did whose plan has this load's id: as a page, or as the JSON that it links to."""
    media_type = "application/json" if name.endswith(".json") else "text/html"
    return _page(
        request,
        f"completion/{load_id}/{name}",
        media_type=media_type,
        run=lambda: runs.of_load(load_id),
    )


@app.get(
    "/completion/{dag_id}/{run_id:path}/{name}",
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))],
)
def completion_of_run(request: Request, dag_id: str, run_id: str, name: str) -> Response:
    """What a run did, whether it published anything or not: where its links lead on, if it lies there."""
    plan_uri = _returned(dag_id, run_id, "discover")
    if isinstance(plan_uri, str) and (load_id := _kept(plan_uri, name)):
        return RedirectResponse(str(request.url_for("completion_of_load", load_id=load_id, name=name).path))
    media_type = "application/json" if name.endswith(".json") else "text/html"
    return _answer(
        request,
        lambda: read_completion(Settings.from_env(), plan_uri if isinstance(plan_uri, str) else "", name),
        media_type=media_type,
        run=lambda: runs.address(run_id, dag_id),
    )


def _returned(dag_id: str, run_id: str, task_id: str) -> Any:
    """What a task of a run returned; None for nothing."""
    found = select(XComModel.value).where(
        XComModel.dag_id == dag_id,
        XComModel.run_id == run_id,
        XComModel.task_id == task_id,
        XComModel.key == "return_value",
        XComModel.map_index == -1,
    )
    with create_session() as session:
        row = session.execute(found).first()
    return XComModel.deserialize_value(row) if row else None


def _kept(plan_uri: str, name: str) -> str | None:
    """The load id of a plan whose report lies beside the pages; an earlier release left it elsewhere."""
    try:
        settings = Settings.from_env()
        load_id = load_plan(plan_uri, settings=settings).load_id
        read_page(settings, f"completion/{load_id}/{name}")
    except ModerationError:  # is said of the report itself
        return None
    return load_id


def _page(
    request: Request,
    name: str,
    *,
    media_type: str = "text/html",
    run: Callable[[], str | None] = lambda: None,
) -> Response:
    return _answer(request, lambda: read_page(Settings.from_env(), name), media_type=media_type, run=run)


def _answer(
    request: Request, read: Callable[[], bytes], *, media_type: str, run: Callable[[], str | None]
) -> Response:
    try:
        body = read()
        if media_type == "text/html":
            root = request.scope.get("root_path", "").removesuffix(URL_PREFIX)
            body = images.with_links(body, root + CONSOLE_PREFIX, run=run())
        return Response(body, media_type=media_type)
    except NoSuchPageError:
        return _say(404, "There is no such report page. Pages are written by the task report of each run.")
    except SettingsError as error:
        _log.error("the web server's settings: %s", error)
        return _say(500, f"A setting of the web server is wrong. {error}")
    except s3_objects.S3Error as error:
        _log.error("a report page cannot be read: %s", error)
        return _say(502, f"The report page cannot be read: {error}")


def _say(status: int, text: str) -> Response:
    style = "<style>:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }</style>"
    head = f'<!doctype html><meta charset="utf-8"><title>Moderation report</title>{style}'
    return HTMLResponse(f"{head}<p>{html.escape(text)}</p>", status_code=status)
