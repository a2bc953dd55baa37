"""Verify in a real browser, by keyboard alone; nothing that was decided is lost on the way."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from moderation.console.application import WRITE_HEADER
from support import browser
from support.browser import wait_for
from support.console_browser import in_frame, one_look
from support.console_load import TOKEN

pytestmark = browser.needed
COVERED = """[...document.querySelectorAll('.top nav > *, .own > *')].filter((one) => one.checkVisibility())
    .map((one) => [one.textContent, one.getBoundingClientRect()])
    .filter(([, { left }], place, all) => place && all[place - 1][1].right > left + 1)
    .map(([text]) => text)"""
"""What of a page's head lies on what stands before it."""
SAVED = "document.getElementById('sent').textContent === 'all saved'"


@pytest.fixture
def queue(page, address, load_id):
    """Makes a queue and opens it; returns its id."""

    def made(kind: str, mode: str = "focus", **options: Any) -> str:
        headers = {WRITE_HEADER: "1", "Content-Type": "application/json"}
        wanted = {"kind": kind, "load_id": load_id, "name": uuid.uuid4().hex} | options
        answer = page.request.post(f"{address}/verify/new", data=json.dumps(wanted), headers=headers)
        assert answer.ok, answer.text()
        found = str(answer.json()["queue"])
        page.goto(f"{address}/verify/queues/{found}?mode={mode}")
        page.wait_for_selector("#large" if mode == "focus" else ".pick")
        return found

    return made


def name(page) -> str:
    return page.inner_text("#name")


def shows(page, of: str) -> None:
    wait_for(page, f"document.getElementById('name').textContent === {of!r}")


def seen(page, number: int) -> None:
    """Wait until so many images are in the grid and have come: of one still to come nobody says anything."""
    wait_for(page, f"document.querySelectorAll('.pick').length === {number}")
    wait_for(page, "[...document.querySelectorAll('.pick img')].every((image) => image.complete)")
    # Who says that an image is right has seen all of it: none is cut to fill its tile.
    fits = page.evaluate(
        "[...document.querySelectorAll('.pick img')].map((image) => getComputedStyle(image).objectFit)"
    )
    assert set(fits) == {"contain"}


def done(page) -> int:
    return int(page.inner_text("#done"))


def test_a_queue_is_made_worked_through_and_summed_up_by_keyboard_alone(page, address, load_id):
    page.goto(f"{address}/jobs/{load_id}")
    page.wait_for_selector(".tile")
    page.goto(f"{address}/verify")
    page.keyboard.press("n")
    page.wait_for_selector("#new-queue")
    page.focus("input[value=job]")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_selector("#large")
    wait_for(page, "document.getElementById('name').textContent !== ''")
    for number, keys in enumerate(("a", "a", "n", "ua", "a"), start=1):
        for key in keys:
            page.keyboard.press(key)
        wait_for(page, f"document.getElementById('done').textContent === '{number}'")
    wait_for(page, "!document.getElementById('end').hidden")
    wait_for(page, SAVED)
    page.keyboard.press("Escape")
    page.wait_for_url("**/summary")
    assert "5 of 5 decided" in page.inner_text("main")


@pytest.mark.slow
def test_what_is_wrong_at_its_level_may_be_right_above_and_what_is_missed_is_added(page, queue, review_log):
    queue("band", label="Weapon Violence", low=90, high=100)
    page.keyboard.press("/")
    page.keyboard.type("smok")
    page.keyboard.press("Enter")
    page.keyboard.press("x")
    wait_for(page, SAVED)
    said = {(row.label, row.verdict) for row in review_log().by_reviewer("you", 2)}
    assert said == {("Weapon Violence", "absent"), ("Smoking", "present")}
    queue("filter", query="q=gun")
    for key in ("x", "i"):
        page.keyboard.press(key)
    page.keyboard.type("a toy")
    page.keyboard.press("Enter")
    page.keyboard.press("a")
    wait_for(page, SAVED)
    rows = review_log().by_reviewer("you", 4)
    said = {(row.label, row.verdict) for row in rows}
    assert said == {
        ("Weapon Violence", "absent"),
        ("Graphic Violence", "present"),
        ("Violence", "present"),
        (None, "complete"),
    }
    assert "a toy" in {row.note for row in rows}


