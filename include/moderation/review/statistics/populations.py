"""How many distinct contents were answered, and flagged with each label, of however many images.

The latest answer about a content may stand in any load, and ten million of them are more than a page or a
task has memory for. So loads are read one after the other, their rows put apart by their contents into files,
and one part of all contents counted after the other: what is in memory at once does not grow with a history.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np
import pyarrow as pa

from moderation.reference.content import SUBJECT_SQL
from moderation.schema import LABELS
from moderation.warehouses.reading import bounded, quiet

ANSWER = "load_id, model_version, adapter, min_confidence, week"
"""Whose answer it is, and when: what is counted apart."""

LABEL = "CASE WHEN v7_l1 IS NULL THEN name ELSE coalesce(v7_l3, v7_l2, v7_l1) END"
"""A listed label by its name in taxonomy 7.0, over `labels`."""

SEEN = f"""load_id, manifest_id, line_number, model_version, adapter, content_type, dt, moderated_at,
coalesce(min_confidence, 0) AS min_confidence, hash(source_ref) AS source, {SUBJECT_SQL} AS content"""
"""Columns of an answered row of `images` that `latest` looks at."""

_KEY = "load_id, manifest_id, line_number"
_AT_ONCE = 50_000
"""Images of one part, and of loads that are read together."""
_ROWS = {"seen": 50_000, "listed": 200_000}
"""Rows that are put apart at once: some 10 MB."""

IN_SLICE = """status = 'moderated' AND ($since IS NULL OR dt >= $since) AND ($until IS NULL OR dt <= $until)
AND ($load IS NULL OR load_id = $load)"""
"""Answered rows of `images` of a `Slice`."""

_LOADS = f"SELECT load_id, dt, count(*) FROM images WHERE {IN_SLICE} GROUP BY ALL ORDER BY dt, load_id"  # noqa: S608 - names of ours
_OF_LOADS = "load_id IN (SELECT unnest($loads::VARCHAR[])) AND dt BETWEEN $first AND $last"
_NUMBERED = f"""
CREATE OR REPLACE TEMP TABLE numbered AS SELECT *, (hash(content) % $parts)::INTEGER AS part
FROM (SELECT {SEEN} FROM images WHERE status = 'moderated' AND {_OF_LOADS})
"""  # noqa: S608 - names of ours
_LISTED = " UNION ALL ".join(
    f"SELECT {_KEY}, {LABEL} AS label, confidence FROM {table.name} WHERE {_OF_LOADS}"  # noqa: S608 - names of ours
    for table in LABELS.values()
)
_STREAMS = {
    "seen": ("SELECT *, rowid + $before AS n FROM numbered", ("before",)),
    "listed": (
        f"SELECT numbered.rowid + $before AS n, label, confidence, part FROM ({_LISTED}) "  # noqa: S608 - as above
        f"JOIN numbered USING ({_KEY})",
        ("before", "loads", "first", "last"),
    ),
}
"""What is put apart, with the parameters of each query."""


def latest(rows: str, *, where: str = "true") -> str:
    """SQL: a row a content and kind of answer, the latest, with how many keys hold it.

    :param rows: a table with the columns of `SEEN`.
    :param where: a condition for its rows.
    """
    # No window: those of one image under a million keys would have to be in memory together.
    return f"""
WITH given AS (SELECT * FROM {rows} WHERE {where}), best AS (
    SELECT count(DISTINCT source) AS copies, max(struct_pack(
        at := coalesce(moderated_at, '-infinity'::TIMESTAMPTZ), load_id := load_id,
        manifest_id := manifest_id, line := -line_number
    )) AS newest
    FROM given GROUP BY content, model_version, adapter, min_confidence
)
SELECT given.* EXCLUDE (source, moderated_at, dt), copies,
    strftime(date_trunc('week', dt), '%Y-%m-%d') AS week
FROM given JOIN best ON given.load_id = newest.load_id AND given.manifest_id = newest.manifest_id
    AND given.line_number = -newest.line"""  # noqa: S608 - names of ours


_COUNTED = f"""
CREATE TEMP TABLE answers AS
SELECT {ANSWER}, content_type, copies AS contents, copies FROM ({latest("seen")}) LIMIT 0;
CREATE TEMP TABLE flagged AS
SELECT {ANSWER}, content_type, '' AS label, contents, copies FROM answers;
"""  # noqa: S608 - names of ours
_COUNT = f"""
CREATE OR REPLACE TEMP TABLE newest AS {latest("seen")};
CREATE OR REPLACE TEMP TABLE met AS
SELECT n, label FROM newest JOIN listed USING (n) LEFT JOIN nodes USING (label)
WHERE confidence >= greatest(min_confidence, coalesce(threshold_wanted, 0)) GROUP BY ALL;
CREATE OR REPLACE TEMP TABLE answers AS
SELECT {ANSWER}, content_type, sum(contents)::BIGINT AS contents, sum(copies)::BIGINT AS copies FROM (
    FROM answers UNION ALL BY NAME SELECT {ANSWER}, content_type, 1 AS contents, copies FROM newest
) GROUP BY ALL;
CREATE OR REPLACE TEMP TABLE flagged AS
SELECT {ANSWER}, content_type, label, sum(contents)::BIGINT AS contents, sum(copies)::BIGINT AS copies FROM (
    FROM flagged
    UNION ALL BY NAME SELECT {ANSWER}, content_type, label, 1 AS contents, copies FROM newest
        JOIN met USING (n)
    UNION ALL BY NAME SELECT {ANSWER}, content_type, NULL AS label, 1 AS contents, copies FROM newest
        SEMI JOIN met USING (n)
) GROUP BY ALL;
"""  # noqa: S608 - names of ours
_WITH_NAMES = """
WITH named AS (SELECT label, level, threshold_wanted FROM nodes UNION ALL SELECT NULL, 0, $default)
SELECT n.label, n.level, a.content_type, a.load_id, a.model_version, a.adapter,
    greatest(a.min_confidence, coalesce(n.threshold_wanted, 0)) AS threshold, a.week, a.contents, a.copies,
    coalesce(f.contents, 0) AS flagged, coalesce(f.copies, 0) AS flagged_copies
