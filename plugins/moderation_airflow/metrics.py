"""What a run did as metrics, through Airflow to StatsD or OpenTelemetry, whichever it is set to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
