"""Why a plan is not gone on with, kept beside it."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from moderation.plan.plan import Plan, PlanError
from moderation.storage import s3_objects
from moderation.storage.state import read_state, seal


def note_stop(plan: Plan, reason: str, *, s3: Any) -> None:
    """Keep beside the plan why it is not gone on with; the report of the run tells it."""
    s3_objects.put(s3, _stop_uri(plan), seal({"reason": reason}))


def forget_stop(plan: Plan, *, s3: Any) -> None:
    """The plan is gone on with: what stopped it before is no reason any more."""
    s3_objects.delete(s3, _stop_uri(plan))


def stop_reason(plan: Plan, *, s3: Any, otherwise: str = "") -> str:
    """What :func:`note_stop` kept.

    :param otherwise: what to say when it kept nothing.
    :raises PlanError: the note is damaged.
    """
    kept = read_state(
        s3,
        _stop_uri(plan),
        parse=itemgetter("reason"),
        error=PlanError,
        remedy="delete it and clear the report task",
    )
    return otherwise if kept is None else str(kept)


def _stop_uri(plan: Plan) -> str:
    return f"{plan.folder_uri}/stopped.json"
