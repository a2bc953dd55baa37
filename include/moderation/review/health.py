"""How the work of reviewing stands, in a few numbers for who looks after it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from moderation.review.state.open import State


@dataclass(frozen=True, kw_only=True)
class Health:
    """No names of images or people.

    :param backlog: items that wait in queues or are held by somebody, paused queues included.
    :param oldest_seconds: for how long the oldest of a queue that is not paused has waited; 0 without any.
    :param unpublished: verdicts that the table `verdicts` lacks.
    :param unpublished_seconds: how long ago the oldest of these was said; 0 without any.
    """

    backlog: int
    oldest_seconds: float
    unpublished: int
    unpublished_seconds: float


def health(state: State, *, now: datetime | None = None) -> Health:
    """How it stands now.

    :raises moderation.review.state.faults.StateError: the state cannot be read.
    """
    now = now or datetime.now(UTC)
    waits = state.queues.oldest_waiting()
    unpublished, said = state.log.waiting()
    return Health(
        backlog=sum(found.open + found.leased for found in state.queues.progress_of_all().values()),
        oldest_seconds=_seconds(waits.since if waits else None, now),
        unpublished=unpublished,
        unpublished_seconds=_seconds(said, now),
    )


def _seconds(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0
