"""The price before the spend: where the limit lies, and what a person reads."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from moderation.plan.plan import Plan, PlanError
from moderation.plan.price import Spending, estimate
from moderation.settings import Settings
from support.planned_runs import make_manifest, make_plan

MANIFEST = make_manifest("m", "s3://b/m", lines=3)


def plan(cost: float = 0.003, **seconds: float | None) -> Plan:
    return make_plan(
        [MANIFEST],
        expected_cost_usd=cost,
        expected_seconds=seconds or {"bulk": 61.0, "detect": 3725.0},
    )


def spending(limit: float | None, *, backend: str = "bulk", **changes: float | None) -> Spending:
    found = plan(**changes)  # type: ignore[arg-type]
    return Spending(plan=found, backend=backend, cost_usd=found.expected_cost_usd, limit_usd=limit)


@pytest.mark.parametrize(
    ("limit", "over"), [(None, False), (0.003, False), (0.0030001, False), (0.0029999, True), (0, True)]
)
def test_a_plan_may_cost_exactly_its_limit_and_no_more(limit: float | None, over: bool) -> None:
    assert spending(limit).is_over is over


def test_a_limit_of_nothing_lets_a_plan_without_price_through() -> None:
    assert not spending(0, cost=0.0).is_over


@pytest.mark.parametrize("limit", [-0.01, math.nan, math.inf, -math.inf])
def test_a_limit_that_limits_nothing_is_refused(limit: float) -> None:
    with pytest.raises(PlanError, match=r"max_cost_usd=.*expected US dollars, 0 or more"):
        spending(limit)


def test_the_text_tells_images_jobs_price_and_the_time_by_each_backend() -> None:
    text = spending(0.5).text()
    for said in (
        "to analyse            3, by 1 jobs (backend bulk)",
        "price at most         0.0030 USD",
        "price limit           0.5000 USD (max_cost_usd)",
        "time by bulk jobs     about 1 min 01 s under the quotas (chosen)",
        "time by single calls  about 1 h 02 min 05 s under the quotas\n",
    ):
        assert said in text, said


class Table(HTMLParser):
    """Text of each cell of the tables that a browser shows, and the tags around it."""

    def __init__(self, markdown: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.feed(MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.rstrip("\n")


@pytest.mark.parametrize(
    "source",
    [
        "s3://bucket/a|b|c",
        "s3://bucket/**a** _b_ `c` ~~d~~ [e](http://e.example) ![f](g) <img src=x onerror=alert(1)>",
        "s3://bucket/\\| \\\\ &amp; &lt;b&gt; www.h.example\u202e",
    ],
)
def test_as_a_table_each_line_is_a_row_and_no_name_is_taken_for_markup(source: str) -> None:
    asked = spending(0.001)
    asked = replace(asked, plan=replace(asked.plan, source=source))

    table = Table(asked.markdown())

    assert table.tags == {"table", "thead", "tbody", "tr", "th", "td"}
    assert all(len(row) == 2 for row in table.rows)
    cells = dict(table.rows[1:])
    assert cells["source"] == source.replace("\u202e", " ").strip()
    assert cells["price limit"] == "0.0010 USD (max_cost_usd), exceeded"
    assert list(cells)[:2] == ["price at most", "price limit"]
    assert all(f"{name:<22}" in asked.text() for name in cells)


def test_a_region_without_bulk_jobs_is_told() -> None:
    text = spending(None, backend="detect", bulk=None, detect=3.0).text()
    assert "time by bulk jobs     not offered in this region" in text
    assert "(chosen)" in text


def test_a_limit_that_the_plan_exceeds_is_told_as_exceeded() -> None:
    assert "price limit           0.0010 USD (max_cost_usd), exceeded\n" in spending(0.001).text()


def test_before_the_backend_is_chosen_none_is_told() -> None:
    assert "3, by 1 jobs or single calls (backend auto)" in spending(None, backend="auto").text()


def test_who_was_asked_is_not_told_to_ask() -> None:
    assert "or on_over_budget=ask" in spending(0.001).refusal()
    asked = spending(0.001).refusal(answer="nobody approved it in time")
    assert "allows 0.0010; nobody approved it in time. Nothing was sent" in asked
    assert "Clear the task approve" in asked
    assert "on_over_budget" not in asked


SETTINGS = Settings.from_env({"MODERATION_BULK_JOB_IMAGES_PER_SECOND": "10"})


def test_single_calls_take_the_images_over_the_quota():
    assert estimate(SETTINGS, manifest_lines=[1000, 500], adapter=None).detect_seconds == 30
    elsewhere = replace(SETTINGS, region="eu-central-1")
    assert estimate(elsewhere, manifest_lines=[1000, 500], adapter=None).detect_seconds == 300
    own_quota = replace(SETTINGS, detect_tps=100)
    assert estimate(own_quota, manifest_lines=[1000, 500], adapter=None).detect_seconds == 15


def test_jobs_run_side_by_side_up_to_the_quota():
    two_at_once = replace(SETTINGS, bulk_concurrent_jobs=2)

    assert estimate(two_at_once, manifest_lines=[100, 100, 100], adapter=None).bulk_seconds == 20
    assert estimate(SETTINGS, manifest_lines=[100, 100, 100], adapter=None).bulk_seconds == 10
    assert estimate(SETTINGS, manifest_lines=[], adapter=None).bulk_seconds == 0


def test_a_region_without_jobs_has_no_time_for_them():
    assert (
        estimate(replace(SETTINGS, region="sa-east-1"), manifest_lines=[1], adapter=None).bulk_seconds is None
    )


def test_an_adapters_answers_have_their_own_price():
    assert estimate(SETTINGS, manifest_lines=[1000], adapter=None).cost_usd == Decimal(1)
    assert estimate(SETTINGS, manifest_lines=[1000], adapter="arn").cost_usd == Decimal("1.2")
