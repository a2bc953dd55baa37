"""What a block of result lines becomes: the contract of both parsers, `python.parse` and `native.parse`.

Syntax and an answer's own chains only; no taxonomy, no inputs, no tables. Everything later works on
`ParsedBlock`. **Both parsers fill every column with identical values**; the Python is the definition.

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

from dataclasses import dataclass
from enum import IntEnum

import pyarrow as pa

MAX_LINE_BYTES = 4 * 1024 * 1024
"""A longer line is malformed (white space around it aside). An answer with every label has 10 kB."""

MAX_LABELS = 1_000
"""An answer with more is malformed: the taxonomy has 52, and finding parents takes time quadratic in them."""

MAX_LEVEL = 127
"""A TaxonomyLevel beyond it is none: taxonomy 7.0 has three levels, a later one may have more."""

MAX_RAW_CHARS = 2_000
"""How much of a line that gave no answer is kept."""


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
        # TaxonomyLevel when it is 1 to `MAX_LEVEL`; null when missing, null or another integer.
        pa.field("level", pa.int8()),
        # The JSON number as float64, integers included, never rounded or clipped.
        pa.field("confidence", pa.float64(), nullable=False),
        # Row in `labels` (of this block) of the parent within the same answer. Candidates are the other
        # labels of the line whose name equals parent_name (ASCII case ignored) and, where both levels are
        # known, whose level is one less, else the nearest that is less. Of several the first one listed
        # after the label, else the first listed. Null without candidates, and for the first listed label of
        # a circle: no chain is endless.
        pa.field("parent", pa.int32()),
        # True when there were several candidates and their parent names differ (ASCII case ignored):
        # the same L2 name under two L1s.
        pa.field("ambiguous", pa.bool_(), nullable=False),
        # Number of the label's chain in this block, counted in order of first appearance, a parent's before
        # its child's. A chain is the line's model_version, the name, parent_name and level of the label, and
        # the chain of its parent.
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
