"""Rows of the table verdicts, with what a test does not care about filled in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from moderation.schema import physical_schema
from moderation.tables.standing import VERDICTS

START = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def verdict_row(number: int, **given: Any) -> dict[str, Any]:
    """The row ``v<number>``, decided so many minutes after the start."""
    decided_at = given.pop("decided_at", START + timedelta(minutes=number))
    row = dict.fromkeys(VERDICTS.schema.names) | {
        "verdict_id": f"v{number}",
        "dt": decided_at.date(),
        "decided_at": decided_at,
        "reviewer": "ana",
        "content": f"c{number}",
        "source_ref": f"s3://archive/{number}.jpg",
        "subject": "label",
        "label": "Weapons",
        "level": 2,
        "l1": "Violence",
        "l2": "Weapons",
        "verdict": "present",
        "blind": False,
        "origin": "console",
        "erased": False,
    }
    return row | given


def verdict_table(rows: list[dict[str, Any]]) -> pa.Table:
    """As the table's columns."""
    return pa.Table.from_pylist(rows, physical_schema(VERDICTS))
