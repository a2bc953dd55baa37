"""From figures to HTML: what the page says, in words and drawings, put into autoescaped templates."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from moderation.plan.ledger import Model
from moderation.reference import error_codes
from moderation.report.offline import notice
from moderation.report.page import charts, images, wording
from moderation.report.page.data import Branch, Period, Report

MOST_CATEGORIES = 24
MOST_CHILDREN = 40
MOST_FAILURES = 20
MOST_LOADS = 20
_LONGEST_TEXT = 300
_WIDE, _HALF, _NARROW, _SMALL = 1070, 505, 330, 200
Drawings = dict[str, Markup]


def render(
    report: Report,
    *,
    load: Mapping[str, Any] | None,
    links: Mapping[str, str],
    beside: str | None,
    written: datetime,
    command: str = "moderation",
) -> str:
    """The whole page as text.

    :param report: the figures, of all loads or of one.
    :param load: that load's row of `loads`, or None for all.
    :param links: address of each load's page, where there is one.
    :param beside: address of the load's completion report, or of the list of runs; None where there is none.
    :param written: when the page was made.
    :param command: how a person calls the command line.
    """
    css = resources.files(__package__).joinpath("templates", "page.css").read_text(encoding="utf-8")
    values: dict[str, Any] = {
        "css": Markup(css),  # noqa: S704 - a file of this package
        "css_hash": "sha256-" + base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        "report": report,
        "load": load,
        "title": "Image moderation: one load" if load else "Image moderation",
        "lede": _lede(report, load),
        "notice": notice({model.name: model.moderated for model in report.models}),
        "figures": _figures(report),
        "tree": _shown_tree(report.tree),
        "categories": _categories(report, over_time=load is None),
        "loads": [dict(row) | {"href": links.get(row["load_id"])} for row in report.loads[:MOST_LOADS]],
        "most_failures": MOST_FAILURES,
        "beside": beside,
        "written": written,
        "command": command,
        # The console has the names as they were answered; those of model 6.1 are others than these.
        "labels_known": not (load and any(name.startswith("6") for name in _answered_by(report))),
    }
    if load:
        facts = _facts(load, _answered_by(report))
        values |= {"inputs": _inputs(load), "facts": facts, "digits": _digits(load["listed"])}
    elif report.periods:
        values |= {"volume": _volume(report), "rate": _rate(report), "cost": _cost(report)}
    return environment().get_template("page.html.j2").render(values)


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """The templates of this package, autoescaped, with the filters that they use."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("moderation.report.page.write"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals["ways"] = images
    made.filters.update(
        count=wording.count,
        percent=wording.percent,
        dollars=wording.dollars,
        size=wording.size,
        moment=wording.moment,
        foreign=wording.foreign,
        remedy=error_codes.remedy,
        is_offline=lambda model: Model.parse(model).is_offline,
        short=lambda text: text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…",
        content_type=wording.content_type,
    )
    return made


def _lede(report: Report, load: Mapping[str, Any] | None) -> str:
    if load:
        return (
            f"Published {wording.moment(load['published_at'])} from {load['source'] or 'an unnamed source'}"
        )
    if not report.loads:
        return "Nothing has been published yet."
    days = [row["dt"] for row in report.loads]
    number = len(report.loads)
    return f"{wording.days(min(days), max(days))}, {wording.count(number)} load{'s' if number > 1 else ''}"


def _figures(report: Report) -> list[dict[str, str]]:
    answered = report.moderated + report.failed
    per_1000 = (
        f"{wording.dollars(1000 * report.cost_usd / report.billed)} per 1,000" if report.billed else "–"
    )
    offline = sum(model.billed for model in report.models if Model.parse(model.name).is_offline)
    return [
        {
            "name": "Images moderated",
            "value": wording.count(report.moderated),
            "note": f"{wording.count(report.billed - offline)} billed",
        },
        {
            "name": "Flagged",
            "value": wording.percent(report.flagged, report.moderated),
            "note": f"{wording.count(report.flagged)} images",
        },
        {
            "name": "Failed",
            "value": wording.count(report.failed),
            "note": f"{wording.percent(report.failed, answered)} of those tried" if answered else "–",
        },
        {
            "name": "Not attempted",
            "value": wording.count(report.backlog),
            "note": "the next run takes them" if report.backlog else "nothing is owed",
        },
        {
            "name": "Price on AWS" if offline else "Cost",
            "value": wording.dollars(report.cost_usd),
            "note": "nothing of it was billed" if offline and offline == report.billed else per_1000,
        },
    ]


def _shown_tree(tree: Sequence[Branch]) -> dict[str, Any]:
    """The tree without the tail that a hostile or broken answer could add."""

    def cut(branches: Sequence[Branch]) -> tuple[Branch, ...]:
        return tuple(
            Branch(branch.name, branch.images, branch.in_taxonomy, cut(branch.below))
            for branch in branches[:MOST_CHILDREN]
        )

    most = max((branch.images for branch in tree), default=1)
    return {
        "shown": cut(tree[:MOST_CATEGORIES]),
        "most": most,
        "digits": _digits(most),
        "left_out": max(0, len(tree) - MOST_CATEGORIES),
    }


def _digits(most: int) -> int:
    """Room for the numbers beside bars, as the style sheet knows it."""
    return 5 if most < 10_000 else 7 if most < 1_000_000 else 9


