"""What the model said of images: the latest answer, or that of a load that is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from moderation.reference.content import subject_id

_ANSWERS = """
SELECT i.source_ref, i.etag, i.size_bytes, i.load_id, i.manifest_id, i.line_number, i.model_version,
    i.adapter, i.min_confidence, i.illustrated_confidence, i.animated_confidence
FROM images AS i JOIN wanted USING (source_ref)
WHERE i.status = 'moderated' AND ($load_id IS NULL OR i.load_id = $load_id)
QUALIFY row_number() OVER (
    PARTITION BY i.source_ref ORDER BY i.moderated_at DESC NULLS LAST, i.load_id DESC
) = 1"""
_LABELS = """
SELECT l.source_ref,
    CASE WHEN l.v7_l1 IS NULL THEN l.name ELSE coalesce(l.v7_l3, l.v7_l2, l.v7_l1) END AS label,
    max(l.confidence) AS confidence, any_value(coalesce(l.v7_l1, l.l1)) AS l1,
    any_value(CASE WHEN l.v7_l1 IS NULL THEN l.l2 ELSE l.v7_l2 END) AS l2,
    any_value(CASE WHEN l.v7_l1 IS NULL THEN l.l3 ELSE l.v7_l3 END) AS l3
FROM labels AS l JOIN answers USING (load_id, manifest_id, line_number) GROUP BY ALL"""


@dataclass(frozen=True)
class Answer:
    """What was answered of one image.

    :param facts: what a verdict keeps of it, by the names of its columns.
    :param labels: confidence of each label, by its name in taxonomy 7.0, and of each content type.
    :param paths: names from level 1 down, of each label.
    """

    facts: Mapping[str, Any]
    labels: dict[str, float] = field(default_factory=dict)
    paths: dict[str, tuple[str, ...]] = field(default_factory=dict)


def answers(
    connection: duckdb.DuckDBPyConnection, source_refs: Iterable[str], *, load_id: str | None = None
) -> dict[str, Answer]:
    """The answers by ``source_ref``; none for an image that was never moderated.

    :param connection: with the tables or views of the product.
    :param load_id: of the answers to take; None for the latest of each image.
    """
    connection.register("wanted", pa.table({"source_ref": sorted(set(source_refs))}))
    found: dict[str, Answer] = {}
    rows = connection.sql(_ANSWERS, params={"load_id": load_id}).to_arrow_table()
    for row in rows.to_pylist():
        illustrated, animated = row.pop("illustrated_confidence"), row.pop("animated_confidence")
        row["content"] = subject_id(row["source_ref"], row["etag"], row["size_bytes"])
        types = {"Illustrated": illustrated, "Animated": animated}
        found[row["source_ref"]] = Answer(
            row, {name: value for name, value in types.items() if value is not None}
        )
    connection.register("answers", rows.select(["load_id", "manifest_id", "line_number"]))
    for ref, label, confidence, *path in connection.execute(_LABELS).fetchall():
        found[ref].labels[label] = confidence
        found[ref].paths[label] = tuple(name for name in path if name)
    return found


def contents(connection: duckdb.DuckDBPyConnection, source_refs: Iterable[str]) -> set[str]:
    """Every content that was ever listed under these keys.

    :param connection: with the tables or views of the product.
    """
    connection.register("wanted", pa.table({"source_ref": sorted(set(source_refs))}))
    found = connection.execute(
        "SELECT DISTINCT source_ref, etag, size_bytes FROM images JOIN wanted USING (source_ref)"
    )
    return {subject_id(*row) for row in found.fetchall()}
