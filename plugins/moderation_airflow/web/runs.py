"""The page of the run that made a load, as long as Airflow has the run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from airflow.configuration import conf
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import or_, select

from moderation.plan import plan

DAG_ID = "moderate_images"

_PLANS = 100
"""So many plans a run may have made: one, and one more for each time that *discover* was cleared."""


def address(run_id: str, dag_id: str = DAG_ID) -> str:
    """The address of a run's page."""
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return f"{base}/dags/{dag_id}/runs/{quote(run_id, safe='')}"


def named(run_id: str) -> str | None:
    """The address of this run's page; None when Airflow has no such run."""
    found = select(DagRun.run_id).where(DagRun.dag_id == DAG_ID, DagRun.run_id == run_id)
    with create_session() as session:
        return address(run_id) if session.scalar(found) else None


def of_load(load_id: str, run_key: str | None = None) -> str | None:
    """The address of the page of the run that made a load; None when Airflow has none.

    :param run_key: of the run, where it is known; else the run is found whose plan has this load's id.
    """
    try:
        at = datetime.strptime(load_id.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    of_then = (at, at + timedelta(seconds=1))  # the load's id has the run's second
    found = select(DagRun.run_id).where(
        DagRun.dag_id == DAG_ID,
        or_(DagRun.logical_date.between(*of_then), DagRun.run_after.between(*of_then)),
    )
    with create_session() as session:
        for run_id in session.scalars(found):
            key = plan.run_key(DAG_ID, run_id)
            made = run_key == key if run_key else _may_have_made(key, load_id, at)
            if made:
                return address(run_id)
    return None


def _may_have_made(key: str, load_id: str, at: datetime) -> bool:
    return any(plan.load_id(key, number, at) == load_id for number in range(1, _PLANS + 1))
