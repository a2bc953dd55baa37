"""Verdicts and items for tests, with what a test does not care about filled in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from moderation.review.queue import Item
from moderation.review.verdict import Verdict, new_id

START = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
PATHS = {
    "Violence": ("Violence",),
    "Weapons": ("Violence", "Weapons"),
    "Weapon Violence": ("Violence", "Graphic Violence", "Weapon Violence"),
    "Graphic Violence": ("Violence", "Graphic Violence"),
}


def said(verdict: str, label: str | None = "Weapons", *, minute: float = 0, **given: Any) -> Verdict:
    """What ann says of content c1, so many minutes after the start."""
    path = PATHS.get(label or "", ())
    facts = {
        **{"verdict_id": new_id(), "decided_at": START + timedelta(minutes=minute), "reviewer": "ann"},
        **{"content": "c1", "source_ref": "s3://archive/1.jpg", "verdict": verdict, "label": label},
        **{"subject": "label" if label else "image", "level": len(path) or None},
        **dict(zip(("l1", "l2", "l3"), path, strict=False)),
    }
    return Verdict(**(facts | given))


def items(count: int, **given: Any) -> list[Item]:
    """So many items, of the contents c0, c1, …"""
    return [
        Item(**({"content": f"c{number}", "source_ref": f"s3://archive/{number}.jpg"} | given))
        for number in range(count)
    ]
