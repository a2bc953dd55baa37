"""Result lines to Arrow columns, as `moderation.flatten.parsed_block` states them: the definition."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from moderation.errors import DefectError
from moderation.flatten.parsed_block import (
    LABELS_SCHEMA,
    LINES_SCHEMA,
    MAX_LABELS,
    MAX_LEVEL,
    MAX_LINE_BYTES,
    MAX_RAW_CHARS,
    Outcome,
    ParsedBlock,
)

_SPACE = b" \t\r\n"
_SALVAGE = re.compile(rb'"source-ref"[ \t]*:[ \t]*("(?:[^"\\]|\\.)*")')


class _BadAnswer(DefectError):
    """The answer of one line cannot be read as a whole."""


def parse_block(block: bytes | memoryview, first_line: int) -> ParsedBlock:
    """As `moderation.flatten.parse.parse_block`, whatever the bytes are."""
    builder = _Builder()
    for offset, raw in enumerate(bytes(block).split(b"\n")):
        line = raw.strip(_SPACE)
        if line:
            builder.add(line, first_line + offset)
    return builder.finish()


class _Builder:
    """Collects the rows of one block as tuples in column order."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self.labels: list[tuple[Any, ...]] = []
        self.strings: dict[str, int] = {}
        self.chains: dict[tuple[Any, ...], int] = {}

    def add(self, line: bytes, line_number: int) -> None:
        """Append the rows of one line that is not blank."""
        outcome, source_ref, answer = _classify(line)
        if outcome is Outcome.ANSWERED:
            try:
                labels = [_read_label(item) for item in answer["ModerationLabels"]]
            except _BadAnswer:
                outcome = Outcome.BAD_ANSWER
        if outcome is not Outcome.ANSWERED:
            raw = line.decode("utf-8", "replace")[:MAX_RAW_CHARS]
            self.lines.append(
                (line_number, int(outcome), source_ref, None, None, None, None, None, 0, 0, None, raw)
            )
            return
        model_version = self._index_of(answer.get("ModerationModelVersion"))
        adapter = self._index_of(answer.get("ProjectVersion"))
        content_types = _read_content_types(answer.get("ContentTypes"))
        top = self._add_labels(labels, model_version) if labels else None
        self.lines.append(
            (line_number, 0, source_ref, model_version, adapter, *content_types, len(labels), top, None)
        )

    def finish(self) -> ParsedBlock:
        """The Arrow form of everything added."""
        return ParsedBlock(
            lines=_to_batch(self.lines, LINES_SCHEMA),
            labels=_to_batch(self.labels, LABELS_SCHEMA),
            strings=pa.array(list(self.strings), pa.string()),
        )

    def _add_labels(self, labels: list[_Label], model_version: int | None) -> int:
        base, line = len(self.labels), len(self.lines)
        found = [_find_parent(labels, position) for position in range(len(labels))]
        parents = _without_circles([parent for parent, _ in found])
        chains = self._number_chains(labels, parents, model_version)
        top = 0
        for position, label in enumerate(labels):
            parent = parents[position]
            self.labels.append(
                (
                    line,
                    self._index_of(label.name),
                    self._index_of(label.parent_name),
                    label.level,
                    label.confidence,
                    None if parent is None else base + parent,
                    found[position][1],
                    chains[position],
                )
            )
            if label.confidence > labels[top].confidence:
                top = position
        return base + top

    def _number_chains(
        self, labels: list[_Label], parents: list[int | None], model_version: int | None
    ) -> list[int]:
        chains: dict[int | None, int] = {None: -1}
        for position in range(len(labels)):
            lineage: list[int] = []
            at: int | None = position
            while at is not None and at not in chains:
                lineage.append(at)
                at = parents[at]
            for below in reversed(lineage):
                key = (model_version, *labels[below][:_LINK_FIELDS], chains[parents[below]])
                chains[below] = self.chains.setdefault(key, len(self.chains))
        return [chains[position] for position in range(len(labels))]

    def _index_of(self, value: Any) -> int | None:
        if not isinstance(value, str) or not value:
            return None
        return self.strings.setdefault(value, len(self.strings))