def test_undo_goes_back_across_a_reload_and_a_decision_can_be_changed(page, queue, review_log):
    queue("job")
    first = name(page)
    for key in "aax":
        page.keyboard.press(key)
    wait_for(page, SAVED)
    page.reload()
    page.wait_for_selector("#large")
    assert len(page.query_selector_all("#recent li")) == 2
    page.keyboard.press("z")
    page.keyboard.press("z")
    shows(page, first)
    wait_for(page, SAVED)
    assert done(page) == 0
    page.keyboard.press("a")
    page.keyboard.press("ArrowLeft")
    shows(page, first)
    assert page.is_visible("#again")
    page.keyboard.press("n")
    wait_for(page, SAVED)
    newest = review_log().by_reviewer("you", 1)[0]
    assert newest.verdict in {"nothing", "absent", "withdrawn"}


def test_what_is_decided_while_more_is_asked_for_does_not_come_back(page, queue):
    queue("band", label="Weapon Violence", low=90, high=100)
    late, held = [], []
    page.route("**/next", lambda route: route.continue_() if late else late.append((route, route.fetch())))
    page.route("**/answers", lambda route: route.continue_() if held else held.append(route))
    page.keyboard.press("a")
    deadline = 4_000
    while not (late and held) and deadline:
        page.wait_for_timeout(25)
        deadline -= 1
    [(route, answer)] = late
    assert len(answer.json()["items"]) == 1
    held[0].continue_()
    wait_for(page, SAVED)
    route.fulfill(response=answer)
    wait_for(page, "!document.getElementById('end').hidden")
    assert done(page) == 1


@pytest.mark.slow
def test_what_a_reviewer_skipped_is_offered_when_nothing_else_waits(page, queue):
    queue("band", label="Weapon Violence", low=90, high=100)
    first = name(page)
    page.keyboard.press("s")
    assert done(page) == 0
    again = page.get_by_role("button", name="Look again")
    again.wait_for()
    assert "You skipped 1 that nobody has decided." in page.inner_text("#end")
    again.press("Enter")
    wait_for(page, "document.getElementById('decide').checkVisibility()")
    assert name(page) == first
    page.keyboard.press("a")
    wait_for(page, "!document.getElementById('end').hidden")
    wait_for(page, SAVED)
    assert done(page) == 1
    assert not again.is_visible()


def test_what_was_not_sent_is_sent_after_a_reload(page, queue, address, review_log):
    queue("job")
    page.route("**/verify/answers", lambda route: route.abort())
    page.keyboard.press("a")
    wait_for(page, "document.getElementById('sent').textContent === '1 to send'")
    wait_for(page, "!document.getElementById('outbox').hidden")
    before = review_log().count()
    page.unroute("**/verify/answers")
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{address}/verify")
    deadline = 400
    while review_log().count() == before and deadline:
        page.wait_for_timeout(25)
        deadline -= 1
    assert review_log().count() > before


@pytest.mark.slow
def test_a_page_of_the_grid_takes_a_key_and_two_for_each_that_is_wrong(page, queue, review_log):
    queue("filter", mode="grid", query="show=all")
    seen(page, 7)
    page.keyboard.press("1")
    page.keyboard.press("2")
    assert page.get_attribute('[data-at="1"]', "aria-pressed") == "true"
    page.keyboard.press("z")
    assert page.get_attribute('[data-at="1"]', "aria-pressed") == "false"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("u")
    page.keyboard.press("Enter")
    wait_for(page, "!document.getElementById('end').hidden")
    wait_for(page, SAVED)
    assert done(page) == 7
    page.keyboard.press("z")
    wait_for(page, "document.querySelectorAll('.pick.unsure').length === 2")
    wait_for(page, SAVED)
    assert done(page) == 0


def test_what_is_set_aside_in_the_grid_is_named_at_its_end_with_the_way_there(page, queue):
    queue("filter", mode="grid", query="show=all")
    seen(page, 7)
    page.keyboard.press("x")
    page.keyboard.press("Enter")
    wait_for(page, "!document.getElementById('end').hidden")
    assert "What is left is set aside" in page.inner_text("#end")
    page.get_by_role("link", name="1 set aside for a closer look").press("Enter")
    page.wait_for_selector("#large")
    assert done(page) == 6


