"""What the columns of images and labels are asked for with, and what they are: the contract of both makers.

`python.row_columns` and `native.row_columns` know this module alone. **Both fill every column with identical
values**; the Python is the definition. Text is given as codes: numbers of texts that the caller knows, null
for none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from moderation.flatten.answers import Answers
from moderation.schema import CONTENT_TYPES

PLACE_TEXTS = ("l1", "l2", "l3", "name", "parent_name", "v7_l1", "v7_l2", "v7_l3")
PLACE_FLAGS = ("unknown_label", "respelled", "path_derived", "level_derived", "v7_ambiguous")
"""Fields of `moderation.flatten.label_paths.Place` that are columns of the label tables."""

LEVELS = 3
GROUPS = LEVELS * len(CONTENT_TYPES)


@dataclass(frozen=True, slots=True)
class PlaceCodes:
    """`Answers.places` by columns.

    :param level: of each place, int8.
    :param texts: codes of `PLACE_TEXTS`, one row a field and one column a place; int32, -1 for null.
    :param flags: the same of `PLACE_FLAGS`; bool.
    """

    level: np.ndarray
    texts: np.ndarray
    flags: np.ndarray


class ImageColumns(NamedTuple):
    """One row an input; named as in `schema.IMAGES`.

    :param status: code: 0 moderated, 1 failed, 2 not attempted.
    :param content_type: code into `schema.CONTENT_TYPES`.
    :param top_l1: code as in `PlaceCodes`; so are the texts of `LabelColumns`.
    :param model_version: code as in ``answers.lines``; so is ``adapter``.
    """

    status: pa.Array
    content_type: pa.Array
    illustrated_confidence: pa.Array
    animated_confidence: pa.Array
    label_count: pa.Array
    top_l1: pa.Array
    max_confidence: pa.Array
    model_version: pa.Array
    adapter: pa.Array
    moderated_at: pa.Array
    content_types_answered: pa.Array
    other_content_types: pa.Array
    unknown_labels: pa.Array


IMAGE_TYPES = ImageColumns(
    status=pa.int32(),
    content_type=pa.int32(),
    illustrated_confidence=pa.float64(),
    animated_confidence=pa.float64(),
    label_count=pa.int32(),
    top_l1=pa.int32(),
    max_confidence=pa.float64(),
    model_version=pa.int32(),
    adapter=pa.int32(),
    moderated_at=pa.timestamp("us", "UTC"),
    content_types_answered=pa.bool_(),
    other_content_types=pa.int32(),
    unknown_labels=pa.int32(),
)


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """What the columns of the images are made of.

    :param answer: row in ``answers.lines`` of the line that answers each input, -1 without one; int64.
    :param failed: mask of the inputs without an answer that have an error or an unreadable line.
    :param instead_of_version: code of images without a version in their answer; -1 for null.
    :param instead_of_adapter: code of images without an answer; -1 for null.
    :param moderated_at: microseconds since 1970, None for null; images not attempted have null.
    """

    answers: Answers
    places: PlaceCodes
    answer: np.ndarray
    failed: np.ndarray
    instead_of_version: int
    instead_of_adapter: int
    moderated_at: int | None


class LabelColumns(NamedTuple):
    """One row a label; by level, then content type, then input, then as answered.

    :param bounds: where each group of one level and content type starts, and where the last one ends: the
        group of level L and content type C is number ``(L - 1) * 4 + C``.
    :param columns: content_type, source_ref, line_number, confidence, ambiguous_parent, model_version,
        `PLACE_TEXTS`, `PLACE_FLAGS`; named as in `schema.LABELS`.
    """

    bounds: list[int]
    columns: dict[str, pa.Array]


LABEL_TYPES = {
    "content_type": pa.int32(),
    "source_ref": pa.string(),
    "line_number": pa.int64(),
    "confidence": pa.float64(),
    "ambiguous_parent": pa.bool_(),
    "model_version": pa.int32(),
    **dict.fromkeys(PLACE_TEXTS, pa.int32()),
    **dict.fromkeys(PLACE_FLAGS, pa.bool_()),
}


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """What the columns of the labels are made of.

    :param image: the inputs whose labels become rows, ascending; int64.
    :param line: the answering line of each of them; int64.
    :param source_refs: of all inputs; type string, no nulls.
    :param line_numbers: of all inputs; int64.
    :param instead_of_version: as in `ImageRequest`.
    """

    answers: Answers
    places: PlaceCodes
    image: np.ndarray
    line: np.ndarray
    source_refs: pa.Array
    line_numbers: np.ndarray
    instead_of_version: int
