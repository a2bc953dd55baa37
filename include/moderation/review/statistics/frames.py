"""What numbers are told from: three tables, whoever made them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

PRESENT, ABSENT, UNSURE = "present", "absent", "unsure"
IMAGE_LEVEL = 0
"""Level of the rows that are about an image as a whole: is there anything to flag?"""

_ANSWERED_BY = [
    ("load_id", pa.string()),
    ("model_version", pa.string()),
    ("adapter", pa.string()),
    ("threshold", pa.float64()),
    ("week", pa.string()),
]

JUDGED = pa.schema(
    [
        ("content", pa.string()),
        ("copies", pa.int64()),
        ("label", pa.string()),
        ("level", pa.int32()),
        ("l1", pa.string()),
        ("l2", pa.string()),
        ("l3", pa.string()),
        ("content_type", pa.string()),
        ("confidence", pa.float64()),
        ("predicted", pa.bool_()),
        ("truth", pa.string()),
        ("design", pa.string()),
        ("draw", pa.string()),
        ("stratum", pa.string()),
        ("stratum_size", pa.int64()),
        ("stratum_drawn", pa.int64()),
        ("inclusion_probability", pa.float64()),
        *_ANSWERED_BY,
        ("reviewer", pa.string()),
        ("flagged", pa.bool_()),
    ]
)
"""One row a content, label and draw that anybody decided something about.

``label`` is null (``level`` 0) for the image as a whole: predicted when any label is, present when any is.
``confidence`` is null for a label that the answer does not list. ``predicted`` is at ``threshold``.
``truth`` is present, absent, unsure or null (disputed). ``draw`` names the random draw (queue and seed) that
the item came from, null for one met by browsing; ``stratum_size`` are the contents of its stratum,
``stratum_drawn`` those drawn.
``week`` is the Monday of the load's day, as 2026-11-23. ``flagged``: the image has any label at
``threshold``.
"""

DRAWS = pa.schema(
    [
        ("draw", pa.string()),
        ("design", pa.string()),
        ("stratum", pa.string()),
        ("stratum_size", pa.int64()),
        ("stratum_drawn", pa.int64()),
        ("load_id", pa.string()),
        ("kind", pa.string()),
        ("label", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)
"""Each stratum of each draw, also where nothing is decided yet; a row for each load that it was drawn from.

``kind``, ``label``, ``low`` and ``high`` are the queue's: they tell what the draw stands for. What a filter,
a band or a policy chose stands for itself alone and enters no rate of a label.
"""

POPULATIONS = pa.schema(
    [
        ("label", pa.string()),
        ("level", pa.int32()),
        ("content_type", pa.string()),
        *_ANSWERED_BY,
        ("contents", pa.int64()),
        ("copies", pa.int64()),
        ("flagged", pa.int64()),
        ("flagged_copies", pa.int64()),
    ]
)
"""How many distinct contents were answered, and flagged with each label; ``label`` null for any label."""


@dataclass(frozen=True)
class Frames:
    """What numbers are told from.

    :param judged: as `JUDGED`.
    :param draws: as `DRAWS`.
    :param populations: as `POPULATIONS`.
    :param verdicts: the rows of the verdict log, for numbers about people; empty if none are asked for.
    """

    judged: pa.Table
    draws: pa.Table = field(default_factory=DRAWS.empty_table)
    populations: pa.Table = field(default_factory=POPULATIONS.empty_table)
    verdicts: pa.Table | None = None