@pytest.mark.slow
def test_who_takes_back_after_a_reload_that_an_image_is_severe_sees_it_again(page, queue, review_log):
    queue("job")
    first = name(page)
    page.keyboard.press("Shift+S")
    wait_for(page, SAVED)
    # As the server answers whom it hides the image from, until it knows that this was taken back.
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" width="9000" height="9"/>'
    page.route("**/view", lambda route: route.fulfill(content_type="image/svg+xml", body=drawing))
    page.reload()
    page.wait_for_selector("#large")
    page.keyboard.press("z")
    shows(page, first)
    wait_for(page, SAVED)
    width = "document.getElementById('large').naturalWidth"
    wait_for(page, f"document.getElementById('large').complete && {width} > 0 && {width} < 9000")
    page.keyboard.press("a")
    wait_for(page, "document.getElementById('done').textContent === '1'")
    wait_for(page, SAVED)
    assert review_log().severe() == set()


@pytest.mark.slow
def test_nobody_says_that_an_image_is_right_that_cannot_be_seen(page, queue, review_log):
    made = queue("filter", query="show=failed")
    wait_for(page, "document.getElementById('large').complete")
    for key in ("a", "n"):
        page.keyboard.press(key)
        wait_for(page, "document.getElementById('trouble').checkVisibility()")
    page.goto(page.url.replace("focus", "grid"))
    wait_for(
        page,
        "[...document.querySelectorAll('.pick .cap')].map((one) => one.textContent).join() === 'not shown'",
    )
    assert page.inner_text("#rest-told") == "The other 0 are right"
    page.keyboard.press("Enter")
    wait_for(page, "!document.getElementById('end').hidden")
    wait_for(page, SAVED)
    assert [row.verdict for row in review_log().by_reviewer("you", 9) if row.queue_id == made] == ["skipped"]
    page.goto(page.url.replace("?mode=grid", "/summary"))
    assert "0 of 0 decided" in page.inner_text("main")
    page.get_by_role("button", name="Look again").press("Enter")
    page.get_by_text("0 of 1 decided").wait_for()


@pytest.mark.parametrize(
    ("mode", "key", "decided"), [("focus", "a", 1), pytest.param("grid", "Enter", 5, marks=pytest.mark.long)]
)
def test_a_reviewer_decides_in_the_frame_that_airflow_gives_the_page(page, queue, mode, key, decided):
    made = queue("job", mode, name="What the house by the sea was full of, last summer and the one before it")
    frame = in_frame(page, f"/verify/queues/{made}?mode={mode}")
    assert frame.evaluate(COVERED) == []
    if mode == "grid":
        seen(frame, 5)
    frame.wait_for_selector("#large" if mode == "focus" else ".pick")
    page.keyboard.press("?")
    assert frame.is_visible("#keys-dialog")
    page.keyboard.press("Escape")
    page.keyboard.press(key)
    wait_for(frame, f"document.getElementById('done').textContent === '{decided}'")
    wait_for(frame, SAVED)


def test_keys_are_set_by_key_and_remembered(page, queue):
    queue("job")
    first = name(page)
    page.keyboard.press("?")
    page.focus('#own-keys [data-action="right"]')
    page.keyboard.press("Enter")
    page.keyboard.press("q")
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector("#large")
    page.keyboard.press("a")
    assert name(page) == first
    page.keyboard.press("q")
    wait_for(page, f"document.getElementById('name').textContent !== {first!r}")


@pytest.mark.parametrize("look", one_look())
def test_nothing_serious_stands_in_a_reviewers_way(chromium, address, load_id, look):
    context = browser.window(chromium, **look)
    page = context.new_page()
    page.goto(f"{address}/?token={TOKEN}")
    headers = {WRITE_HEADER: "1", "Content-Type": "application/json"}
    wanted = json.dumps({"kind": "job", "load_id": load_id})
    made = page.request.post(f"{address}/verify/new", data=wanted, headers=headers).json()["queue"]
    for path in (
        "/verify",
        "/verify/new",
        f"/verify/queues/{made}",
        f"/verify/queues/{made}?mode=grid",
        f"/verify/queues/{made}/summary",
        "/numbers",
    ):
        page.goto(address + path)
        page.wait_for_load_state("networkidle")
        assert browser.findings(page) == [], path
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} pixels wider than the screen"
    context.close()
