"""The list of runs: each with its reports, and no text that can act."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from moderation.report.page import runs
from moderation.report.page.runs import RunSummary
from support.small_warehouse import FIRST_LOAD, SECOND_LOAD

HOSTILE = "<img src=x onerror=alert(1)>\"'&{{ 7*7 }}</style></title><script>alert(2)</script>\x1b[2J\u202e"
PUBLISHED = RunSummary(
    load_id=FIRST_LOAD,
    published=True,
    page=True,
    outcome="published",
    source="s3://archive/",
    written_at="2026-11-16T04:00:00+00:00",
    listed=8,
    moderated=4,
    failed=2,
    cost_usd=0.005,
)
NOTHING = replace(
    PUBLISHED, load_id=SECOND_LOAD, published=False, page=False, outcome="nothing new", moderated=0
)


def links(page: str) -> list[str]:
    return [link for link in re.findall(r'href="([^"]*)"', page) if link != "data:,"]


def test_each_run_links_its_completion_report_and_its_load_where_it_has_one() -> None:
    assert links(runs.render([NOTHING, PUBLISHED])) == [
        "index.html",
        f"completion/{SECOND_LOAD}/report.html",
        f"completion/{FIRST_LOAD}/report.html",
        f"loads/{FIRST_LOAD}.html",
    ]


def test_in_a_folder_only_pages_that_are_there_are_linked(tmp_path: Path) -> None:
    assert links(runs.render([PUBLISHED], pages_in=tmp_path)) == [f"completion/{FIRST_LOAD}/report.html"]


@pytest.mark.parametrize("name", ["outcome", "source"])
def test_no_text_of_a_run_can_act(name: str) -> None:
    page = runs.render([replace(PUBLISHED, **{name: HOSTILE})])  # type: ignore[arg-type]
    assert "<script" not in page
    assert "<img" not in page
    assert "\x1b" not in page
    assert "{{ 7*7 }}" in page
    assert len(links(page)) == 3


def test_a_list_without_runs_says_so() -> None:
    assert "None." in runs.render([])
