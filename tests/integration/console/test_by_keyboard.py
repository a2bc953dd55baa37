"""The console in a real browser: by keyboard alone, in the frame that Airflow puts it in, for everybody."""

from __future__ import annotations

import threading

import pytest

from moderation.console.gate import Person, Right
from moderation.console.pages import image
from moderation.console.shared import Shared
from moderation.console.tiles.kept import VIEW, Tiles
from support import browser
from support.browser import wait_for, wait_for_page
from support.console_browser import LOOKS, in_frame
from support.console_load import FLAGGED, TOKEN

pytestmark = browser.needed


def focused(page) -> str:
    return page.evaluate("document.activeElement?.closest('.tile')?.title ?? ''")


def test_a_person_finds_and_looks_at_flagged_images_by_keyboard_alone(page, load_id):
    for what in ("flagged", "verified"):
        wait_for(page, f"/^[0-9]/.test(document.querySelector('td[data-{what}=\"{load_id}\"]').textContent)")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{load_id}")
    wait_for(page, f"document.querySelectorAll('.tile').length === {FLAGGED}")
    page.keyboard.press("g")
    wait_for(page, "document.activeElement.matches('.tile')")
    assert focused(page) == "a/gun.jpg"
    page.keyboard.press("ArrowRight")
    second = focused(page)
    page.keyboard.press("Enter")
    wait_for_page(page, "#large")
    assert page.inner_text("h1") == second
    page.keyboard.press("ArrowLeft")
    wait_for(page, "document.querySelector('h1').textContent === 'a/gun.jpg'")
    page.keyboard.press("r")
    assert "rotate(90deg)" in page.evaluate("document.getElementById('large').style.transform")
    page.go_back()
    wait_for(page, f"document.querySelector('h1').textContent === {second!r}")
    page.keyboard.press("Escape")
    page.wait_for_selector("#grid")
    assert page.evaluate("history.length") > 2


def test_the_tile_stands_for_an_image_until_that_is_there(page, address, load_id, monkeypatch):
    """From the grid, and by key where nothing was loaded ahead; it is not asked for again."""
    shown, may_go, asked = Tiles.shown, threading.Event(), []

    def held(tiles, row, longest):
        asked.append(longest)
        if longest == VIEW:
            may_go.wait(60)
        return shown(tiles, row, longest)

    page.goto(f"{address}/jobs/{load_id}")
    wait_for(
        page,
        f"[...document.querySelectorAll('.tile img')].filter((i) => i.naturalWidth).length === {FLAGGED}",
    )
    monkeypatch.setattr(Tiles, "kept", lambda *_: None)
    monkeypatch.setattr(Tiles, "shown", held)
    page.keyboard.press("g")
    page.keyboard.press("Enter")
    page.wait_for_url("**/images/*", wait_until="commit")
    page.wait_for_selector("#panel h1")
    backing = "document.getElementById('large')?.style.background ?? ''"
    for key in ("", "ArrowRight"):
        if key:
            page.keyboard.press(key)
        wait_for(page, f"({backing}).includes('/tile')")
        assert not page.evaluate("document.getElementById('large').naturalWidth")
    may_go.set()
    wait_for(page, f"document.getElementById('large').naturalWidth && !({backing})")
    assert set(asked) == {VIEW}


def test_no_tile_stands_for_an_image_that_was_hidden_meanwhile(page, address, load_id, monkeypatch):
    """The browser has it from when it was not; nor is it there for a moment."""
    page.add_init_script(
        "window.stood = 0; new MutationObserver((all) => { for (const one of all) "
        "if (one.target.style?.background) window.stood += 1; })"
        ".observe(document, { subtree: true, attributes: true, attributeFilter: ['style'] })"
    )
    page.goto(f"{address}/jobs/{load_id}")
    wait_for(
        page,
        f"[...document.querySelectorAll('.tile img')].filter((i) => i.naturalWidth).length === {FLAGGED}",
    )
    answer, may_go = image._answer, threading.Event()

    def held(*given, **how):
        may_go.wait(60)
        return answer(*given, **how)

    monkeypatch.setattr(image, "_answer", held)
    monkeypatch.setattr(Shared, "is_severe", lambda *_: True)
    monkeypatch.setattr(Person, "may", lambda person, right: right is not Right.DECIDE)
    page.keyboard.press("g")
    page.keyboard.press("Enter")
    page.wait_for_url("**/images/*", wait_until="domcontentloaded")
    for key in ("", "ArrowRight"):
        before = page.evaluate("document.querySelector('#here[data-hidden]').dataset.n")
        if key:
            page.keyboard.press(key)
            wait_for(
                page, f"(document.querySelector('#here[data-hidden]')?.dataset.n ?? {before}) != {before}"
            )
        tile = "location.pathname + '/tile', { cache: 'only-if-cached', mode: 'same-origin' }"
        assert page.evaluate(f"fetch({tile}).then((kept) => kept.ok)")
    may_go.set()
    wait_for(page, "document.getElementById('large')?.naturalWidth > 1600")
    assert page.evaluate("window.stood") == 0


