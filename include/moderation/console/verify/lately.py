"""What a person decided lately: an image each, with the rows that stand for it now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moderation.review.verdict import Said, Verdict


def decisions(rows: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Decisions by item, the newest first.

    :param rows: of one person, the newest first.
    :returns: ``item`` (its id), ``rows`` as `static/verify/types.js` has them, ``state``, and ``at`` in
        milliseconds since 1970.
    """
    of_item: dict[str, list[Verdict]] = {}
    for row in rows:
        if row.item_id is not None:
            of_item.setdefault(row.item_id, []).append(row)
    told = []
    for item_id, those in of_item.items():
        now = standing(those)
        if now:
            skipped = all(row["verdict"] == Said.SKIPPED for row in now)
            told.append(
                {
                    "item": item_id,
                    "rows": now,
                    "state": "skipped" if skipped else "done",
                    "at": those[0].decided_at.timestamp() * 1000,
                }
            )
    return told


def standing(rows: list[Verdict]) -> list[dict[str, Any]]:
    """What one person says now, of what they said of one image.

    :param rows: the newest first.
    :returns: the newest of each kind that is not taken back, with the ``ids`` of all verdicts that it
        stands on, the oldest first.
    """
    gone = {row.replaces for row in rows if row.verdict == Said.WITHDRAWN}
    found: dict[tuple[str, str | None, bool], dict[str, Any]] = {}
    for row in rows:
        if row.verdict == Said.WITHDRAWN or row.verdict_id in gone:
            continue
        key = (row.subject, row.label, row.verdict in {Said.SEVERE, Said.NOT_SEVERE})
        if key in found:
            found[key]["ids"].insert(0, row.verdict_id)
        else:
            found[key] = {
                "ids": [row.verdict_id],
                "subject": row.subject,
                "label": row.label,
                "verdict": row.verdict,
                "note": row.note,
            }
    return list(found.values())[::-1]
