"""What a plan left out because it is no image: counts by rule, and a list that stays short."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.plan.plan import Plan, PlanError
from moderation.plan.store import open_left_out
from moderation.sources.listing import ERASED, MENTIONED_AGAIN
from moderation.storage import s3_objects

MOST_LISTED = 1_000
"""Objects that a report lists one by one; the plan's own list has them all."""

_MOST_RULES = 5


def of_plan(plan: Plan, *, s3: Any) -> dict[str, Any]:
    """What the completion report says of them.

    ``rules`` counts objects by rule, and ``unread`` those of which only the name was looked at: these come
    first in ``objects``. ``list`` is the URI of the whole list, ``problem`` why it cannot be read: no run
    fails for that.
    """
    listed = sum(images for rule, images in plan.left_out.items() if rule not in {MENTIONED_AGAIN, ERASED})
    said: dict[str, Any] = {"rules": plan.left_out, "unread": 0, "objects": [], "omitted": listed}
    said |= {"list": plan.left_out_uri or None, "problem": None}
    unread: list[dict[str, Any]] = []
    read: list[dict[str, Any]] = []
    try:
        with open_left_out(plan, s3=s3) as batches:
            for batch in batches:
                is_unread = pc.is_null(batch["content"])
                said["unread"] += pc.sum(is_unread).as_py() or 0
                _fill(unread, batch.filter(is_unread))
                _fill(read, batch.filter(pc.invert(is_unread)))
    except (PlanError, s3_objects.S3Error) as error:
        return said | {"problem": str(error)}
    objects = (unread + read)[:MOST_LISTED]
    return said | {"objects": objects, "omitted": listed - len(objects)}


def in_words(rules: dict[str, int]) -> str | None:
    """``1,204: 1,200 *.txt, 4 folder marker``; None for nothing."""
    if not rules:
        return None
    first = ", ".join(f"{count:,} {rule}" for rule, count in list(rules.items())[:_MOST_RULES])
    return f"{sum(rules.values()):,}: {first}{', …' if len(rules) > _MOST_RULES else ''}"


def _fill(found: list[dict[str, Any]], batch: pa.RecordBatch) -> None:
    found += batch.slice(0, MOST_LISTED - len(found)).to_pylist()
