"""All answers of one manifest as columns: parsed blocks joined, every label with its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa

from moderation.flatten import arrays
from moderation.flatten.answers import Answers
from moderation.flatten.label_paths import Link, Place, Standing, resolve
from moderation.flatten.parse import parse_block
from moderation.flatten.parsed_block import ParsedBlock

_Ints = np.ndarray
"""One-dimensional array of int32 or int64."""

_Key = TypeVar("_Key")


class _Numbers(dict[_Key, int], Generic[_Key]):
    """Numbers distinct things of a manifest in order of first appearance."""

    def number(self, key: _Key) -> int:
        return self.setdefault(key, len(self))


def read_answers(blocks: Iterable[tuple[bytes | memoryview, int]]) -> Answers:
    """Parse and join the blocks of one results file.

    Memory grows with the file, which AWS limits to the 10,000 lines of its manifest; see
    `moderation.flatten.flatten.flatten_unplanned` for files without such a bound.
    """
    places: _Numbers[Place] = _Numbers()
    versions: _Numbers[str] = _Numbers()
    adapters: _Numbers[str] = _Numbers()
    lines, labels = [], []
    line_base = label_base = 0
    for block, first_line in blocks:
        parsed = parse_block(block, first_line)
        lines.append(_Lines.of(parsed, versions, adapters, label_base))
        labels.append(_Labels.of(parsed, places, line_base))
        line_base += parsed.lines.num_rows
        label_base += parsed.labels.num_rows
    if not lines:
        return read_answers([(b"", 1)])
    table = _joined_lines(lines, tuple(versions), tuple(adapters))
    counts = arrays.to_numpy(table.column("label_count"))
    return Answers(
        lines=table,
        label_start=np.concatenate(([0], np.cumsum(counts, dtype=np.int64))),
        label_line=np.concatenate([part.line for part in labels]),
        label_place=np.concatenate([part.place for part in labels]),
        label_ambiguous=np.concatenate([part.ambiguous for part in labels]),
        confidence=np.concatenate([part.confidence for part in labels]),
        places=tuple(places),
    )


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines of a block; the index columns as numbers that hold for the whole manifest, -1 for null."""

    batch: pa.RecordBatch
    model_version: _Ints
    adapter: _Ints
    top_label: _Ints

    @classmethod
    def of(
        cls, parsed: ParsedBlock, versions: _Numbers[str], adapters: _Numbers[str], label_base: int
    ) -> _Lines:
        batch = parsed.lines
        top = arrays.codes(batch.column("top_label"))
        return cls(
            batch=batch,
            model_version=_renumbered(arrays.codes(batch.column("model_version")), parsed.strings, versions),
            adapter=_renumbered(arrays.codes(batch.column("adapter")), parsed.strings, adapters),
            top_label=np.where(top < 0, -1, top + label_base),
        )


def _renumbered(codes: _Ints, strings: pa.Array, numbers: _Numbers[str]) -> _Ints:
    table = np.full(len(strings) + 1, -1, dtype=np.int64)  # the last entry is that of -1
    for code in np.flatnonzero(np.bincount(codes + 1)[1:]).tolist():
        table[code] = numbers.number(strings[code].as_py())
    return table[codes]


def _joined_lines(parts: list[_Lines], versions: tuple[str, ...], adapters: tuple[str, ...]) -> pa.Table:
    table = pa.Table.from_batches([part.batch for part in parts])
    if len(parts) > 1:
        table = table.combine_chunks()
    top = np.concatenate([part.top_label for part in parts])
    resolved = {
        "model_version": _sorted(np.concatenate([part.model_version for part in parts]), versions),
        "adapter": _sorted(np.concatenate([part.adapter for part in parts]), adapters),
        "top_label": arrays.from_numpy(top, null=top < 0),
    }
    names = table.schema.names
    return pa.table([resolved.get(name, table.column(name)) for name in names], names=names)


@dataclass(frozen=True, slots=True)
class _Labels:
    line: _Ints
    place: _Ints
    ambiguous: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, parsed: ParsedBlock, places: _Numbers[Place], line_base: int) -> _Labels:
        labels = parsed.labels
        line = arrays.to_numpy(labels.column("line"))
        return cls(
            line=line.astype(np.int64) + line_base,
            place=_place_labels(parsed, places),
            ambiguous=arrays.to_numpy(labels.column("ambiguous")),
            confidence=arrays.to_numpy(labels.column("confidence")),
        )


def _sorted(numbers: _Ints, texts: tuple[str, ...]) -> pa.DictionaryArray:
    """The text of each number as a dictionary that does not depend on the order of the lines."""
    in_order = sorted(texts)
    rank = np.array([*(in_order.index(text) for text in texts), -1])  # the last entry is that of -1
    return arrays.pick(rank[numbers], in_order)


def _place_labels(parsed: ParsedBlock, places: _Numbers[Place]) -> _Ints:
    """Number of each label's place, worked out once for each distinct chain."""
    labels = parsed.labels
    if labels.num_rows == 0:
        return np.empty(0, dtype=np.int32)
    chain = arrays.to_numpy(labels.column("chain"))
    rows = np.arange(len(chain), dtype=np.int32)
    first_seen = np.empty(int(chain.max()) + 1, dtype=np.int32)
    first_seen[chain[::-1]] = rows[::-1]  # the last assignment stays: the first row
    reader = _ChainReader(parsed)
    return np.array([places.number(reader.place(row)) for row in first_seen.tolist()], dtype=np.int32)[chain]


class _ChainReader:
    """Reads chains of a block, one at a time: there are few distinct ones."""

    def __init__(self, parsed: ParsedBlock) -> None:
        labels = parsed.labels
        self._texts = [*parsed.strings.to_pylist(), None]  # index -1 is None
        self._name, self._parent_name, self._level, self._parent = (
            arrays.codes(labels.column(key)) for key in ("name", "parent_name", "level", "parent")
        )
        self._line = arrays.to_numpy(labels.column("line"))
        self._version = arrays.codes(parsed.lines.column("model_version"))
        self._chain = arrays.to_numpy(labels.column("chain"))
        self._standing: dict[int, Standing] = {}

    def place(self, row: int) -> Place:
        """Of the label in this row."""
        version = self._texts[self._version[self._line[row]]]
        lineage = [row]  # as far up as its places are not known yet
        while (above := int(self._parent[lineage[-1]])) >= 0 and self._chain[above] not in self._standing:
            lineage.append(above)
        standing = self._standing[self._chain[above]] if above >= 0 else None
        for at in reversed(lineage):
            name, parent_name = self._texts[self._name[at]], self._texts[self._parent_name[at]]
            level = int(self._level[at])
            standing = resolve(Link(name, parent_name, level if level > 0 else None), standing, version)
            self._standing[self._chain[at]] = standing
        return self._standing[self._chain[row]].place
