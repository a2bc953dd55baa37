"""Archives: everybody may look how far they are, operators pause, resume, stop and retry them by name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from moderation.archive.backfill import orders, state
from moderation.archive.backfill.state import DONE, PARKED, RUNNING, WAITING
from moderation.console.alone import alone
from moderation.console.application import WRITE_HEADER, application
from support import archives, browser
from support.browser import wait_for, wait_for_page
from support.console_browser import one_look
from support.console_load import TOKEN, addresses, asked, listening_at
from support.console_review import asked_by, by_header

ORDERS = ("pause", "resume", "stop", "retry", "budget")
RESULT = {
    "keys": 70_000,
    "answered": 69_000,
    "refused": {"InvalidImageFormatException": 300},
    "gone": 100,
    "owed": {"": 600},
    "new": 12,
    "gone_since": 110,
    "changed": 4,
}


@pytest.fixture
def world(console_world, aws_env, s3_client, tmp_path) -> Any:
    """Settings with archives of their own."""
    settings, _, folder = console_world
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    own = replace(settings, work_uri=f"{settings.work_uri}/{uuid.uuid4().hex[:8]}")
    return SimpleNamespace(settings=own, s3=s3_client, cache=folder / "cache")


@pytest.fixture
def client(world) -> Iterator[Any]:
    def run_page(run: Any) -> str | None:
        return f"/airflow/{run['run_id']}" if run["run_id"].endswith("4") else None

    app = application(lambda: world.settings, gate=by_header, run_page=run_page, cache=world.cache)
    with asked(app) as made:
        made.headers[WRITE_HEADER] = "1"
        yield made


def known(world: Any, name: str = "old") -> state.Archive:
    return state.read(world.settings, world.s3, name)


def test_before_there_is_one_the_page_says_how_to_begin(client, world):
    page = client.get("/archives").text
    assert "No archive yet" in page
    assert f"{world.settings.command} archive start" in page
    assert "archives" not in client.get("/").text.partition("<main")[2]


def test_an_archive_tells_figures_months_reasons_and_what_changed_at_the_source(client, world):
    archives.keep(world.settings, world.s3, archives.half_done())
    page = client.get("/archives/old").text
    for told in (
        "30,000 of 70,000 images",
        "$29.70",  # paid
        "3 of 7",  # chunks
        "2026-11",
        "manifest 3: &lt;b&gt;AccessDenied&lt;/b&gt; for s3://archive/photos",
        "90</td><td>",  # images of a code, and its remedy
        "12 changed and 30 gone when their chunk came to them; 180 answered before",
        "all expected by",
        "$50.00 a day",
        'href="/archives/old/chunks/4/run"',
        'href="/runs/moderate_images/archive__old__00001"',
    ):
        assert told in page, told
    assert "Every key accounted for" not in page
    assert client.get("/archives/old/chunks/4/run").headers["location"] == "/airflow/archive__old__00004"
    assert client.get("/archives/old/chunks/5/run").status_code == 404
    assert 'Archive <a href="/archives/old">' in client.get("/").text


def test_at_its_end_every_key_is_accounted_for(client, world):
    ended = archives.half_done(status="ended", result=RESULT)
    ended = replace(ended, chunks=ended.chunks[:4])
    archives.keep(world.settings, world.s3, ended)
    page = client.get("/archives/old").text
    for told in ("70,000", "69,000", "300 InvalidImageFormatException", "600 not attempted", "12 new since"):
        assert told in page, told
    assert "Nothing is paid, and nothing to come" not in page
    assert client.post("/archives/old/pause", json={}).status_code == 409
    assert client.post("/archives/old/retry", json={}).json() == {"status": "running"}


def test_only_operators_ask_something_of_an_archive_and_by_more_than_their_cookie(client, world):
    (kept,) = archives.keep(world.settings, world.s3, archives.half_done())
    for role in ("viewer", "user"):
        with asked_by(client, "ben", role) as ben:
            for what in ORDERS:
                assert ben.post(f"/archives/old/{what}", json={}).status_code == 403, (role, what)
            page = ben.get("/archives/old").text
        assert "data-write" not in page
        assert "Operators pause" in page
    del client.headers[WRITE_HEADER]
    for what in ORDERS:
        assert client.post(f"/archives/old/{what}", json={}).status_code == 403
    assert known(world) == kept


def test_what_was_asked_stands_there_with_the_person(client, world):
    archives.keep(world.settings, world.s3, archives.half_done())
    with asked_by(client, "carla", "op") as carla:
        assert carla.post("/archives/old/pause", json={"days": 3}).json() == {"status": "paused"}
        assert "paused until" in carla.get("/archives/old").text
        assert carla.post("/archives/old/retry", json={"chunks": [4]}).json() == {"status": "paused"}
        assert known(world).chunks[3].status == WAITING
        assert carla.post("/archives/old/resume", json={}).json() == {"status": "running"}
        assert carla.post("/archives/old/stop", json={}).json() == {"status": "stopped"}
        page = carla.get("/archives/old").text
    assert page.count("carla</b>") == 4
    assert [order["what"].split(" until")[0] for order in known(world).orders] == [
        *("pause", "retry of chunk 4", "resume", "stop"),
    ]


def test_a_budget_is_changed_from_the_page_and_only_the_limit_that_was_said(client, world):
    archives.keep(world.settings, world.s3, archives.half_done())
    with asked_by(client, "carla", "op") as carla:
        assert 'value="50"' in carla.get("/archives/old").text
        for said in ({"month_usd": 900.5}, {"day_usd": None}):
            assert carla.post("/archives/old/budget", json=said).status_code == 200, said
        page = carla.get("/archives/old").text
    options = known(world).options
    assert (options.day_usd, options.month_usd) == (None, 900.5)
    assert "$900.50 a month" in page
    assert "budget of the day without limit" in page
    for said, status in (({}, 409), ({"day_usd": 0}, 400), ({"day_usd": 1}, 409), ({"month_usd": "x"}, 400)):
        answered = client.post("/archives/old/budget", json=said)
        assert (answered.status_code, bool(answered.json()["error"])) == (status, True), said
    assert known(world).options == options


def test_what_cannot_be_asked_changes_nothing_and_says_why(client, world):
    (kept,) = archives.keep(world.settings, world.s3, archives.half_done())
    for what, body, status in (
        ("retry", {"chunks": [1]}, 409),
        ("retry", {"chunks": []}, 400),
        ("pause", {"days": 0}, 400),
        ("pause", {"days": 1e99}, 400),
        ("pause", {"until": "x"}, 400),
        ("remove", {}, 400),
    ):
        answered = client.post(f"/archives/old/{what}", json=body)
        assert (answered.status_code, bool(answered.json()["error"])) == (status, True), (what, body)
    assert known(world) == kept
    for name in ("none", "UPPER", "a%2Fb", "%2E%2E", "x" * 99):
        assert client.get(f"/archives/{name}").status_code in {404, 405}, name
        assert client.post(f"/archives/{name}/stop", json={}).status_code in {404, 405}, name


def test_a_damaged_archive_hides_no_other(client, world):
    archives.keep(world.settings, world.s3, archives.half_done(), archives.half_done("other"))
    uri = state.state_uri(world.settings, "other")
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    world.s3.put_object(Bucket=bucket, Key=key, Body=b"{}")
    page = client.get("/archives").text
    assert "30,000 of 70,000" in page
    assert "delete it and start the archive again" in page
    assert client.get("/archives/other").status_code == 409


def test_a_thousand_chunks_are_shown_a_hundred_at_a_time_and_by_state(client, world):
    archives.keep(world.settings, world.s3, archives.half_done(done=250))
    pages = [client.get("/archives/old", params={"since": since}).text for since in (0, 100, 200)]
    rows = [page.count('<th scope="row" class="n"') for page in pages]
    assert rows == [100, 100, 54]
    parked = client.get("/archives/old", params={"shown": "parked"}).text
    assert parked.count('<th scope="row" class="n"') == 1
    assert "/archives/old/chunks/251/run" in parked


def test_below_a_prefix_all_stays_there(world):
    archives.keep(world.settings, world.s3, archives.half_done(done=0))
    with asked(alone(world.settings, token=TOKEN, cache=world.cache), root_path="/below") as client:
        client.get(f"/below/?token={TOKEN}")
        found = addresses(client.get("/below/archives").text) | addresses(
            client.get("/below/archives/old").text
        )
    assert {"/below/archives/old", "/below/archives/old/pause"} <= found
    assert all(address.startswith("/below/") for address in found)


@browser.needed
@pytest.mark.parametrize("look", one_look())
def test_an_archive_is_paused_retried_and_resumed_by_keyboard_alone(chromium, world, look):
    archives.keep(world.settings, world.s3, archives.half_done())
    context = browser.window(chromium, **look)
    with listening_at(alone(world.settings, token=TOKEN, cache=world.cache)) as address:
        page = context.new_page()
        page.goto(f"{address}/archives?token={TOKEN}")
        assert browser.findings(page) == []
        page.focus("#told h2 a")
        page.keyboard.press("Enter")
        wait_for_page(page, "#to-pause")
        assert browser.findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.focus("#to-pause")
        page.keyboard.press("Enter")
        assert browser.findings(page) == []
        page.keyboard.type("3")
        page.keyboard.press("Enter")
        wait_for_page(page, "#to-resume")
        wait_for(page, "document.activeElement.id === 'to-resume'")
        page.focus("#retry-4")
        page.keyboard.press("Enter")
        wait_for(page, "!document.getElementById('retry-4')")
        # Only what was typed is said: the limit that somebody else set meanwhile stays.
        orders.budget(world.settings, world.s3, "old", month_usd=900.0, person="ana")
        page.focus("#to-budget")
        page.keyboard.press("Enter")
        assert browser.findings(page) == []
        page.keyboard.press("Control+a")
        page.keyboard.type("75")
        page.keyboard.press("Enter")
        wait_for(page, "document.body.textContent.includes('$75.00 a day, $900.00 a month')")
        page.focus("#to-resume")
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        wait_for_page(page, "#to-pause")
        # What the conductor does meanwhile is seen without a hand.
        done = replace(known(world).chunks[4], status=DONE, ended_at="2026-11-20T12:30:00+00:00")
        state.change(world.settings, world.s3, "old", lambda found: found.with_chunk(done))
        wait_for(page, "document.body.textContent.includes('40,000 of 70,000 images')")
    context.close()
    found = known(world)
    assert [chunk.status for chunk in found.chunks] == [DONE] * 3 + [WAITING, DONE, WAITING, WAITING]
    assert [order["person"] for order in found.orders] == ["you", "you", "ana", "you", "you"]
    assert PARKED not in {chunk.status for chunk in found.chunks}
    assert RUNNING not in {chunk.status for chunk in found.chunks}