FROM answers AS a CROSS JOIN named AS n
LEFT JOIN flagged AS f ON f.label IS NOT DISTINCT FROM n.label AND f.load_id = a.load_id
    AND f.model_version IS NOT DISTINCT FROM a.model_version AND f.adapter IS NOT DISTINCT FROM a.adapter
    AND f.min_confidence = a.min_confidence AND f.content_type IS NOT DISTINCT FROM a.content_type
    AND f.week = a.week
"""

Slice = Mapping[str, Any]
"""``load``, ``since`` and ``until``: each a value, or None for all."""

Turn = Callable[[], AbstractContextManager[object]]
"""Makes what a step is within."""


class _Apart:
    """Rows put apart by their column ``part``, in a file: first all are added, then parts are read."""

    def __init__(self, path: Path, parts: int) -> None:
        self._path = path
        self._parts = parts
        self._opened = ExitStack()
        self._writer: pa.RecordBatchFileWriter | None = None
        self._reader: pa.RecordBatchFileReader | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def add(self, rows: pa.RecordBatchReader) -> None:
        """Add rows; all that are added have the same columns."""
        if self._writer is None:
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._writer = self._opened.enter_context(
                pa.ipc.new_file(self._path, rows.schema, options=options)
            )
        for batch in rows:
            numbers = batch.column("part").to_numpy()
            order = np.argsort(numbers, kind="stable")
            ends = np.searchsorted(numbers, np.arange(self._parts + 1), sorter=order).tolist()
            apart = batch.take(pa.array(order))
            for first, last in pairwise(ends):
                self._writer.write_batch(apart.slice(first, last - first))

    def part(self, number: int) -> pa.Table:
        """The rows of a part; nothing can be added afterwards."""
        if self._reader is None:
            self._opened.close()
            source = self._opened.enter_context(pa.OSFile(str(self._path)))
            self._reader = self._opened.enter_context(pa.ipc.open_file(source))
        places = range(number, self._reader.num_record_batches, self._parts)
        return pa.Table.from_batches(map(self._reader.get_batch, places), self._reader.schema)


def populations(
    connection: duckdb.DuckDBPyConnection,
    nodes: pa.Table,
    *,
    default: float | None,
    of: Slice,
    turn: Turn = nullcontext,
) -> pa.Table:
    """Rows of `frames.POPULATIONS`.

    :param connection: with `images` and the tables of labels.
    :param nodes: every label: ``label``, ``level``, ``threshold_wanted``.
    :param default: the threshold of an image as a whole; None: what was asked.
    :param of: which answers.
    :param turn: each load is read, and each part counted, within one.
    """
    with turn():
        loads = connection.execute(_LOADS, dict(of)).fetchall()
    parts = max(1, math.ceil(sum(images for *_, images in loads) / _AT_ONCE))
    with tempfile.TemporaryDirectory(prefix="moderation-numbers-") as folder, ExitStack() as opened:
        apart = {name: opened.enter_context(_Apart(Path(folder) / name, parts)) for name in _STREAMS}
        before = 0
        for together in _together(loads):
            with turn():
                _put_apart(connection, _named(together) | {"before": before}, apart, parts)
            before += sum(images for *_, images in together)
        return _counted(apart, parts, nodes, default, turn)


def _put_apart(
    connection: duckdb.DuckDBPyConnection, several: Slice, apart: Mapping[str, _Apart], parts: int
) -> None:
    about = {name: several[name] for name in ("loads", "first", "last")}
    connection.execute(_NUMBERED, about | {"parts": parts})
    for name, (query, known) in _STREAMS.items():
        rows = connection.sql(query, params={one: several[one] for one in known})
        apart[name].add(rows.to_arrow_reader(_ROWS[name]))
    connection.execute("DROP TABLE numbered")


def _counted(
    apart: Mapping[str, _Apart], parts: int, nodes: pa.Table, default: float | None, turn: Turn
) -> pa.Table:
    with duckdb.connect() as counting, bounded(counting):
        quiet(counting)
        counting.register("nodes", nodes)
        for part in range(parts):
            with turn():
                for name, rows in apart.items():
                    counting.register(name, rows.part(part))
                counting.execute(_COUNT if part else _COUNTED + _COUNT)
        return counting.sql(_WITH_NAMES, params={"default": default}).to_arrow_table()


def _together(loads: list[tuple[str, date, int]]) -> Iterator[list[tuple[str, date, int]]]:
    """Loads that are read together: many small ones, or one large."""
    several: list[tuple[str, date, int]] = []
    for load in loads:
        if several and sum(images for *_, images in several) + load[2] > _AT_ONCE:
            yield several
            several = []
        several.append(load)
    yield several


def _named(loads: list[tuple[str, date, int]]) -> dict[str, Any]:
    days = [day for _, day, _ in loads] or [date.min]
    return {"loads": [load_id for load_id, *_ in loads], "first": min(days), "last": max(days)}