def _to_batch(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _classify(line: bytes) -> tuple[Outcome, str | None, Any]:
    try:
        if len(line) > MAX_LINE_BYTES:
            return Outcome.NOT_JSON, _salvage_source_ref(line), None
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return Outcome.NOT_JSON, _salvage_source_ref(line), None
    if not isinstance(entry, dict):
        return Outcome.NOT_AN_OBJECT, None, None
    source_ref = entry.get("source-ref")
    if not isinstance(source_ref, str) or not source_ref:
        return Outcome.NO_SOURCE_REF, None, None
    answer = entry.get("detect-moderation-labels")
    return _classify_answer(answer), source_ref, answer


def _classify_answer(answer: Any) -> Outcome:
    if answer is None:
        return Outcome.NO_ANSWER
    if (
        isinstance(answer, dict)
        and isinstance(answer.get("ModerationLabels"), list)
        and len(answer["ModerationLabels"]) <= MAX_LABELS
        and isinstance(answer.get("ContentTypes"), list | None)
    ):
        return Outcome.ANSWERED
    return Outcome.BAD_ANSWER


def _salvage_source_ref(line: bytes) -> str | None:
    """The image that a broken line was about, so that it fails with a line number and is not just missing."""
    match = _SALVAGE.search(line)
    if match is None:
        return None
    try:
        return orjson.loads(match[1]) or None
    except orjson.JSONDecodeError:
        return None


class _Label(NamedTuple):
    name: str
    parent_name: str | None
    level: int | None
    confidence: float
    folded: str
    folded_parent: str | None


_LINK_FIELDS = 3
"""The first fields of `_Label` are what a chain says of a label."""


def _read_label(item: Any) -> _Label:
    if not isinstance(item, dict):
        raise _BadAnswer
    name, parent_name, level = item.get("Name"), item.get("ParentName"), item.get("TaxonomyLevel")
    confidence = _number(item.get("Confidence"))
    if (
        not isinstance(name, str)
        or not name
        or confidence is None
        or not isinstance(parent_name, str | None)
        or type(level) not in (int, type(None))  # bool is an int in Python and no number in JSON
    ):
        raise _BadAnswer
    return _Label(
        name=name,
        folded=_fold(name),
        parent_name=parent_name or None,
        folded_parent=_fold(parent_name) if parent_name else None,
        level=level if level is not None and 1 <= level <= MAX_LEVEL else None,
        confidence=confidence,
    )


def _without_circles(parents: list[int | None]) -> list[int | None]:
    """The parents, of each circle the first listed label without."""
    parents, walks = parents[:], {}
    for start in range(len(parents)):
        at: int | None = start
        while at is not None and at not in walks:
            walks[at] = start
            at = parents[at]
        if at is None or walks[at] != start:
            continue
        first, following = at, parents[at]
        while following is not None and following != at:
            first, following = min(first, following), parents[following]
        parents[first] = None
    return parents


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (float, int) else None


_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def _fold(text: str) -> str:
    """Lower case of ASCII letters only: the same in every language a twin may be written in."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def _find_parent(labels: list[_Label], position: int) -> tuple[int | None, bool]:
    child = labels[position]
    if child.folded_parent is None:
        return None, False
    above = (child.level or 0) - 1
    near = {
        index: label.level if child.level is not None and label.level is not None else above
        for index, label in enumerate(labels)
        if label.folded == child.folded_parent and index != position
    }
    nearest = max((level for level in near.values() if level <= above), default=None)
    candidates = [index for index, level in near.items() if level == nearest]
    if len(candidates) <= 1:
        return (candidates[0] if candidates else None), False
    chosen = next((index for index in candidates if index > position), candidates[0])
    return chosen, len({labels[index].folded_parent for index in candidates}) > 1


_ContentTypes = tuple[int | None, float | None, float | None, int]


def _read_content_types(items: list[Any] | None) -> _ContentTypes:
    if items is None:
        return None, None, None, 0
    found: dict[str, float] = {}
    other = 0
    for item in items:
        fields = item if isinstance(item, dict) else {}
        name, confidence = fields.get("Name"), _number(fields.get("Confidence"))
        kind = _fold(name) if isinstance(name, str) else ""
        if kind not in ("illustrated", "animated") or confidence is None:
            other += 1
        else:
            found[kind] = max(confidence, found.get(kind, confidence))
    return len(items), found.get("illustrated"), found.get("animated"), other