def test_the_slider_counts_at_once_and_the_grid_follows(page, address, load_id):
    page.goto(f"{address}/jobs/{load_id}", wait_until="load")
    wait_for(page, f"document.querySelectorAll('.grid.placed .tile').length === {FLAGGED}")
    for _ in range(5):
        page.keyboard.press("}")
    assert page.inner_text("#count-flagged") == "1"
    wait_for(page, "document.querySelectorAll('.tile').length === 1 && location.search.includes('at=75')")
    page.keyboard.press("u")
    wait_for(page, "location.search.includes('show=unflagged')")
    wait_for(page, "document.querySelectorAll('.tile').length === 6")
    page.go_back()
    wait_for(page, "document.querySelectorAll('.tile').length === 1")


class Late:
    """What a page asks for at an address is answered when it may be."""

    def __init__(self, page, address: str) -> None:
        self.page, self.waiting, self.may = page, [], False
        page.route(address, self._asked)

    def _asked(self, route) -> None:
        if self.may:
            route.continue_()
        else:
            self.waiting.append(route)

    def wait_for(self, number: int) -> None:
        while len(self.waiting) < number:
            self.page.wait_for_timeout(20)

    def answer(self) -> None:
        """Answer what waits and all that comes, and go on when the page has had the answers that waited."""
        self.may = True
        for route in self.waiting:
            with self.page.expect_response(lambda answer, of=route.request: answer.request == of):
                route.continue_()
        self.page.evaluate("() => new Promise((done) => setTimeout(done, 50))")


@pytest.fixture
def late(page, address, load_id):
    page.goto(f"{address}/jobs/{load_id}", wait_until="load")
    wait_for(page, f"document.querySelectorAll('.grid.placed .tile').length === {FLAGGED}")
    return Late(page, "**/jobs/*part=side*")


def test_an_answer_puts_nothing_back_that_was_changed_meanwhile(page, late):
    for _ in range(4):
        page.keyboard.press("}")
    late.wait_for(1)
    page.keyboard.press("}")
    late.answer()
    assert page.input_value("#at") == "75"
    assert page.inner_text("#count-flagged") == "1"
    wait_for(page, "location.search.includes('at=75')")
    assert page.input_value("#at") == "75"


def test_letters_that_are_typed_while_an_answer_is_on_its_way_stay(page, late):
    page.keyboard.press("/")
    page.keyboard.type("gu")
    late.wait_for(1)
    page.keyboard.type("n")
    late.answer()
    assert page.input_value("#q") == "gun"
    wait_for(page, "location.search.includes('q=gun')")
    assert page.evaluate("document.activeElement.id") == "q"


@pytest.mark.parametrize("keys", ["}u", "u}"])
def test_a_filter_and_the_slider_go_together_however_soon_one_follows_the_other(page, late, keys):
    steps = page.evaluate("history.length")
    for key in keys:
        page.keyboard.press(key)
    late.wait_for(1)
    page.keyboard.press("}")
    late.answer()
    wait_for(page, "location.search.includes('show=unflagged') && location.search.includes('at=60')")
    assert page.evaluate("history.length") == steps + 1


def test_the_filter_that_was_pressed_last_is_the_one_that_holds(page, late):
    page.keyboard.press("u")
    late.wait_for(1)
    page.keyboard.press("f")
    late.answer()
    wait_for(page, f"document.querySelectorAll('.grid.placed .tile').length === {FLAGGED}")
    assert "unflagged" not in page.url


def test_the_slider_is_not_taken_from_the_hand_that_holds_it(page, late):
    box = page.locator("#at").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, middle)
    page.wait_for_timeout(600)  # some times as long as after which it asks
    assert not late.waiting
    page.mouse.move(box["x"] + box["width"] * 0.9, middle)
    at = page.input_value("#at")
    page.mouse.up()
    late.wait_for(1)
    late.answer()
    wait_for(page, f"location.search.includes('at={at}')")


def test_a_page_is_loaded_and_filtered_while_its_images_are_still_to_come(page, address, load_id):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.route("**/tile", lambda _route: None)  # none ever comes
    page.goto(f"{address}/jobs/{load_id}", wait_until="load")
    wait_for(page, "document.querySelectorAll('.grid.placed .tile[data-place]').length > 2")
    flagged = page.inner_text("#count-flagged")
    page.keyboard.press("a")
    wait_for(page, "location.search.includes('show=all') && document.querySelectorAll('.tile').length > 5")
    places = page.evaluate("[...document.querySelectorAll('#grid li')].map((one) => one.ariaPosInSet)")
    assert places == [str(number + 1) for number in range(len(places))]
    assert page.inner_text("#count-flagged") == flagged
    assert not [url for url in asked if "/tiles?" in url]  # they came with the counts


def test_below_what_was_asked_the_page_says_why_it_knows_no_more(page, address, load_id):
    page.goto(f"{address}/jobs/{load_id}")
    page.wait_for_selector("#at")
    assert page.is_hidden("#below")
    page.keyboard.press("[")
    assert page.is_visible("#below")
    assert "never answered" in page.inner_text("#below")


