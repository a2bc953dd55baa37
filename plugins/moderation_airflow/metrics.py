"""What a run did as metrics, through Airflow to StatsD or OpenTelemetry, whichever it is set to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.observability import stats

PREFIX = "moderation"


def emit(load: Mapping[str, Any], *, calls: Iterable[Mapping[str, Any]] = ()) -> None:
    """
    Send the counts of a published load.

    Counters ``moderation.images``, ``.images.moderated``, ``.images.failed``, ``.images.not_attempted``,
    ``.jobs``, ``.failures`` and ``.throttles``; gauge ``moderation.cost_usd``, the price of this load.

    :param load: its row of ``loads``.
    :param calls: what the tasks of DetectModerationLabels returned.
    """
    counts = {
        "images": load["images"],
        "images.moderated": load["moderated"],
        "images.failed": load["failed"],
        "images.not_attempted": load["not_attempted"],
        "jobs": load["manifests"],
        "failures": load["failed"] + load["not_attempted"],
        "throttles": sum(int(outcome["throttles"]) for outcome in calls),
    }
    for name, count in counts.items():
        stats.incr(f"{PREFIX}.{name}", int(count))
    stats.gauge(f"{PREFIX}.cost_usd", float(load["cost_usd"]))


def emit_verdicts(published: int, *, waiting: tuple[int, datetime | None]) -> None:
    """
    Send what a publish of verdicts did.

    Counter ``moderation.verdicts.published``; gauges ``moderation.verdicts.waiting``, how many the table
    still lacks, and ``moderation.verdicts.waiting_seconds``, for how long the oldest of them.

    :param waiting: of the log, afterwards.
    """
    number, oldest = waiting
    age = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
    stats.incr(f"{PREFIX}.verdicts.published", published)
    stats.gauge(f"{PREFIX}.verdicts.waiting", number)
    stats.gauge(f"{PREFIX}.verdicts.waiting_seconds", max(0.0, age))
