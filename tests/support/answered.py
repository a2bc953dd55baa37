"""Published tables as DuckDB shows them, made of a few answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from moderation.reference.taxonomy import taxonomy
from moderation.schema import TABLES, physical_schema
from moderation.warehouses.duckdb import labels_view

LOAD = "20261122T020000Z-4f1c0a9b77de"


def image(number: int, labels: Mapping[str, float] | None = None, **given: Any) -> dict[str, Any]:
    """The row of `images` of an image that is content ``number``, with the labels that its answer lists."""
    labels = labels or {}
    return {
        **{"load_id": LOAD, "dt": date(2026, 11, 22), "source_ref": f"s3://archive/{number}.jpg"},
        **{"etag": f"{number:032x}", "size_bytes": 1, "status": "moderated", "content_type": "none"},
        **{"label_count": len(labels), "max_confidence": max(labels.values(), default=None)},
        **{"model_version": "7.0", "min_confidence": 5.0, "manifest_id": "m0", "line_number": number},
        **{"moderated_at": datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=number)},
        **{"unknown_labels": 0, "labels": labels},
    } | given


def published(images: list[dict[str, Any]]) -> duckdb.DuckDBPyConnection:
    """A connection with the views that `query.published_views` makes."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for row in images:
        rows["images"].append(row)
        for name, confidence in row["labels"].items():
            node = taxonomy().lookup(name)
            level = node.level if node else 1
            path = node.path if node else (name,)
            found = {f"l{depth}": part for depth, part in enumerate(path, start=1)}
            rows[f"labels_l{level}"].append(
                row
                | found
                | {f"v7_{key}": value for key, value in found.items() if node}
                | {"name": name, "confidence": confidence}
            )
    for name, table in TABLES.items():
        schema = physical_schema(table)
        entries = [{entry: row.get(entry) for entry in schema.names} for row in rows[name]]
        free = pa.schema([(entry.name, entry.type) for entry in schema])
        connection.register(f"{name}_rows", pa.Table.from_pylist(entries, free))
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM {name}_rows")
    connection.execute(labels_view())
    return connection