def test_a_search_is_typed_and_keys_are_letters_there(page, address, load_id):
    page.goto(f"{address}/jobs/{load_id}?show=all")
    page.wait_for_selector("#q")
    page.keyboard.press("/")
    page.keyboard.type("faint")
    wait_for(page, "document.querySelectorAll('.tile').length === 1")
    page.keyboard.press("Escape")
    wait_for(page, "document.activeElement.matches('.tile')")
    assert focused(page) == "a/faint.jpg"


def test_images_are_blurred_at_first_if_the_person_wishes_and_a_key_reveals(page, address, load_id):
    page.goto(f"{address}/jobs/{load_id}")
    page.click("#look")
    page.check("#look-blur")
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector(".tile img")
    filters = "getComputedStyle(document.querySelector('.tile img')).filter"
    assert "blur" in page.evaluate(filters)
    page.keyboard.press("g")
    wait_for(page, "document.activeElement.matches('.tile')")
    page.keyboard.down("v")
    focused_filter = "getComputedStyle(document.activeElement.querySelector('img')).filter"
    assert page.evaluate(focused_filter) == "none"
    page.keyboard.up("v")
    assert "blur" in page.evaluate(focused_filter)


def test_the_list_of_keys_opens_and_closes_by_key(page, address, load_id):
    page.goto(f"{address}/jobs/{load_id}")
    page.wait_for_selector("#grid.placed")
    page.keyboard.press("?")
    assert page.is_visible("#keys-dialog")
    page.keyboard.press("Escape")
    assert page.is_hidden("#keys-dialog")


def test_images_of_this_computer_are_sent_and_the_command_is_told(page, address, tmp_path):
    folder = tmp_path / "holiday"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number} ü.jpg").write_bytes(b"image %d" % number)
    page.goto(f"{address}/start")
    page.set_input_files("#folder", str(folder))
    page.wait_for_selector("#go:not([disabled])")
    assert "$0.0030 for 3 images" in page.inner_text("#price")
    page.focus("#go")
    page.keyboard.press("Enter")
    page.wait_for_selector("#done pre")
    assert page.inner_text("#done pre").startswith("airflow dags trigger moderate_images")


def test_the_price_is_never_that_of_a_place_that_was_typed_before(page, address, console_world):
    settings = console_world[0]
    page.goto(f"{address}/start")
    page.check("input[value=s3]")
    late = Late(page, "**/start/look*archive-of-others*")
    page.fill("#source", "s3://archive-of-others/")
    late.wait_for(1)
    page.fill("#source", settings.work_uri)
    assert page.is_disabled("#go")
    page.wait_for_selector("#go:not([disabled])")
    seen = [page.inner_text(place) for place in ("#looked", "#price")]
    assert "objects" in seen[0]
    late.answer()
    assert [page.inner_text(place) for place in ("#looked", "#price")] == seen
    page.fill("#source", "s3://archive-of-others/x")
    assert page.is_disabled("#go")
    assert "$" not in page.inner_text("#price")


def test_a_min_confidence_is_asked_when_it_is_typed_and_only_then(page, address, console_world):
    settings = console_world[0]
    commands = []
    for typed in ("", f"{settings.min_confidence:g}"):
        page.goto(f"{address}/start")
        page.check("input[value=s3]")
        page.fill("#source", settings.work_uri)
        page.fill("#min", typed)
        page.wait_for_selector("#go:not([disabled])")
        page.focus("#go")
        page.keyboard.press("Enter")
        page.wait_for_selector("#done pre")
        commands.append(page.inner_text("#done pre"))
    assert "min_confidence" not in commands[0]
    assert f'"min_confidence": {settings.min_confidence}' in commands[1]


def test_it_works_in_the_frame_that_airflow_gives_it(page, load_id):
    frame = in_frame(page, f"/jobs/{load_id}")
    frame.wait_for_selector(".tile")
    page.keyboard.press("g")
    wait_for(frame, "document.activeElement.matches('.tile')")
    page.keyboard.press("?")
    assert frame.is_visible("#keys-dialog")


def test_a_page_of_airflow_opens_in_its_own_window_not_in_the_frame(page, load_id):
    page.route("**/run", lambda route: route.fulfill(content_type="text/html", body="<h1>Airflow</h1>"))
    frame = in_frame(page, f"/jobs/{load_id}")
    frame.wait_for_selector(".tile")
    frame.evaluate(
        """() => { const link = document.createElement("a"); link.dataset.out = ""; link.href = "/run";
        document.body.append(link); link.click(); }"""
    )
    page.wait_for_url("**/run")
    assert page.inner_text("h1") == "Airflow"


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_serious_stands_in_anybodys_way(chromium, address, load_id, look):
    context = browser.window(chromium, **look)
    page = context.new_page()
    page.goto(f"{address}/?token={TOKEN}")
    for path in (
        "/",
        f"/jobs/{load_id}?show=all",
        f"/jobs/{load_id}/images/0?show=all",
        "/start",
        "/jobs/none",
    ):
        page.goto(address + path)
        page.wait_for_load_state("networkidle")
        assert browser.findings(page) == [], path
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} pixels wider than the screen"
    context.close()
