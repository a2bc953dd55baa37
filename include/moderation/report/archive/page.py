"""The estimate of an archive as one HTML file: no script, nothing from elsewhere, light and dark."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from moderation.archive.dry_run import DryRun
from moderation.archive.estimate import Estimate
from moderation.archive.schedule import Way
from moderation.plan.price import duration
from moderation.report.archive import charts
from moderation.report.page import view, wording
from moderation.storage.whole_file import write_whole

_HALF, _NARROW, _HEIGHT = 480, 330, 170
MOST_CHUNKS = 400


def write_page(estimate: Estimate, path: Path | str) -> None:
    """Write the page; it appears whole or not at all, and can be read by its owner alone."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, render(estimate).encode(), mode=0o600)


def render(estimate: Estimate) -> str:
    """The page as text."""
    css = resources.files(view.__package__).joinpath("templates", "page.css").read_text(encoding="utf-8")
    survey = estimate.survey
    quick, cheap = estimate.fastest, estimate.cheapest
    values: dict[str, Any] = {
        "css": Markup(css),  # noqa: S704 - a file of this package
        "css_hash": "sha256-" + base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        "title": "What an archive costs and takes",
        "source": survey.source,
        "figures": _figures(estimate),
        "counts": _counts(estimate),
        "beside": estimate.beside,
        "quotas": f"{estimate.jobs_at_once:,} bulk jobs at once; {estimate.calls_per_second:g} single calls "
        f"a second by {estimate.calls_by}",
        "sides": [_side("Fastest", quick), _side("Cheapest", cheap)],
        "same": quick == cheap,
        "ways": [_way(way) for way in estimate.ways],
        "run": _run(estimate.dry_run) if estimate.dry_run else None,
        "written": wording.moment(estimate.made_at),
    }
    return view.environment().get_template("archive.html.j2").render(values)


def _figures(estimate: Estimate) -> list[tuple[str, str, str]]:
    quick, cheap = estimate.fastest, estimate.cheapest
    survey = estimate.survey
    return [
        ("Images to analyse", f"{survey.to_analyse:,}", f"of {survey.listed:,} found"),
        ("Paid for", f"{estimate.paid:,}", wording.percent(estimate.paid, survey.to_analyse)),
        ("Bulk jobs", f"{estimate.jobs:,}", f"{estimate.jobs_at_once:,} at once"),
        ("At least", wording.dollars(float(cheap.cost_usd)), f"by {cheap.backend}"),
        ("Done first", wording.day(quick.ends.date()), f"by {quick.backend}"),
    ]


def _counts(estimate: Estimate) -> list[tuple[str, int, str]]:
    """What became of everything that was found, with the reason where there is one."""
    survey = estimate.survey
    rows = [("found", survey.listed, "")]
    rows += [("no image", count, rule) for rule, count in survey.no_images.items()]
    rows += [("already moderated", survey.already_moderated, "")]
    rows += [("refused before", count, code) for code, count in survey.refused_before.items()]
    rows += [("cannot be sent", count, code) for code, count in survey.cannot_be_sent.items()]
    rows += [("to analyse", survey.to_analyse, "")]
    copies = survey.to_analyse - survey.contents
    rows.append(("of these copies of others", copies, "by ETag and size"))
    return [*rows, ("contents known by other keys", survey.known, "answered by earlier loads")]


def _side(name: str, way: Way) -> dict[str, Any]:
    rows = [
        (month.month, f"{month.images:,}", wording.dollars(float(month.cost_usd))) for month in way.months
    ]
    drawing = {
        size: charts.by_month(way.months, width=width, height=_HEIGHT) if way.months else ""
        for size, width in (("wide", _HALF), ("narrow", _NARROW))
    }
    return {
        "name": name,
        **_way(way),
        "drawing": drawing if way.months else None,
        "says": f"{wording.dollars(float(way.cost_usd))} over {_months(len(way.months))} (UTC).",
        "table": {"heads": ("Month", "Images", "Price"), "rows": rows},
    }


def _months(number: int) -> str:
    return "one calendar month" if number == 1 else f"{number:,} calendar months"


def _way(way: Way) -> dict[str, Any]:
    return {
        "backend": {"bulk": "bulk jobs", "detect": "single calls", "both": "both together"}[way.backend],
        "pace": f"{way.images_per_second:,.1f}",
        "begins": wording.moment(way.begins),
        "ends": wording.moment(way.ends),
        "takes": duration((way.ends - way.begins).total_seconds()),
        "cost": wording.dollars(float(way.cost_usd)),
    }


def _run(run: DryRun) -> dict[str, Any]:
    return {
        "says": f"{len(run.chunks):,} chunks by {run.backend}, {wording.dollars(run.cost_usd)}, done "
        f"{wording.moment(run.ends)}.",
        "waited": [f"{days:,} day{'s' * (days > 1)} waiting for {why}" for why, days in run.waited.items()],
        "chunks": [
            {
                "number": chunk.number,
                "images": chunk.images,
                "paid": chunk.paid,
                "begins": wording.moment(chunk.begins),
                "ends": wording.moment(chunk.ends),
                "cost": wording.dollars(chunk.cost_usd),
            }
            for chunk in run.chunks[:MOST_CHUNKS]
        ],
        "more": max(0, len(run.chunks) - MOST_CHUNKS),
    }
