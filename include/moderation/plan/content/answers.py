"""What a copy gets of the answer of another image: two tables, whichever load the answer is of."""

from __future__ import annotations

import pyarrow as pa

from moderation.schema import IMAGES, LABELS, physical_schema

KEY = ("answer_of_load_id", "answer_of_manifest_id", "answer_of_line")
"""Load, manifest and line of the image that the answer was paid for."""

OF_IMAGES = (
    *("status", "error_code", "error_message", "content_type", "illustrated_confidence"),
    *(
        "animated_confidence",
        "label_count",
        "top_l1",
        "max_confidence",
        "backend",
        "model_version",
        "adapter",
    ),
    *("job_id", "moderated_at", "min_confidence", "content_types_answered", "other_content_types"),
    "unknown_labels",
    "base_model_version",
)
"""The columns of `images` that the answer decides."""

_OWN = {"load_id", "dt", "source_ref", "manifest_id", "line_number"}
_DEEPEST = LABELS[max(LABELS)]
OF_LABELS = tuple(name for name in _DEEPEST.schema.names if name not in _OWN)
"""The columns of the label tables that the answer decides; those of all levels."""

_KEY_FIELDS = [physical_schema(IMAGES).field(name) for name in KEY]

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
