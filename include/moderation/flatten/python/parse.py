"""Result lines to Arrow columns: syntax and an answer's own chains only; no taxonomy, no inputs, no tables.

Everything later works on `ParsedBlock`, so this module has a compiled twin, `native.library`. **The twin
fills every column with identical values**; `parse_block_in_python` is the definition.

What a line means
-----------------
A *line* ends at ``\\n`` (a ``\\r`` before it is JSON white space); a last line without ``\\n`` counts.
Numbers are 1-based and physical: blank lines (JSON white space only) yield no row but are counted.
A line is valid when it is one RFC 8259 value in strict UTF-8: no NaN, no unpaired surrogates, no number
beyond float64, at most 1024 levels deep. Of a duplicated JSON key the last one counts, as in Python's json.

============== =====================================================================================
`Outcome`      when (first match wins)
============== =====================================================================================
NOT_JSON       not a valid JSON value, also: cut off, longer than `MAX_LINE_BYTES`
NOT_AN_OBJECT  valid JSON, but no object
NO_SOURCE_REF  ``source-ref`` missing, null, empty or no string
NO_ANSWER      ``detect-moderation-labels`` missing or null
BAD_ANSWER     the answer is no object; or ``ModerationLabels`` missing, null or no list (an image is never
               passed because its labels are missing; ``[]`` is the only way to say "nothing found") or longer
               than `MAX_LABELS`; or a label is no object, its ``Name`` no non-empty string, its
               ``Confidence`` no number, its ``ParentName`` neither string nor null, its
               ``TaxonomyLevel`` neither integer nor null; or ``ContentTypes`` neither list nor null
ANSWERED       everything else, whatever further keys the line or the answer holds
============== =====================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

MAX_LINE_BYTES = 4 * 1024 * 1024
"""A longer line is malformed (white space around it aside). An answer with every label has 10 kB."""

MAX_LABELS = 1_000
"""An answer with more is malformed: the taxonomy has 52, and finding parents takes time quadratic in them."""

CHAIN_LINKS = 4
"""Labels of a chain that count: three levels, and one more to notice that it goes on."""

MAX_RAW_CHARS = 2_000
"""How much of a line that gave no answer is kept."""

_SPACE = b" \t\r\n"
_SALVAGE = re.compile(rb'"source-ref"[ \t]*:[ \t]*("(?:[^"\\]|\\.)*")')


class Outcome(IntEnum):
    """What a results line turned out to be; see the module's table."""

    ANSWERED = 0
    NO_ANSWER = 1
    NOT_JSON = 2
    NOT_AN_OBJECT = 3
    NO_SOURCE_REF = 4
    BAD_ANSWER = 5


LINES_SCHEMA = pa.schema(
    [
        # 1-based physical number of the line in its file.
        pa.field("line_number", pa.int64(), nullable=False),
        # an `Outcome`.
        pa.field("outcome", pa.int8(), nullable=False),
        # As decoded from JSON, byte for byte (no normalisation). For NOT_JSON: what the first
        # `"source-ref": "…"` of the line holds if that string is whole and not empty. Null otherwise.
        pa.field("source_ref", pa.string()),
        # Index into `ParsedBlock.strings` of ModerationModelVersion, of ProjectVersion; null when
        # missing, empty or no string, and on every line that is not ANSWERED.
        pa.field("model_version", pa.int32()),
        pa.field("adapter", pa.int32()),
        # Number of items in ContentTypes; null when ContentTypes is missing or null, or not ANSWERED.
        pa.field("content_types", pa.int32()),
        # Confidence of the item named so (ASCII case ignored); the highest when named more than once;
        # null when absent.
        pa.field("illustrated", pa.float64()),
        pa.field("animated", pa.float64()),
        # Items of ContentTypes that are neither of the two, or without string Name or number Confidence.
        pa.field("other_content_types", pa.int32(), nullable=False),
        # Rows of `labels` that belong to this line; they follow each other in the order of the answer.
        pa.field("label_count", pa.int32(), nullable=False),
        # Row in `labels` (of this block) with the highest confidence, the first listed of equals;
        # null without labels.
        pa.field("top_label", pa.int32()),
        # Text of a line that is not ANSWERED, without white space around it: invalid UTF-8 as U+FFFD (as
        # Python's "replace"), at most `MAX_RAW_CHARS` code points. Null when ANSWERED.
        pa.field("raw", pa.string()),
    ]
)

