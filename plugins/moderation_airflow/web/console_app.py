"""The console in Airflow's web server: Airflow says who asks, what they may do, and starts the runs.

==========  =====================================================  =======================
right       asked of the auth manager                              simple auth manager
==========  =====================================================  =======================
look        may read runs of `moderate_images`                     viewer, user, op, admin
start       may create runs of `moderate_images`                   user, op, admin
verify      as start                                               user, op, admin
original    may change pools, as who looks after the system does   op, admin
decide      as original                                            op, admin
==========  =====================================================  =======================
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from airflow.api_fastapi.app import cached_app, get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails, PoolDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool

from moderation import stages
from moderation.console.application import application
from moderation.console.gate import Person, Right
from moderation.console.pages.adapters import Learning
from moderation.console.pages.start import Started
from moderation.review.state.open import State
from moderation.settings import Settings
from moderation_airflow.machines import several_hosts
from moderation_airflow.web import runs
from moderation_airflow.web.runs import DAG_ID
from rekognition.hooks import RekognitionHook

TRAINING_DAG_ID = "train_adapter"
_TIMEOUT = 60.0
_CREATED = 200

_log = logging.getLogger(__name__)


async def who(request: Request, user: GetUserDep) -> Person:
    """The person that Airflow's login names; Airflow itself answers 401 to nobody."""
    rights = await run_in_threadpool(_rights, user)
    return Person(name=user.get_name(), rights=rights)


def _rights(user: Any) -> frozenset[Right]:
    manager: Any = get_auth_manager()
    run = {"access_entity": DagAccessEntity.RUN, "details": DagDetails(id=DAG_ID), "user": user}
    starts = manager.is_authorized_dag(method="POST", **run)
    looks_after = manager.is_authorized_pool(method="PUT", details=PoolDetails(), user=user)
    asked = {
        Right.LOOK: manager.is_authorized_dag(method="GET", **run),
        Right.START: starts,
        Right.VERIFY: starts,
        Right.ORIGINAL: looks_after,
        Right.DECIDE: looks_after,
    }
    return frozenset(right for right, may in asked.items() if may)


async def start(request: Request, params: dict[str, Any]) -> Started:
    """Start an analysis."""
    return await _start(DAG_ID, request, params)


async def train(request: Request, params: dict[str, Any]) -> Started:
    """Start a training."""
    return await _start(TRAINING_DAG_ID, request, params)


@contextmanager
def ask() -> Iterator[Any]:
    """A client of Rekognition by Airflow's connection."""
    client = RekognitionHook().get_conn()
    try:
        yield client
    finally:
        client.close()


async def _start(dag_id: str, request: Request, params: dict[str, Any]) -> Started:
    """Start a run by Airflow's public API with the person's own login, so rights and audit log are theirs."""
    login = request.headers.get("authorization") or f"Bearer {request.cookies.get(COOKIE_NAME_JWT_TOKEN, '')}"
    transport = httpx.ASGITransport(app=cached_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://airflow", timeout=_TIMEOUT) as api:
        answer = await api.post(
            f"/api/v2/dags/{dag_id}/dagRuns",
            json={"logical_date": None, "conf": params},
            headers={"Authorization": login},
        )
    if answer.status_code != _CREATED:
        raise HTTPException(answer.status_code, _why(answer))
    run_id = answer.json()["dag_run_id"]
    _log.info("the run %s was started from the console", run_id)
    return Started(address=runs.address(run_id, dag_id), name=run_id)


def _why(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = answer.text[:300]
    return f"Airflow did not start the run: {detail}"


def publish(settings: Settings, state: State) -> None:
    """Publish verdicts when the web server ends; before, the Dag `publish_verdicts` does, and loads them."""
    stages.publish_verdicts(state, settings=settings)


def run_page(load: Mapping[str, Any]) -> str | None:
    """Address of the page of the run that made a load, or that is named, as long as Airflow has the run."""
    if run_id := load.get("run_id"):
        return runs.named(run_id)
    return runs.of_load(load["load_id"], load["run_key"])


several_hosts.note()
app = application(
    Settings.from_env,
    gate=who,
    starter=start,
    publisher=publish,
    learning=Learning(ask=ask, trainer=train),
    run_page=run_page,
)