def _categories(report: Report, *, over_time: bool) -> list[dict[str, Any]]:
    lowest = min((start for steps in report.histograms.values() for start, _ in steps), default=50)
    rows = []
    for branch in report.tree[:MOST_CATEGORIES]:
        row: dict[str, Any] = {"name": branch.name, "rate": None, "histogram": None}
        row["steps"] = report.histograms.get(branch.name, ())
        if row["steps"]:
            row["histogram"] = charts.histogram(row["steps"], lowest=lowest, width=_SMALL, height=84)
            labels = sum(number for _, number in row["steps"])
            sure = sum(number for start, number in row["steps"] if start >= 90)
            row["histogram_says"] = f"{wording.percent(sure, labels)} at 90% or more"
        if over_time:
            row["rate"] = charts.flag_rate(
                report.periods, report.step, width=_SMALL, height=84, flagged=_flagged_in(branch.name)
            )
            row["rate_says"] = _change(report.periods, _flagged_in(branch.name))
        rows.append(row)
    return rows


def _flagged_in(l1: str) -> Callable[[Period], int]:
    return lambda period: period.flagged_by_l1.get(l1, 0)


def _change(periods: Sequence[Period], flagged: Callable[[Period], int]) -> str:
    """The latest rate in words, and the one before."""
    rates = [(flagged(period), period.moderated) for period in periods if period.moderated]
    if not rates:
        return "none moderated"
    said = wording.percent(*rates[-1])
    return f"{said}, before {wording.percent(*rates[-2])}" if len(rates) > 1 else said


def _both(draw: Callable[..., Markup], report: Report, *, wide: int, height: int) -> Drawings:
    return {
        "wide": draw(report.periods, report.step, width=wide, height=height),
        "narrow": draw(report.periods, report.step, width=_NARROW, height=190),
    }


def _volume(report: Report) -> dict[str, Any]:
    parts = (
        ("moderated", "good", sum(period.moderated for period in report.periods)),
        ("failed", "bad", sum(period.failed for period in report.periods)),
        ("not attempted", "wait", sum(period.not_attempted for period in report.periods)),
    )
    busiest = max(report.periods, key=lambda period: period.moderated)
    says = (
        f"Most were moderated by runs for the {report.step} of {wording.day(busiest.start)}: "
        f"{wording.count(busiest.moderated)}."
    )
    rows = [
        (
            wording.day(period.start),
            *map(wording.count, (period.moderated, period.failed, period.not_attempted)),
        )
        for period in reversed(report.periods)
    ]
    return {
        "drawing": _both(charts.volume, report, wide=_WIDE, height=230),
        "says": says if report.step != "day" else says.replace("the day of ", ""),
        "table": {"heads": (report.step.title(), "Moderated", "Failed", "Not attempted"), "rows": rows},
        "key": [{"name": f"{name} {wording.count(n)}", "fill": fill} for name, fill, n in parts],
    }


def _rate(report: Report) -> dict[str, Any]:
    says = f"Latest {report.step} {_change(report.periods, lambda period: period.flagged)}."
    rows = [
        (
            wording.day(period.start),
            wording.count(period.flagged),
            wording.percent(period.flagged, period.moderated),
        )
        for period in reversed(report.periods)
    ]
    return {
        "drawing": _both(charts.flag_rate, report, wide=_HALF, height=210),
        "says": says,
        "table": {"heads": (report.step.title(), "Flagged", "Share"), "rows": rows},
    }


def _cost(report: Report) -> dict[str, Any]:
    mean = wording.dollars(report.cost_usd / len(report.periods))
    rows = [
        (wording.day(period.start), wording.dollars(period.cost_usd)) for period in reversed(report.periods)
    ]
    return {
        "drawing": _both(charts.cost, report, wide=_HALF, height=210),
        "says": f"{mean} a {report.step} with loads on average, {wording.dollars(report.cost_usd)} in all.",
        "table": {"heads": (report.step.title(), "Cost"), "rows": rows},
    }


def _inputs(load: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": "Moderated", "images": load["moderated"], "fill": "good"},
        {"name": "Failed", "images": load["failed"], "fill": "bad"},
        {"name": "Not attempted", "images": load["not_attempted"], "fill": "wait"},
        *_before(load),
        {"name": "No image at all", "images": load["ignored"], "fill": "plain"},
    ]


def _before(load: Mapping[str, Any]) -> list[dict[str, Any]]:
    moderated, refused = load["already_moderated"], load.get("refused_before")
    if refused is None:  # a load of an earlier release
        return [{"name": "Moderated or refused before", "images": moderated, "fill": "plain"}]
    return [
        {"name": "Already moderated before", "images": moderated, "fill": "plain"},
        {"name": "Refused before, unchanged", "images": refused, "fill": "plain"},
    ]


def _answered_by(report: Report) -> list[str]:
    return sorted(model.name for model in report.models if model.moderated)


def _facts(load: Mapping[str, Any], models: list[str]) -> list[dict[str, str]]:
    threshold = load["min_confidence"]
    facts = {
        "Load": load["load_id"],
        "Run": load["run_key"],
        "Source": load["source"],
        "Model": " and ".join(models),
        "Adapter": load["adapter"] or "none, the base model",
        "Least confidence": None if threshold is None else f"{threshold:g}%",
        "Manifests": wording.count(load["manifests"]),
        "Files": f"{wording.count(load['files'])}, {wording.size(load['bytes'])}",
    }
    return [{"name": name, "value": value or "–"} for name, value in facts.items()]
