"""What a run did as metrics, through Airflow to StatsD or OpenTelemetry, whichever it is set to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk.observability import stats

if TYPE_CHECKING:
    from moderation.review.health import Health

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


def emit_verdicts(published: int) -> None:
    """Send what a publish of verdicts did: counter ``moderation.verdicts.published``."""
    stats.incr(f"{PREFIX}.verdicts.published", published)


def emit_review(health: Health) -> None:
    """
    Send how the work of reviewing stands, after a publish that failed too.

    Gauges ``moderation.verdicts.waiting``, how many the table still lacks, and ``.waiting_seconds``, for how
    long the oldest of them; ``moderation.review.backlog``, items that wait for a person, and
    ``.oldest_seconds``, for how long the oldest of them.
    """
    stats.gauge(f"{PREFIX}.verdicts.waiting", health.unpublished)
    stats.gauge(f"{PREFIX}.verdicts.waiting_seconds", health.unpublished_seconds)
    stats.gauge(f"{PREFIX}.review.backlog", health.backlog)
    stats.gauge(f"{PREFIX}.review.oldest_seconds", health.oldest_seconds)


def emit_new_verdicts(contents: int) -> None:
    """Send gauge ``moderation.adapters.new_verdicts``: images decided since the newest adapter's training."""
    stats.gauge(f"{PREFIX}.adapters.new_verdicts", contents)


def emit_precision_left(labels: int) -> None:
    """Send gauge ``moderation.review.precision_left``: labels whose precision is not where it was, by their
    intervals of 95 %; 0 after a week in which each stayed."""
    stats.gauge(f"{PREFIX}.review.precision_left", labels)


@contextmanager
def review_errors_counted() -> Iterator[None]:
    """Count what fails within: counter ``moderation.review.errors``."""
    try:
        yield
    except Exception:
        stats.incr(f"{PREFIX}.review.errors")
        raise
