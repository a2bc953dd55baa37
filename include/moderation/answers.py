"""All answers of one manifest as columns: parsed blocks joined, every label with its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from moderation.chains import Link, Place, resolve
from moderation.parse import ParsedBlock, parse_block

_Ints = np.ndarray
"""One-dimensional array of int32 or int64."""

_FURTHEST = 4
"""Links of a chain that are looked at: three levels, and one more to notice that it goes on."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The result lines of a manifest, in file order, and their labels.

    :param lines: `moderation.parse.LINES_SCHEMA`, the index columns resolved: model_version and adapter are
        strings, top_label counts through all labels.
    :param label_start: row of the first label of each line; one more entry than lines.
    :param label_line: row in ``lines`` of each label.
    :param label_place: index into ``places`` of each label.
    :param label_ambiguous: of each label.
    :param confidence: of each label, as answered.
    :param places: the distinct places, in order of first appearance.
    """

    lines: pa.Table
    label_start: _Ints
    label_line: _Ints
    label_place: _Ints
    label_ambiguous: np.ndarray
    confidence: np.ndarray
    places: tuple[Place, ...]


class _Places:
    """Numbers the distinct places of a manifest."""

    def __init__(self) -> None:
        self.numbers: dict[Place, int] = {}

    def number(self, place: Place) -> int:
        return self.numbers.setdefault(place, len(self.numbers))


def read_answers(blocks: Iterable[tuple[bytes, int]]) -> Answers:
    """Parse and join the blocks of one results file.

    Memory grows with the file, which AWS limits to the 10,000 lines of its manifest; see
    `moderation.flatten.flatten_unplanned` for files without such a bound.
    """
    places = _Places()
    lines, labels = [], []
    line_base = label_base = 0
    for block, first_line in blocks:
        parsed = parse_block(block, first_line)
        lines.append(_resolved_lines(parsed, label_base))
        labels.append(_Labels.of(parsed, places, line_base))
        line_base += parsed.lines.num_rows
        label_base += parsed.labels.num_rows
    if not lines:
        empty = parse_block(b"", 1)
        lines.append(_resolved_lines(empty, 0))
        labels.append(_Labels.of(empty, places, 0))
    table = pa.Table.from_batches(lines).combine_chunks()
    counts = table.column("label_count").to_numpy()
    return Answers(
        lines=table,
        label_start=np.concatenate(([0], np.cumsum(counts, dtype=np.int64))),
        label_line=np.concatenate([part.line for part in labels]),
        label_place=np.concatenate([part.place for part in labels]),
        label_ambiguous=np.concatenate([part.ambiguous for part in labels]),
        confidence=np.concatenate([part.confidence for part in labels]),
        places=tuple(places.numbers),
    )


@dataclass(frozen=True, slots=True)
class _Labels:
    line: _Ints
    place: _Ints
    ambiguous: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, parsed: ParsedBlock, places: _Places, line_base: int) -> _Labels:
        labels = parsed.labels
        line = labels.column("line").to_numpy()
        return cls(
            line=line.astype(np.int64) + line_base,
            place=_place_labels(parsed, line, places),
            ambiguous=labels.column("ambiguous").to_numpy(zero_copy_only=False),
            confidence=labels.column("confidence").to_numpy(),
        )


def _resolved_lines(parsed: ParsedBlock, label_base: int) -> pa.RecordBatch:
    lines = parsed.lines
    columns = {name: lines.column(name) for name in lines.schema.names}
    for name in ("model_version", "adapter"):
        columns[name] = parsed.strings.take(columns[name])
    columns["top_label"] = pc.add(columns["top_label"].cast(pa.int64()), label_base)
    return pa.RecordBatch.from_pydict(columns)


def _place_labels(parsed: ParsedBlock, line: _Ints, places: _Places) -> _Ints:
    """Number of each label's place.

    A label's place depends on itself, its ancestors and the model version. These are numbered step by step
    (link, then link with parent, then with grandparent …), so that Python sees each distinct chain once.
    """
    labels = parsed.labels
    if labels.num_rows == 0:
        return np.empty(0, dtype=np.int64)
    name, parent_name, level = (_codes(labels.column(key)) for key in ("name", "parent_name", "level"))
    parent = _codes(labels.column("parent"))
    version = _codes(parsed.lines.column("model_version"))[line]
    link = _number_pairs(_number_pairs(name, parent_name), level)
    chain = _number_pairs(link, version)
    ancestor = np.arange(labels.num_rows)
    ancestors = [ancestor]
    for _ in range(_FURTHEST - 1):
        ancestor = np.where(ancestor >= 0, parent[ancestor], -1)
        if (ancestor < 0).all():
            break
        ancestors.append(ancestor)
        chain = _number_pairs(chain, np.where(ancestor >= 0, link[ancestor], -1))
    rows = np.arange(len(chain))
    first_seen = np.empty(int(chain.max()) + 1, dtype=np.int64)
    first_seen[chain[::-1]] = rows[::-1]  # the last assignment stays: the first row
    strings = [*parsed.strings.to_pylist(), None]  # index -1 is None
    numbers = np.empty(len(first_seen), dtype=np.int64)
    for row in first_seen:
        links = tuple(
            Link(strings[name[at]], strings[parent_name[at]], int(level[at]) if level[at] > 0 else None)
            for at in (int(step[row]) for step in ancestors)
            if at >= 0
        )
        numbers[chain[row]] = places.number(resolve(links, strings[version[row]]))
    return numbers[chain]


def _codes(column: pa.Array) -> _Ints:
    """Integers with -1 for null."""
    return pc.fill_null(column.cast(pa.int64()), -1).to_numpy()


def _number_pairs(left: _Ints, right: _Ints) -> _Ints:
    """Number the distinct pairs of two columns (values from -1 up) in order of first appearance."""
    packed = (left + 1) * (int(right.max()) + 2) + right + 1
    return pa.array(packed).dictionary_encode().indices.to_numpy().astype(np.int64)
