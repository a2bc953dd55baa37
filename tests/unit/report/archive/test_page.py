from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from moderation.archive.backfill.state import Options
from moderation.archive.estimate import estimate
from moderation.archive.schedule import Beside
from moderation.archive.survey import Survey
from moderation.report.archive.page import render
from moderation.settings import Settings

SETTINGS = replace(Settings.from_env({}), region="us-east-1")


def page(images=3_000_000, rehearse=None, source="s3://archive/photos"):
    survey = Survey(
        source=source,
        listed=images + 3,
        no_images={"<img src=x>": 2},
        already_moderated=0,
        refused_before={},
        cannot_be_sent={"ImageTooLarge": 1},
        to_analyse=images,
        contents=images // 2,
        size_bytes=None,
    )
    return render(
        estimate(
            SETTINGS,
            survey,
            beside=Beside(),
            now=datetime(2026, 11, 29, tzinfo=UTC),
            adapter=None,
            calls_by="AWS's published default",
            rehearse=rehearse,
        )
    )


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.append(tag)


def test_fastest_and_cheapest_stand_side_by_side_with_months_as_a_chart_and_a_table():
    text = page()
    assert "Fastest: $1,400.00" in text
    assert "Cheapest: $1,400.00" in text
    assert Tags(text).found.count("figure") == 2
    assert "ImageTooLarge" in text


def test_a_dry_run_is_a_row_a_chunk():
    text = page(rehearse=Options(day_usd=1_100.0))
    assert "waiting for budget of the day" in text
    assert text.count('data-name="Paid for"') == 3


def test_it_needs_no_script_and_nothing_from_elsewhere_and_foreign_names_are_text():
    text = page(source="s3://archive/<script>alert(1)</script>\u202e")
    tags = Tags(text).found
    assert not {"script", "img", "iframe", "form"} & set(tags)
    assert "default-src 'none'" in text
    assert "\u202e" not in text


@pytest.mark.parametrize("images", [0, 1, 2])
def test_the_smallest_archives_have_a_page_too(images):
    assert "What an archive costs" in page(images=images, rehearse=Options())
