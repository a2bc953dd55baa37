"""What a copy gets of the answer of another image: two tables, whichever load the answer is of."""

from __future__ import annotations

import pyarrow as pa

from moderation.schema import IMAGES, LABELS, physical_schema
from moderation.tables.ledger.layout import ANSWER_OF, OF_IMAGES

_OWN = {"load_id", "dt", "source_ref", "manifest_id", "line_number"}
_DEEPEST = LABELS[max(LABELS)]
OF_LABELS = tuple(name for name in _DEEPEST.schema.names if name not in _OWN)
"""The columns of the label tables that the answer decides; those of all levels."""

_KEY_FIELDS = [physical_schema(IMAGES).field(name) for name in ANSWER_OF]

IMAGE_ANSWERS = pa.schema([*_KEY_FIELDS, *(physical_schema(IMAGES).field(name) for name in OF_IMAGES)])
"""A row an answer."""

LABEL_ANSWERS = pa.schema(
    [
        *_KEY_FIELDS,
        pa.field("level", pa.int8()),
        pa.field("place", pa.int64()),
        *(physical_schema(_DEEPEST).field(name).with_nullable(True) for name in OF_LABELS),
    ]
)
"""A row a label of these answers; ``place`` rises in the order in which they stand."""
