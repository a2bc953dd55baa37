"""The console in Airflow's own web application: its login, its rights, and runs in the person's name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from fastapi.routing import APIRoute
from sqlalchemy import delete, select

from moderation.plan.plan import run_key
from moderation.settings import Settings
from moderation_console import URL_PREFIX
from support import airflow_runs, airflow_web, moderation_runs
from support.console_load import PICTURES, publish_pictures, walk_below
from support.planned_runs import make_settings

DAG_ID = "moderate_images"
ROLES = ("VIEWER", "USER", "OP", "ADMIN")
WRITE = {"X-Moderation-Console": "1"}


@pytest.fixture
def settings(aws_env: pytest.MonkeyPatch, tmp_path: Any, bucket: str, application: Any) -> Iterator[Settings]:
    """Those of the web server: nothing was published yet."""
    from moderation_airflow.web.console_app import app  # noqa: PLC0415

    made = replace(make_settings(tmp_path, bucket, tables="local"), input_uri=f"s3://{bucket}/input")
    aws_env.setenv("MODERATION_WORK_URI", made.work_uri)
    aws_env.setenv("MODERATION_INPUT_URI", made.input_uri)
    aws_env.setenv("MODERATION_TABLES_URI", made.tables_uri)
    aws_env.setenv("MODERATION_CATALOG_URI", made.catalog_uri)
    aws_env.setenv("MODERATION_CONSOLE_CACHE", str(tmp_path / "cache"))
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    app.state.shared = None
    yield made
    if app.state.shared is not None:
        app.state.shared.close()
    app.state.shared = None


def client(application: Any, role: str | None) -> Any:
    return airflow_web.client(application, role, name="anna")


def test_every_route_refuses_who_is_not_logged_in(application, settings):
    from moderation_airflow.web.console_app import app  # noqa: PLC0415

    stranger = client(application, None)
    asked = [(method, route.path) for route in app.routes for method in route.methods]
    assert all(isinstance(route, APIRoute) for route in app.routes)
    assert len(asked) > 15
    for method, path in asked:
        address = path.replace(":path", "").replace("{n}", "0").replace("{", "").replace("}", "")
        assert stranger.request(method, URL_PREFIX + address).status_code == 401, (method, path)


def test_who_has_no_role_sees_nothing(application, settings):
    assert client(application, "").get(f"{URL_PREFIX}/").status_code == 403


@pytest.mark.parametrize("role", ROLES)
def test_every_role_may_look_and_only_a_user_may_start(application, settings, role):
    made = client(application, role)
    page = made.get(f"{URL_PREFIX}/", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "anna" in page.text
    may = role != "VIEWER"
    assert ("Start analysis" in page.text) is may
    for method, path in (("GET", "/start"), ("GET", "/uploads/a"), ("PUT", "/uploads/a/b.jpg")):
        answer = made.request(method, URL_PREFIX + path, headers=WRITE)
        assert (answer.status_code < 300) is may, (method, path, answer.text)


@pytest.mark.parametrize("role", ROLES)
def test_originals_are_for_who_looks_after_the_system(application, settings, role):
    answer = client(application, role).get(
        f"{URL_PREFIX}/jobs/20260101T000000Z-000000000000/images/0/original"
    )
    assert answer.status_code == (404 if role in {"OP", "ADMIN"} else 403)


def test_a_cookie_alone_starts_nothing(application, settings):
    made = client(application, "USER")
    made.cookies.set("_token", made.headers.pop("Authorization").removeprefix("Bearer "))
    assert made.get(f"{URL_PREFIX}/start").status_code == 200
    for method, path in (("POST", "/start"), ("PUT", "/uploads/a/b.jpg")):
        assert made.request(method, URL_PREFIX + path, content=b"{}").status_code == 403, path


@pytest.mark.slow
def test_a_run_is_started_in_the_name_of_who_asked(application, settings, bucket):
    airflow_runs.store(moderation_runs.read_dag())
    made = client(application, "USER")
    wanted = {"source": f"s3://{bucket}/p/", "min_confidence": 5}
    answer = made.post(f"{URL_PREFIX}/start", json=wanted, headers=WRITE)
    assert answer.status_code == 201, answer.text
    with create_session() as session:
        run = session.scalar(select(DagRun).where(DagRun.run_id == answer.json()["name"]))
        assert run.conf["source"] == f"s3://{bucket}/p/"
        assert run.triggering_user_name == "anna"
        session.execute(delete(DagRun).where(DagRun.id == run.id))


def test_the_menu_and_each_run_lead_to_the_console(application, settings):
    plugins = client(application, "ADMIN").get("/api/v2/plugins").json()
    (ours,) = (plugin for plugin in plugins["plugins"] if plugin["name"] == "moderation_console")
    assert {view["destination"] for view in ours["external_views"]} == {"nav", "dag_run"}
    assert [app["url_prefix"] for app in ours["fastapi_apps"]] == [URL_PREFIX]


def test_links_stay_below_the_prefix(application, settings):
    page = client(application, "ADMIN").get(f"{URL_PREFIX}/", headers={"Accept": "text/html"}).text
    assert f'href="{URL_PREFIX}/static/console.css"' in page
    assert 'href="/static' not in page


@pytest.mark.slow
def test_behind_a_proxy_all_stays_below_its_prefix(application, settings, s3_client, bucket, monkeypatch):
    prefix = f"/below/airflow{URL_PREFIX}"
    load_id = publish_pictures(settings, s3_client, bucket, dict(list(PICTURES.items())[:2]))
    # What Airflow makes of the path in [api] base_url, which the proxy sends on.
    monkeypatch.setattr(application, "root_path", "/below/airflow")
    seen = walk_below(client(application, "ADMIN"), prefix, f"{prefix}/")
    assert seen > {
        f"{prefix}/start",
        f"{prefix}/flagged",
        f"{prefix}/under-way",
        f"{prefix}/static/job.js",
        f"{prefix}/jobs/{load_id}",
        f"{prefix}/jobs/{load_id}/images/0/tile",
        f"{prefix}/jobs/{load_id}/images/0/view",
    }


@pytest.mark.slow
def test_a_job_leads_to_its_run_in_airflow_as_long_as_there_is_one(application, settings, s3_client, bucket):
    run_id = "manual__2026-11-22T02:00:00+00:00"
    airflow_runs.store(moderation_runs.read_dag())
    load_id = publish_pictures(
        settings, s3_client, bucket, dict(list(PICTURES.items())[:1]), run_key(DAG_ID, run_id)
    )
    made = client(application, "VIEWER")
    address = f"{URL_PREFIX}/jobs/{load_id}/run"
    job, link = address.removesuffix("/run"), f'href="{address}"'
    assert link not in made.get(job, headers={"Accept": "text/html"}).text
    assert made.get(address, headers={"Accept": "text/html"}).status_code == 404
    started = client(application, "USER").post(
        f"/api/v2/dags/{DAG_ID}/dagRuns",
        json={"logical_date": "2026-11-22T02:00:00Z", "dag_run_id": run_id},
    )
    assert started.status_code == 200, started.text
    assert link in made.get(job, headers={"Accept": "text/html"}).text
    answer = made.get(address)
    assert answer.status_code == 303
    assert answer.headers["location"].endswith(
        "/dags/moderate_images/runs/manual__2026-11-22T02%3A00%3A00%2B00%3A00"
    )
    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.run_id == run_id))


def test_a_run_that_published_nothing_says_so(application, settings):
    answer = client(application, "VIEWER").get(
        f"{URL_PREFIX}/runs/moderate_images/manual__1", headers={"Accept": "text/html"}
    )
    assert answer.status_code == 404
    assert "published nothing yet" in answer.text
