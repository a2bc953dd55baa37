"""How many distinct contents were answered, and flagged with each label, of however many images.

The newest answer about a content may stand in any load, and ten million of them are more than a page or a
task has memory for. So what is read of images is put apart by contents into a file, one part of all contents
is looked through after the other, and what labels the newest answers list is read group by group: what is in
memory at once does not grow with a history.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from moderation.reference.content import SUBJECT_SQL
from moderation.review.statistics.answered.apart import Apart
from moderation.review.statistics.answered.flagged import Flagged
from moderation.review.statistics.answered.newest import newest
from moderation.schema import LABELS

LABEL = "CASE WHEN v7_l1 IS NULL THEN name ELSE coalesce(v7_l3, v7_l2, v7_l1) END"
"""A listed label by its name in taxonomy 7.0, over `labels`."""

WEEK = "strftime(date_trunc('week', dt), '%Y-%m-%d')"
"""The Monday of a load's day."""

IN_SLICE = """status = 'moderated' AND ($since IS NULL OR dt >= $since) AND ($until IS NULL OR dt <= $until)
AND ($load IS NULL OR load_id = $load)"""
"""Answered rows of `images` of a `Slice`."""

Slice = Mapping[str, Any]
"""``load``, ``since`` and ``until``: each a value, or None for all."""

Turn = Callable[[], AbstractContextManager[object]]
"""Makes what a step is within."""

_CONTENTS = 100_000
"""Answers of one part, some 15 MB."""
_IMAGES = 100_000
"""Images of a group of manifests, some 10 MB with their labels."""
_BATCH = 50_000
_LINES = 1 << 31
"""More than any manifest has."""

_ASKED = ("model_version", "adapter", "min_confidence")
_APART = ("load_id", *_ASKED, "content_type", "week")
"""Whose answer it is, what was asked, and when: what is counted apart."""

