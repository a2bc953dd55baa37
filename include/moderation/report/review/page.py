"""The numbers as one HTML file: no script, nothing from elsewhere, light and dark; to be looked at or
mailed."""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from moderation.report.page import view, wording
from moderation.report.review import charts
from moderation.review.statistics.counts import KEYS
from moderation.review.statistics.drift import left_interval
from moderation.review.statistics.numbers import Numbers
from moderation.review.statistics.rates import in_words
from moderation.storage.whole_file import write_whole

MOST_CHARTS = 12
MOST_LABELS = 60
_HALF, _NARROW, _HEIGHT = 480, 330, 190
_SHARES = (("precision", "Precision"), ("missed_share", "Share missed"), ("recall", "Recall"))
_COLOURS = {"precision": "var(--good)", "recall": "var(--flag)"}
Row = dict[str, Any]


def write_page(numbers: Numbers, path: Path | str, *, now: datetime | None = None) -> None:
    """Write the page; it appears whole or not at all.

    :param now: the time that it names; the present by default.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, render(numbers, now=now).encode(), mode=0o600)


def render(numbers: Numbers, *, now: datetime | None = None) -> str:
    """The page as text."""
    css = resources.files(view.__package__).joinpath("templates", "page.css").read_text(encoding="utf-8")
    rows = numbers.rows.to_pylist()
    weeks = sorted({row["week"] for row in rows if row["week"]})
    groups = _groups(rows)
    values = {
        "css": Markup(css),  # noqa: S704 - a file of this package
        "css_hash": "sha256-" + base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        "title": "How good the answers are",
        "lede": f"Answers of the weeks from {weeks[0]} to {weeks[-1]}" if weeks else "No answers yet",
        "left": [str(left) for left in left_interval(rows)],
        "groups": groups,
        "training": [
            _toward(one) for one in numbers.training if one["false_positives"] or one["false_negatives"]
        ],
        "people": numbers.people,
        "written": wording.moment(now or datetime.now(UTC)),
    }
    return view.environment().get_template("review.html.j2").render(values)


def _groups(rows: Iterable[Row]) -> list[Row]:
    """What was answered alike: never pooled with another model's, adapter's or threshold's."""
    whole: dict[tuple[Any, ...], dict[str | None, dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    curves: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    weekly: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row["measure"].endswith("_at"):
            if row["value"] is not None:
                curves[row["model_version"], row["adapter"], row["label"]].append(row)
        elif row["week"]:
            if row["value"] is not None and row["measure"] in _COLOURS:
                weekly[(*(row[name] for name in KEYS), row["label"])].append(row)
        elif not row["content_type"] and not row["load_id"] and row["measure"] != "alpha":
            whole[tuple(row[name] for name in KEYS)][row["label"]][row["measure"]] = row
    groups = []
    for key, labels in sorted(whole.items(), key=str):
        told = {label: one for label, one in labels.items() if _is_worth(one)}
        if told:
            model, adapter, threshold = key
            charted = [
                _charted(label, curves.get((model, adapter, label), []), weekly.get((*key, label), []))
                for label in sorted(told, key=_first_any)
            ]
            groups.append(
                {
                    "name": f"Model {model}, {adapter or 'base'}, from {threshold:g} %",
                    "rows": [_row(label, told[label]) for label in sorted(told, key=_first_any)][
                        :MOST_LABELS
                    ],
                    "charts": [one for one in charted if one["charts"]][:MOST_CHARTS],
                }
            )
    return groups


def _first_any(label: str | None) -> str:
    return label or ""


def _is_worth(measures: dict[str, Row]) -> bool:
    names = ("tp", "fp", "fn", "not_verified")
    return any(measures[name]["value"] for name in names if name in measures)


def _row(label: str | None, measures: dict[str, Row]) -> Row:
    counts = {name: int(measures[name]["value"]) for name in ("tp", "fp", "fn")}
    left = measures.get("not_verified")
    shares = []
    for measure, name in _SHARES:
        row = measures[measure]
        if row["value"] is None:
            shares.append({"name": name, "says": "not measurable", "note": row["reason"]})
        else:
            says, _, note = in_words(row).rpartition(", ")
            shares.append({"name": name, "says": says, "note": f"{note}; {row['population']}"})
    not_verified = int(left["value"]) if left else 0
    return {"name": label or "Any label", **counts, "not_verified": not_verified, "shares": shares}


def _charted(label: str | None, curve: Sequence[Row], weekly: Sequence[Row]) -> Row:
    drawn = []
    for measure, name in (("precision", "Precision"), ("recall", "Recall")):
        points = [row for row in curve if row["measure"] == f"{measure}_at"]
        if len(points) > 1:
            drawn.append(_chart(f"{name} by threshold", charts.by_threshold, points, measure, "threshold"))
        weeks = [row for row in weekly if row["measure"] == measure]
        if len(weeks) > 1:
            drawn.append(_chart(f"{name} by week", charts.by_week, weeks, measure, "week"))
    return {"name": label or "Any label", "charts": drawn}


def _chart(name: str, draw: Any, rows: Sequence[Row], measure: str, by: str) -> Row:
    ordered = sorted(rows, key=lambda row: row[by])
    latest = ordered[0] if by == "threshold" else ordered[-1]
    at = f"from {latest[by]:g}%" if by == "threshold" else f"in the week of {latest[by]}"
    return {
        "name": name,
        "says": f"{in_words(latest)} {at}.",
        "drawing": {
            "wide": draw(ordered, colour=_COLOURS[measure], width=_HALF, height=_HEIGHT),
            "narrow": draw(ordered, colour=_COLOURS[measure], width=_NARROW, height=_HEIGHT),
        },
        "table": {
            "heads": (by.title(), "Share", "From", "To", "Found", "Of"),
            "rows": [
                (
                    f"{row[by]:g}%" if by == "threshold" else row[by],
                    *(f"{row[end]:.1%}" for end in ("value", "low", "high")),
                    f"{row['k']:,}",
                    f"{row['n']:,}",
                )
                for row in ordered
            ],
        },
    }


def _toward(one: Row) -> str:
    return (
        f"{one['label']}: false positives {one['false_positives']} of {one['false_positives_needed']}, false "
        f"negatives {one['false_negatives']} of {one['false_negatives_needed']}: {one['next']}"
    )
