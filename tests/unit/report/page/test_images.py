"""A mark of a page becomes a link into the console where that is served, and nothing else does."""

from __future__ import annotations

import html
from urllib.parse import parse_qsl, urlsplit

import pytest

from moderation.console.index.selection import Selection
from moderation.report.page import images

LOAD = "20261122T020000Z-4f1c0a9b77de"
ODD = "a \"b\" <i>c</i> & 'd' › +%2F?#ü日本"


def marked(place: str, text: str = "x") -> bytes:
    return f'<to-images data-to="{html.escape(place)}">{text}</to-images>'.encode()


@pytest.mark.parametrize(
    ("place", "chosen"),
    [
        (images.of_load(LOAD), Selection()),
        (images.of_label(LOAD, ("Violence", ODD)), Selection(node=f"Violence › {ODD}")),
        (images.of_code(LOAD, ODD), Selection(shown="failed", code=ODD)),
        (images.of_failure(LOAD, ODD), Selection(shown="failed", text=ODD)),
        (images.of_type(LOAD, "animated"), Selection(shown="all", kind="animated")),
    ],
)
def test_a_link_leads_to_the_selection_that_it_names(place, chosen):
    page = images.with_links(b"<p>" + marked(place, "<bdi>x</bdi>") + b"</p>", "/below/moderation").decode()
    link, _, rest = page.removeprefix('<p><a href="').partition('"')
    assert rest == "><bdi>x</bdi></a></p>"
    address = urlsplit(html.unescape(link))
    assert address.path == f"/below/moderation/jobs/{LOAD}"
    assert Selection.parse(dict(parse_qsl(address.query))) == chosen


@pytest.mark.parametrize(
    "place", ["", "/etc", "https://elsewhere.example/", "jobs/../../x", "jobs/a/b", "jobs/a?q=<b>"]
)
def test_a_mark_that_leads_out_of_the_jobs_stays_text(place):
    page = f'<to-images data-to="{place}">x</to-images>'.encode()
    assert images.with_links(page, "/moderation") == page


@pytest.mark.parametrize(
    "place",
    [
        images.of_label(LOAD, ("x" * 401,)),
        images.of_label(LOAD, ("unknown", "Weapons")),
        images.of_code(LOAD, "x" * 401),
        images.of_failure(LOAD, "s3://b/" + "x" * 400),
    ],
)
def test_what_the_console_could_not_look_up_has_no_link(place):
    assert place is None


def test_a_page_without_marks_is_served_as_it_was_written():
    page = '<a href="../index.html">ü</a>'.encode()
    assert images.with_links(page, "/moderation") == page


@pytest.mark.parametrize(
    ("run", "link"),
    [
        (None, b""),
        ("/dags/d/runs/a%2Bb", '<a class="back" href="/dags/d/runs/a%2Bb">Its run in Airflow →</a>'.encode()),
        ('"><script>', '<a class="back" href="&quot;&gt;&lt;script&gt;">Its run in Airflow →</a>'.encode()),
    ],
)
def test_a_page_leads_to_its_run_where_the_server_knows_it(run, link):
    page = b"<header>" + images.TO_RUN.encode() + b"</header>"
    assert images.with_links(page, "/moderation", run=run) == b"<header>" + link + b"</header>"