LABELS_SCHEMA = pa.schema(
    [
        # Row in `lines` (of this block).
        pa.field("line", pa.int32(), nullable=False),
        # Index into `strings`; name as answered, parent_name null when missing, null or "".
        pa.field("name", pa.int32(), nullable=False),
        pa.field("parent_name", pa.int32()),
        # TaxonomyLevel when it is 1, 2 or 3; null when missing, null or another integer.
        pa.field("level", pa.int8()),
        # The JSON number as float64, integers included, never rounded or clipped.
        pa.field("confidence", pa.float64(), nullable=False),
        # Row in `labels` (of this block) of the parent within the same answer. Candidates are the other
        # labels of the line whose name equals parent_name (ASCII case ignored) and, where both levels are
        # known, whose level is one less. Of several the first one listed after the label, else the first
        # listed. Null without candidates. Chains may be circular in hostile input.
        pa.field("parent", pa.int32()),
        # True when there were several candidates and their parent names differ (ASCII case ignored):
        # the same L2 name under two L1s.
        pa.field("ambiguous", pa.bool_(), nullable=False),
        # Number of the label's chain in this block, counted in order of first appearance. A chain is the
        # line's model_version and the name, parent_name and level of the label, of its parent, of that one's
        # parent and so on, `CHAIN_LINKS` labels at most.
        pa.field("chain", pa.int32(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class ParsedBlock:
    """The lines of a block, column by column.

    :param lines: one row a line that is not blank, in file order; `LINES_SCHEMA`.
    :param labels: one row a label, in file order; `LABELS_SCHEMA`.
    :param strings: each distinct label name, parent name, model version and adapter of the block once, in
        order of first appearance. Order within a line: model version, adapter, then for each label its name
        and its parent name. Type string, no nulls.
    """

    lines: pa.RecordBatch
    labels: pa.RecordBatch
    strings: pa.Array


class _BadAnswer(Exception):
    """The answer of one line cannot be read as a whole."""


def parse_block(block: bytes | memoryview, first_line: int) -> ParsedBlock:
    """Parse whole lines of a results file; never fails, whatever the bytes are.

    Compiled code does it where it can be had, `parse_block_in_python` elsewhere, with equal results.

    :param block: lines as `moderation.flatten.blocks.iter_blocks` cuts them.
    :param first_line: number of the block's first line in its file, 1-based.
    """
    from moderation.flatten.native import library  # noqa: PLC0415 - it builds on this module

    return library.parse_block(block, first_line)


def parse_block_in_python(block: bytes | memoryview, first_line: int) -> ParsedBlock:
    """`parse_block` as this module defines it."""
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
        parents = [parent for parent, _ in found]
        top = 0
        for position, label in enumerate(labels):
            parent, ambiguous = found[position]
            links = [labels[at][:_LINK_FIELDS] for at in _lineage(parents, position)]
            self.labels.append(
                (
                    line,
                    self._index_of(label.name),
                    self._index_of(label.parent_name),
                    label.level,
                    label.confidence,
                    None if parent is None else base + parent,
                    ambiguous,
                    self.chains.setdefault((model_version, *links), len(self.chains)),
                )
            )
            if label.confidence > labels[top].confidence:
                top = position
        return base + top

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
        level=level if level in (1, 2, 3) else None,
        confidence=confidence,
    )


def _lineage(parents: list[int | None], position: int) -> Iterator[int]:
    """A label and its ancestors by their positions, `CHAIN_LINKS` at most."""
    at: int | None = position
    for _ in range(CHAIN_LINKS):
        if at is None:
            return
        yield at
        at = parents[at]


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
    candidates = [
        index
        for index, label in enumerate(labels)
        if label.folded == child.folded_parent
        and index != position
        and (child.level is None or label.level is None or label.level == child.level - 1)
    ]
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