# Rows are told by hashes, and looked up here: DuckDB would hold all images of a group to join them.
_MANIFEST = "hash(load_id, manifest_id) AS manifest"
_MANIFESTS = f"""
SELECT load_id, dt, manifest_id, {_MANIFEST}, count(*)::BIGINT AS images FROM images WHERE {IN_SLICE}
GROUP BY ALL ORDER BY load_id, manifest_id
"""  # noqa: S608 - names of ours
_OF_IMAGES = f"""load_id, manifest_id, coalesce(line_number, 0)::BIGINT AS line, source_ref,
coalesce(epoch_us(moderated_at), {np.iinfo(np.int64).min}) AS moment, {SUBJECT_SQL} AS content,
model_version, adapter, coalesce(min_confidence, 0)::DOUBLE AS min_confidence, content_type, {WEEK} AS week"""
_ANSWER = f"hash({', '.join(_APART)}) AS answer"
_ANSWERS = f"""
SELECT *, {_ANSWER} FROM (
    SELECT DISTINCT {", ".join(_APART)} FROM (SELECT {_OF_IMAGES} FROM images WHERE {IN_SLICE})
)"""  # noqa: S608 - names of ours
_OF_GROUP = """dt BETWEEN $first_day AND $last_day AND load_id BETWEEN $first_load AND $last_load
AND ($first_manifest IS NULL OR manifest_id BETWEEN $first_manifest AND $last_manifest)"""
_SEEN = f"""
SELECT hash(content) AS high, hash('.' || content) AS low, moment, {_MANIFEST}, line, {_ANSWER},
    hash(source_ref) AS source
FROM (SELECT {_OF_IMAGES} FROM images WHERE status = 'moderated' AND {_OF_GROUP})
"""  # noqa: S608 - names of ours
_LISTED = " UNION ALL ".join(
    f"SELECT {_MANIFEST}, coalesce(line_number, 0)::BIGINT AS line, hash({LABEL}) AS label, "  # noqa: S608 - as above
    f"confidence::DOUBLE AS confidence FROM {table.name} WHERE {_OF_GROUP}"
    for table in LABELS.values()
)


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
    :param turn: each part and group is worked on within one.
    """
    with turn():
        manifests = connection.sql(_MANIFESTS, params=dict(of)).to_arrow_table()
        answers = connection.sql(_ANSWERS, params=dict(of)).to_arrow_table()
    groups = list(_groups(manifests))
    parts = max(1, math.ceil((pc.sum(manifests["images"]).as_py() or 0) / _CONTENTS))
    counts = Flagged(answers, nodes)
    with tempfile.TemporaryDirectory(prefix="moderation-numbers-") as folder, ExitStack() as opened:
        seen = opened.enter_context(Apart(Path(folder) / "seen", parts))
        found = opened.enter_context(Apart(Path(folder) / "newest", len(groups)))
        asked = _asked(answers)
        for group in groups:
            with turn():
                for batch in group.rows(connection, _SEEN):
                    answer = _places(batch["answer"], answers["answer"])
                    rows = _with(batch, answer=answer, asked=asked[answer])
                    seen.add(rows, (batch["low"].to_numpy() % np.uint64(parts)).astype(np.int64))
        begins = np.array([group.begins for group in groups])
        for part in range(parts):
            with turn():
                for batch in newest(_pieces(seen, part)).select(["n", "answer", "copies"]).to_batches():
                    number = batch["n"].to_numpy() // _LINES
                    found.add(batch, np.searchsorted(begins, number, side="right") - 1)
        labels = _hashes(connection, nodes["label"])
        for place, group in enumerate(groups):
            with turn():
                answered = list(found.part(place))
                if answered:
                    listed = group.rows(connection, _LISTED)
                    counts.add(
                        pa.Table.from_batches(answered),
                        (_with(batch, label=_places(batch["label"], labels)) for batch in listed),
                    )
    return counts.told(default)


class _Group:
    """Manifests that are read together: of many small loads, or some of a large one.

    :param manifests: rows of `_MANIFESTS`.
    :param begins: the place of the first among all.
    """

    def __init__(self, manifests: pa.Table, begins: int) -> None:
        self.begins = begins
        self._known = manifests["manifest"]
        days = pc.min_max(manifests["dt"]).as_py()
        first, last = manifests.take([0, manifests.num_rows - 1]).to_pylist()
        is_one = first["load_id"] == last["load_id"]
        self._parameters = {
            "first_day": days["min"],
            "last_day": days["max"],
            "first_load": first["load_id"],
            "last_load": last["load_id"],
            "first_manifest": first["manifest_id"] if is_one else None,
            "last_manifest": last["manifest_id"] if is_one else None,
        }

    def rows(self, connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.RecordBatch]:
        """What a query finds of them, each row with the number ``n`` of its answer.

        By load, manifest and line, so that of equals the first line of the last load is the newest.
        """
        for batch in connection.sql(query, params=self._parameters).to_arrow_reader(_BATCH):
            place = _places(batch["manifest"], self._known)
            number = (self.begins + place + 1) * _LINES - 1 - batch["line"].to_numpy()
            yield _with(batch, n=number).filter(pa.array(place >= 0))


def _groups(manifests: pa.Table) -> Iterator[_Group]:
    begin = together = 0
    for place, images in enumerate(manifests["images"].to_pylist()):
        if together and together + images > _IMAGES:
            yield _Group(manifests.slice(begin, place - begin), begin)
            begin, together = place, 0
        together += images
    if together:
        yield _Group(manifests.slice(begin), begin)


def _pieces(seen: Apart, part: int) -> Iterator[pa.Table]:
    """The rows of a part; of one with too many, as where one image lies under a million keys, some keys'."""
    pieces = max(1, int(seen.rows[part]) // _CONTENTS)
    for piece in range(pieces):
        batches = [_of_piece(batch, piece, pieces) for batch in seen.part(part)]
        if batches:
            yield pa.Table.from_batches(batches)


def _of_piece(batch: pa.RecordBatch, piece: int, pieces: int) -> pa.RecordBatch:
    if pieces == 1:
        return batch
    return batch.filter(pa.array(batch["source"].to_numpy() % np.uint64(pieces) == np.uint64(piece)))


def _places(wanted: pa.Array, known: pa.ChunkedArray) -> np.ndarray:
    """Where each hash stands among known ones, -1 for one that is not known."""
    return pc.fill_null(pc.index_in(wanted, value_set=known), -1).to_numpy().astype(np.int64)


def _with(batch: pa.RecordBatch, **columns: np.ndarray) -> pa.RecordBatch:
    """With columns instead of those of the same names, or besides."""
    kept = {name: batch[name] for name in batch.schema.names if name not in columns}
    return pa.RecordBatch.from_pydict(kept | {name: pa.array(values) for name, values in columns.items()})


def _hashes(connection: duckdb.DuckDBPyConnection, labels: pa.ChunkedArray) -> pa.ChunkedArray:
    named = connection.sql(
        "SELECT hash(label) AS hash FROM (SELECT unnest($labels::VARCHAR[]) AS label)",
        params={"labels": labels.to_pylist()},
    )
    return named.to_arrow_table()["hash"]


def _asked(answers: pa.Table) -> np.ndarray:
    """A number for each model, adapter and least confidence."""
    told = list(zip(*(answers[name].to_pylist() for name in _ASKED), strict=True))
    numbers = {one: number for number, one in enumerate(dict.fromkeys(told))}
    return np.array([numbers[one] for one in told], np.int32)
