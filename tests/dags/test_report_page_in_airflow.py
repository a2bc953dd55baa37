"""The report pages in Airflow's own web application: behind its login, linked from the run."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import delete, select

from local_aws.seaweedfs import Credentials, SeaweedFS
from moderation.report.page.store import write_pages
from moderation.report.page.write import load_file
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation_airflow.report import URL_PREFIX, CompletionReportLink, ModerationReportLink
from moderation_airflow.web import runs
from moderation_console import URL_PREFIX as CONSOLE_PREFIX
from support import airflow_runs, small_warehouse
from support.airflow_web import client
from support.small_warehouse import FIRST_LOAD, SECOND_LOAD

NO_RUN = 2**40  # further than any run that the database numbered
PAGES = (
    "/",
    "/index.html",
    f"/loads/{SECOND_LOAD}.html",
    "/loads/none.html",
    "/dags/moderate_images/runs/manual__1",
    "/completion/moderate_images/manual__1/report.html",
    "/runs.html",
    f"/completion/{SECOND_LOAD}/report.html",
)


@pytest.fixture(scope="module")
def pages(
    s3_server: SeaweedFS, credentials: Credentials, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, bytes]]:
    """A warehouse, and the pages of its two loads, which were written by two workers that share no disk."""
    folder = tmp_path_factory.mktemp("pages")
    bucket = f"test-{uuid.uuid4().hex[:16]}"
    warehouse = small_warehouse.small(folder / "warehouse.duckdb")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": s3_server.endpoint_url,
            "MODERATION_WORK_URI": f"s3://{bucket}/work",
            "MODERATION_WAREHOUSE": str(warehouse),
        }.items():
            patch.setenv(name, value)
        made = Settings.from_env()
        with s3_objects.open_client(made) as opened:
            opened.create_bucket(Bucket=bucket)
            for number, load_id in enumerate((FIRST_LOAD, SECOND_LOAD)):
                write_pages(replace(made, report_dir=folder / f"worker-{number}"), load_id)
            keys = [entry["Key"] for entry in s3_objects.list_objects(opened, f"s3://{bucket}/work")]
            return warehouse, {key: s3_objects.read(opened, f"s3://{bucket}/{key}").body for key in keys}


@pytest.fixture
def settings(
    aws_env: pytest.MonkeyPatch,
    pages: tuple[Path, dict[str, bytes]],
    s3_client: Any,
    bucket: str,
    tmp_path: Path,
) -> Settings:
    """Where those pages lie."""
    warehouse, bodies = pages
    for key, body in bodies.items():
        s3_client.put_object(Bucket=bucket, Key=key, Body=body)
    aws_env.setenv("MODERATION_WORK_URI", f"s3://{bucket}/work")
    aws_env.setenv("MODERATION_WAREHOUSE", str(warehouse))
    aws_env.setenv("MODERATION_CATALOG_URI", f"sqlite:///{tmp_path}/catalog.db")
    return Settings.from_env()


@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_seen_without_a_login(application, settings, page):
    assert client(application, None).get(URL_PREFIX + page).status_code == 401


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("", 403), ("VIEWER", 200)])
def test_every_answer_says_that_only_airflow_itself_may_frame_it_and_that_nothing_in_it_runs(
    application, settings, role, status
):
    made = client(application, role)
    for answer in (made.get(f"{URL_PREFIX}/index.html"), made.get(f"{URL_PREFIX}/loads/none.html")):
        assert answer.status_code in {status, 404}
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy == {"sandbox": "allow-same-origin", "frame-ancestors": "'self'"}
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("page", ["/docs", "/redoc", "/openapi.json"])
def test_fastapis_own_pages_which_no_login_guards_are_not_there(application, page):
    assert client(application, None).get(URL_PREFIX + page).status_code == 404


@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_seen_by_a_user_without_rights(application, settings, page):
    assert client(application, "").get(URL_PREFIX + page).status_code == 403


def test_a_forged_login_is_refused(application, settings):
    made = client(application, "ADMIN")
    made.headers["Authorization"] += "x"
    assert made.get(f"{URL_PREFIX}/index.html").status_code == 403


@pytest.mark.parametrize("role", ["VIEWER", "ADMIN"])
def test_who_may_see_the_runs_sees_the_pages_and_their_links_lead_on(application, settings, role):
    made = client(application, role)
    assert made.get(f"{URL_PREFIX}/").headers["location"] == f"{URL_PREFIX}/index.html"
    index = made.get(f"{URL_PREFIX}/index.html")
    assert index.status_code == 200
    for load_id in (FIRST_LOAD, SECOND_LOAD):
        assert f'href="loads/{load_id}.html"' in index.text
        page = made.get(f"{URL_PREFIX}/loads/{load_id}.html")
        assert (page.status_code, load_id in page.text) == (200, True)
        assert 'href="../index.html"' in page.text
        assert "Its run in Airflow" not in page.text  # Airflow has no such run, or has it no more
        assert page.headers["content-security-policy"].startswith("sandbox")


@pytest.mark.parametrize(
    "name",
    [
        "loads/none.html",
        "loads/..%2Findex.html",
        "loads/%2E%2E%2F%2E%2E%2Fplans%2Fplan.json",
        "loads/..html",
        "loads/a.json",
        "loads/%00.html",
        "..%2F..%2Fplans%2Fplan.json",
    ],
)
def test_nothing_but_pages_is_served(application, settings, s3_client, bucket, name):
    for key in ("work/plans/plan.json", "work/report/loads/a.json", "work/report/loads/..html"):
        s3_client.put_object(Bucket=bucket, Key=key, Body=b"secret")
    answer = client(application, "ADMIN").get(f"{URL_PREFIX}/{name}")
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_a_run_leads_to_the_page_of_its_load(application, settings):
    made = client(application, "ADMIN")
    run_id = "scheduled__2026-11-22T02:00:00+00:00"
    address = f"{URL_PREFIX}/dags/moderate_images/runs/{run_id}"
    assert made.get(address).status_code == 404
    row = XComModel(
        dag_run_id=NO_RUN,
        key="return_value",
        value=SECOND_LOAD,
        task_id="publish",
        dag_id="moderate_images",
        run_id=run_id,
        map_index=-1,
    )
    with create_session() as session:
        session.connection().exec_driver_sql("PRAGMA foreign_keys = OFF")
        session.add(row)
    try:
        assert made.get(address).headers["location"] == f"{URL_PREFIX}/loads/{load_file(SECOND_LOAD)}"
    finally:
        with create_session() as session:
            session.execute(delete(XComModel).where(XComModel.run_id == run_id))
            assert not session.scalars(select(XComModel).where(XComModel.run_id == run_id)).all()


def test_storage_that_does_not_answer_is_said_and_not_a_crash(application, settings, aws_env):
    aws_env.setenv("MODERATION_WORK_URI", "s3://no-such-bucket-anywhere/work")
    answer = client(application, "ADMIN").get(f"{URL_PREFIX}/index.html")
    assert answer.status_code in {404, 502}


def test_a_bad_setting_of_the_web_server_is_named_and_not_a_crash(application, settings, aws_env):
    aws_env.setenv("MODERATION_WORK_URI", "work")
    answer = client(application, "ADMIN").get(f"{URL_PREFIX}/index.html")
    assert answer.status_code == 500
    assert "MODERATION_WORK_URI=&#x27;work&#x27;: expected s3://bucket" in answer.text


def test_the_menu_and_each_run_show_the_report(application, settings):
    plugins = client(application, "ADMIN").get("/api/v2/plugins").json()
    (ours,) = (plugin for plugin in plugins["plugins"] if plugin["name"] == "moderation_report")
    assert {view["destination"] for view in ours["external_views"]} == {"nav", "dag_run"}
    assert [app["url_prefix"] for app in ours["fastapi_apps"]] == [URL_PREFIX]


class _Report:
    def __init__(self, published: Any) -> None:
        self.published = published


@pytest.mark.parametrize(
    ("published", "page"), [(SECOND_LOAD, f"loads/{SECOND_LOAD}.html"), (None, "runs.html")]
)
def test_the_report_task_links_its_page(published, page):
    link = ModerationReportLink().get_link(_Report(published), ti_key=None)
    assert link.endswith(f"{URL_PREFIX}/{page}")


def test_pages_that_another_worker_wrote_stay_linked(settings, s3_client, bucket):
    with s3_objects.open_client(settings) as opened:
        index = s3_objects.read_text(opened, f"s3://{bucket}/work/report/index.html")
    assert index.count('href="loads/') == 2


@pytest.mark.slow
def test_a_run_leaves_its_page_and_its_task_links_it(application, world, aws_env, console):
    world.upload(["a.jpg"])
    dag_run = world.run(backend="detect")
    assert dag_run.state == "success", world.states(dag_run)
    (load_id,) = airflow_runs.returned(dag_run, "publish")
    found = select(XComModel).where(
        XComModel.run_id == dag_run.run_id,
        XComModel.task_id == "report",
        XComModel.key == ModerationReportLink().xcom_key,
    )
    with create_session() as session:
        (link,) = [XComModel.deserialize_value(row) for row in session.scalars(found)]
    assert link.endswith(f"{URL_PREFIX}/loads/{load_id}.html")
    made = client(application, "VIEWER")
    address = made.get(f"{URL_PREFIX}/dags/moderate_images/runs/{dag_run.run_id}").headers["location"]
    assert link.endswith(address)
    page = made.get(address).text
    assert load_id in page
    labels = re.findall(
        r'<a href="([^"]+label=[^"]+)"><bdi [^>]*>[^<]*</bdi></a>.*?<span class="n">([\d,]+)<',
        page,
        re.DOTALL,
    )
    assert labels
    for label, images in labels:
        assert f'id="count-flagged">{images}<' in made.get(unescape(label)).text, label
    assert walk(made, address) >= {
        f"{URL_PREFIX}/{page}"
        for page in (
            "index.html",
            "runs.html",
            f"loads/{load_id}.html",
            f"completion/{load_id}/report.html",
            f"completion/{load_id}/report.json",
        )
    } | {f"{CONSOLE_PREFIX}/jobs/{load_id}", page_of(dag_run)}


@pytest.fixture
def console(aws_env: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The console of the same web server, which reads its settings anew."""
    from moderation_airflow.web.console_app import app  # noqa: PLC0415

    aws_env.setenv("MODERATION_CONSOLE_CACHE", str(tmp_path / "console"))
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    app.state.shared = None
    yield
    if app.state.shared is not None:
        app.state.shared.close()
    app.state.shared = None


