"""What the report page shows, read from the warehouse. Ready queries give the figures where there is one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import duckdb

from moderation.policy.thresholds import Thresholds
from moderation.query import queries
from moderation.reference.taxonomy import taxonomy
from moderation.report.page.parts import counted
from moderation.warehouses.views.in_use import THRESHOLDS_VIEW

_LOADS = "SELECT * FROM loads ORDER BY published_at DESC NULLS LAST, load_id DESC"
"""All columns: a warehouse lacks those of a later release until the next load."""

_COSTS = """
SELECT coalesce(model_version, 'unknown') AS model_version, coalesce(sum(billed), 0)::BIGINT AS billed,
    coalesce(sum(cost_usd), 0) AS cost_usd
FROM jobs GROUP BY 1
"""

_FAILED_JOBS = """
SELECT manifest_id, status, failure_code, failure_message, images
FROM jobs WHERE status <> 'SUCCEEDED' ORDER BY images DESC, manifest_id
"""


@dataclass(frozen=True)
class Period:
    """One bar of the charts over time: a day, a week from Monday, or a month."""

    start: date
    moderated: int = 0
    failed: int = 0
    not_attempted: int = 0
    flagged: int = 0
    cost_usd: float = 0.0
    flagged_by_l1: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Branch:
    """A label of the tree, with the images it was found in and the labels below it."""

    name: str
    images: int
    in_taxonomy: bool
    below: tuple[Branch, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Images that failed with one code."""

    code: str
    images: int
    last_day: date
    example: str
    message: str


@dataclass(frozen=True)
class OfModel:
    """What one model has answered, every answer counted, and its price."""

    name: str
    moderated: int
    flagged: int
    billed: int
    cost_usd: float


@dataclass(frozen=True)
class Report:
    """Everything on one page. Counts of images take each image's latest answer once.

    :param step: ``day``, ``week`` or ``month``: what a period is.
    :param content_types: (content type, images, of these flagged), most first.
    :param histograms: by L1: (lower end of a step of five percent, labels).
    :param loads: rows of `loads`, newest first, as dictionaries.
    :param failed_jobs: rows of `jobs` that did not succeed, as dictionaries.
    :param models: most answers first.
    :param thresholds: from where on a label counts.
    :param lacks: what of all that is published the figures do not hold, in one line; None for nothing.
    """

    step: str
    periods: tuple[Period, ...]
    tree: tuple[Branch, ...]
    content_types: tuple[tuple[str, int, int], ...]
    histograms: dict[str, tuple[tuple[int, int], ...]]
    failures: tuple[Failure, ...]
    backlog: int
    loads: tuple[dict[str, Any], ...]
    failed_jobs: tuple[dict[str, Any], ...]
    models: tuple[OfModel, ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)
    lacks: str | None = None

    @property
    def moderated(self) -> int:
        """Images that have an answer."""
        return sum(images for _, images, _ in self.content_types)

    @property
    def flagged(self) -> int:
        """Images whose latest answer lists a label."""
        return sum(flagged for *_, flagged in self.content_types)

    @property
    def failed(self) -> int:
        """Images without an answer because they failed."""
        return sum(failure.images for failure in self.failures)

    @property
    def cost_usd(self) -> float:
        """What all loads of the page cost."""
        return float(sum(load["cost_usd"] for load in self.loads))

    @property
    def billed(self) -> int:
        """Images that were paid for, each repetition counted."""
        return sum(load["billed"] for load in self.loads)


def read(connection: duckdb.DuckDBPyConnection) -> Report:
    """Read a page's figures; the connection decides whether these are of all loads or of one.

    :raises duckdb.Error: the warehouse lacks a table or column of :mod:`moderation.schema`.
    """
    volume = _ready(connection, "images_by_day_and_status")
    step = _step([row["dt"] for row in volume])
    backlog = _ready(connection, "not_attempted_backlog")
    failures = _ready(connection, "failures_by_code")
    origins = _origins(connection, [row["example_source_ref"] for row in failures])
    return Report(
        step=step,
        periods=_periods(connection, volume, step),
        tree=_tree(counted(connection, "images_by_label", by=("l1", "l2", "l3"), counts=("images",))),
        content_types=_content_types(connection),
        histograms=_histograms(_ready(connection, "confidence_histogram")),
        failures=tuple(
            Failure(
                row["error_code"],
                row["images"],
                row["last_day"],
                origins.get(row["example_source_ref"], row["example_source_ref"]),
                row["example_message"] or "",
            )
            for row in failures
        ),
        backlog=sum(row["images"] for row in backlog),
        loads=tuple(_rows(connection, _LOADS)),
        failed_jobs=tuple(_rows(connection, _FAILED_JOBS)),
        models=_models(connection),
        thresholds=_thresholds(connection),
    )


