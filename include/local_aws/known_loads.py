"""Which loads this checkout has published, as its files tell it while nothing runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from moderation.errors import WarehouseError
from moderation.warehouses.reading import open_warehouse

_LOAD_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{12}")
_EXAMPLE = "20261122T020000Z-4f1c0a9b77de"
_SHOWN = 3


def why_unknown(load_id: str, *, warehouse: Path, reports: Path) -> str | None:
    """Say in one line why there is no such load, and which there are; None where it is there, or may be.

    :param warehouse: the DuckDB file. While another program keeps it busy nobody is refused.
    :param reports: the folder of the completion reports, for a load that has not reached the warehouse.
    """
    known = _in_warehouse(warehouse)
    if known is None:
        return None if _LOAD_ID.fullmatch(load_id) else f"is no load's id; they look like {_EXAMPLE}"
    if load_id in known or _has_published(reports, load_id):
        return None
    if not known:
        return "names no load: none is published here yet; moderate images with: make run"
    return f"names no load of this checkout; the last are {', '.join(known[:_SHOWN])}"


def _in_warehouse(warehouse: Path) -> list[str] | None:
    """Ids of its loads, the newest first; None where they cannot be read now."""
    if not warehouse.exists():
        return []
    try:
        with open_warehouse(warehouse, wait_seconds=0) as connection:
            rows = connection.execute("SELECT load_id FROM loads ORDER BY published_at DESC, 1").fetchall()
    except WarehouseError:
        return None
    return [load_id for (load_id,) in rows]


def _has_published(reports: Path, load_id: str) -> bool:
    if not _LOAD_ID.fullmatch(load_id):
        return False
    try:
        return bool(json.loads((reports / load_id / "report.json").read_bytes())["load_id"] == load_id)
    except (OSError, ValueError, KeyError, TypeError):
        return False
