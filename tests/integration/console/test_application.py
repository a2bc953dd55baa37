"""Who is let in, and what every answer carries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from moderation.console.application import application
from moderation.console.gate import OP, Person
from moderation.settings import Settings
from support.console_load import TOKEN, asked, served, walk_below


@pytest.fixture
def stranger(console_world, aws_env) -> Iterator[Any]:
    settings, _, folder = console_world
    with served(settings, folder / "cache", login=False) as client:
        yield client


def routes(app: Any) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        assert isinstance(route, APIRoute), f"{route} stands outside of the gate"
        for method in sorted(route.methods):
            yield method, route.path


def test_every_route_refuses_who_has_no_token(stranger):
    every = list(routes(stranger.app))
    assert len(every) > 15
    for method, path in every:
        address = path
        for name, value in {"load_id": "x", "n": "0", "kind": "csv", "dag_id": "d", "name": "a"}.items():
            address = address.replace(f"{{{name}}}", value)
        address = address.replace("{path:path}", "b").replace("{run_id:path}", "r")
        assert stranger.request(method, address).status_code == 401, (method, path)


@pytest.mark.parametrize("given", ["", "x", TOKEN + "x", "ü"])
def test_a_wrong_token_logs_nobody_in(stranger, given):
    answer = stranger.get("/", params={"token": given})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_the_link_logs_in_and_the_token_leaves_the_address(stranger):
    answer = stranger.get(f"/jobs/x?show=all&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/x?show=all")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert stranger.get("/").status_code == 200


@pytest.mark.parametrize("path", ["//evil.example/", "/%2F%2Fevil.example/"])
def test_a_login_leads_nowhere_else(stranger, path):
    answer = stranger.get(f"http://127.0.0.1:8585{path}?token={TOKEN}")
    assert not answer.headers.get("location", "/").startswith("//")
    assert "://" not in answer.headers.get("location", "/")


def test_a_name_that_points_here_is_not_answered(console):
    assert console.get("/", headers={"Host": "evil.example"}).status_code == 400


def test_a_write_needs_more_than_the_cookie(console):
    del console.headers["X-Moderation-Console"]
    for method, path in (("PUT", "/uploads/a/b.jpg"), ("POST", "/start")):
        answer = console.request(method, path, content=b"{}")
        assert answer.status_code == 403, path
        assert "X-Moderation-Console" in answer.json()["error"]


def assert_closed(headers: Any) -> None:
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "private" in headers["cache-control"]


@pytest.mark.parametrize("path", ["/", "/static/console.css", "/jobs/x"])
def test_every_answer_is_closed_to_other_sites(console, path):
    assert_closed(console.get(path).headers)


def test_the_answer_to_what_nobody_foresaw_is_closed_to_other_sites_and_says_nothing_of_it(tmp_path):
    def broken() -> Settings:
        raise RuntimeError("a secret of the inside")

    app = application(broken, gate=lambda: Person("you", OP), cache=tmp_path)
    with asked(app) as client:
        client._transport.raise_server_exceptions = False
        answer = client.get("/", headers={"Accept": "text/html"})
    assert answer.status_code == 500
    assert "This is a defect of the console" in answer.text
    assert "secret" not in answer.text
    assert_closed(answer.headers)


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/static/..%2Fview.py", "/static/none.js"]
)
def test_nothing_else_is_served(console, path):
    assert console.get(path).status_code == 404


@pytest.mark.slow
def test_below_a_path_prefix_all_stays_there_the_login_too(console_world, load_id, aws_env):
    settings, _, folder = console_world
    with served(settings, folder / "cache", login=False, root_path="/below") as client:
        answer = client.get(f"/below/jobs/{load_id}?token={TOKEN}")
        assert answer.headers["location"] == f"/below/jobs/{load_id}"
        assert f"/below/jobs/{load_id}" in walk_below(client, "/below", "/below/")


@pytest.mark.slow
@pytest.mark.parametrize("strips", [pytest.param(True, marks=pytest.mark.long), False])
def test_behind_a_proxy_all_stays_below_its_prefix_whether_it_strips_it_or_not(
    console_world, load_id, aws_env, strips
):
    settings, _, folder = console_world
    aws_env.setenv("MODERATION_CONSOLE_PREFIX", "/below/it")
    with served(settings, folder / "cache", login=False) as client:
        if strips:
            as_is = client.get
            client.get = lambda address, **more: as_is(address.removeprefix("/below/it"), **more)
        answer = client.get(f"/below/it/jobs/{load_id}?token={TOKEN}")
        assert answer.headers["location"] == f"/below/it/jobs/{load_id}"
        assert f"/below/it/jobs/{load_id}" in walk_below(client, "/below/it", "/below/it/")


def test_settings_that_are_wrong_are_said_on_the_page(console_world, aws_env, tmp_path):
    settings, load_id, _ = console_world
    aws_env.setenv("MODERATION_THRESHOLDS", str(tmp_path / "none.toml"))
    with served(settings, tmp_path / "cache") as client:
        answer = client.get(f"/jobs/{load_id}", headers={"Accept": "text/html"})
    assert answer.status_code == 500
    assert "none.toml: cannot be read" in answer.text