def _thresholds(connection: duckdb.DuckDBPyConnection) -> Thresholds:
    rows = _rows(connection, f"SELECT * FROM {THRESHOLDS_VIEW}")  # noqa: S608 - a name of ours
    found = {row["label"]: row["from_percent"] for row in rows}
    return Thresholds(version=rows[0]["version"], default=found.pop(None), labels=found)


def _models(connection: duckdb.DuckDBPyConnection) -> tuple[OfModel, ...]:
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for row in _ready(connection, "model_drift_by_week"):
        answers[row["model_version"]].update(moderated=row["moderated"], flagged=row["flagged"])
    prices = {row["model_version"]: row for row in _rows(connection, _COSTS)}
    found = (
        OfModel(
            name,
            answers[name]["moderated"],
            answers[name]["flagged"],
            prices[name]["billed"] if name in prices else 0,
            prices[name]["cost_usd"] if name in prices else 0.0,
        )
        for name in answers.keys() | prices.keys()
    )
    return tuple(sorted(found, key=lambda model: (-model.moderated, model.name)))


def _ready(connection: duckdb.DuckDBPyConnection, name: str) -> list[dict[str, Any]]:
    return _rows(connection, queries.query(name).sql)


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _step(days: list[date]) -> str:
    """At most about a hundred bars: days for a quarter, weeks for two years, then months."""
    span = (max(days) - min(days)).days if days else 0
    return "day" if span <= 92 else "week" if span <= 732 else "month"


def period_start(day: date, step: str) -> date:
    """The first day of the period that ``day`` is in."""
    if step == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if step == "month" else day


def _periods(
    connection: duckdb.DuckDBPyConnection, volume: list[dict[str, Any]], step: str
) -> tuple[Period, ...]:
    counts: dict[date, Counter[str]] = defaultdict(Counter)
    for row in volume:
        counts[period_start(row.pop("dt"), step)].update(row)
    cost: dict[date, float] = defaultdict(float)
    for row in _ready(connection, "cost_per_1000"):
        cost[period_start(row["dt"], step)] += float(row["cost_usd"])
    flagged: dict[date, Counter[str]] = defaultdict(Counter)
    for row in _ready(connection, "flag_rate_by_day_and_l1"):
        flagged[period_start(row["dt"], step)][row["l1"]] += row["flagged"]
    return tuple(
        Period(
            start=start,
            moderated=counts[start]["moderated"],
            failed=counts[start]["failed"],
            not_attempted=counts[start]["not_attempted"],
            flagged=counts[start]["flagged"],
            cost_usd=cost[start],
            flagged_by_l1=flagged[start],
        )
        for start in sorted(counts.keys() | cost.keys())
    )


def _origins(connection: duckdb.DuckDBPyConnection, refs: list[str]) -> dict[str, str]:
    """Of images whose path or key a person knows by another name, that name."""
    named = connection.execute(
        "SELECT 1 FROM duckdb_columns() WHERE table_name = 'images' AND column_name = 'origin'"
    )
    if not refs or not named.fetchone():  # a warehouse that an earlier release has loaded
        return {}
    found = connection.execute(
        "SELECT source_ref, max(origin) FROM images WHERE origin IS NOT NULL AND source_ref IN "
        "(SELECT unnest(?)) GROUP BY 1",
        [refs],
    )
    return dict(found.fetchall())


def _tree(rows: list[dict[str, Any]]) -> tuple[Branch, ...]:
    below: dict[tuple[str, ...], list[tuple[tuple[str, ...], int]]] = defaultdict(list)
    for row in rows:
        path = tuple(row[level] for level in ("l1", "l2", "l3") if row[level] is not None)
        below[path[:-1]].append((path, row["images"]))
    known = taxonomy()

    def branches(parent: tuple[str, ...]) -> tuple[Branch, ...]:
        """Most images first, then by name."""
        return tuple(
            Branch(path[-1], images, known.lookup(path[-1]) is not None, branches(path))
            for path, images in sorted(below.get(parent, ()), key=lambda found: (-found[1], found[0]))
        )

    return branches(())


def _content_types(connection: duckdb.DuckDBPyConnection) -> tuple[tuple[str, int, int], ...]:
    """Most images first, then by name."""
    rows = counted(connection, "content_type_split", by=("content_type",), counts=("images", "flagged"))
    found = ((row["content_type"], row["images"], row["flagged"]) for row in rows)
    return tuple(sorted(found, key=lambda row: (-row[1], row[0])))


def _histograms(rows: list[dict[str, Any]]) -> dict[str, tuple[tuple[int, int], ...]]:
    steps: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in rows:
        steps[row["l1"]].append((row["from_percent"], row["labels"]))
    return {l1: tuple(found) for l1, found in steps.items()}