def page_of(dag_run: Any) -> str:
    """The run's own page in Airflow."""
    return runs.address(dag_run.run_id)


def walk(made: Any, start: str) -> set[str]:
    """Every address that links lead to from a page; none of them is missing."""
    seen, waiting = set(), [start]
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        seen.add(address)
        page = made.get(address)
        assert page.status_code == 200, address
        links = re.findall(r'href="([^"]+)"', page.text) if address.endswith(".html") else []
        waiting += [urljoin(address, unescape(link)) for link in links if not link.startswith("data:")]
    return seen


@pytest.mark.slow
def test_a_run_that_published_nothing_leads_to_its_completion_report(application, world):
    world.upload(["a.jpg"])
    dag_run = world.run(max_cost_usd=0)
    assert dag_run.state == "failed"
    made = client(application, "VIEWER")
    made.follow_redirects = True
    page = made.get(f"{URL_PREFIX}/dags/moderate_images/runs/{dag_run.run_id}")
    address = page.url.path
    assert walk(made, address) >= {f"{URL_PREFIX}/runs.html", page_of(dag_run)}
    listed = made.get(f"{URL_PREFIX}/runs.html").text
    assert "max_cost_usd allows 0.0000" in listed
    assert address.removeprefix(f"{URL_PREFIX}/") in listed
    assert "max_cost_usd allows 0.0000" in page.text
    assert page.headers["content-security-policy"].startswith("sandbox")
    assert made.get(address.replace("report.html", "report.json")).json()["load_id"] is None
    assert made.get(address.replace("report.html", "plan.json")).status_code == 404
    found = select(XComModel).where(
        XComModel.run_id == dag_run.run_id,
        XComModel.task_id == "report",
        XComModel.key == CompletionReportLink().xcom_key,
    )
    with create_session() as session:
        (link,) = [XComModel.deserialize_value(row) for row in session.scalars(found)]
    assert made.get(link[link.index(URL_PREFIX) :]).text == page.text
