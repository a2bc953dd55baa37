"""The columns of images and labels that differ from row to row, from answers and their reconciliation.

`image_columns` and `label_columns` have a compiled twin, `flatten.native.row_columns`. **The twin fills every
column with identical values**; the functions ``…_in_python`` are the definition. Text is given as codes:
numbers of texts that the caller knows, null for none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from moderation.flatten import arrays
from moderation.flatten.read_answers import Answers
from moderation.flatten.reconcile import Reconciliation
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

    :param state: one entry an input.
    :param instead_of_version: code of images without a version in their answer; -1 for null.
    :param instead_of_adapter: code of images without an answer; -1 for null.
    :param moderated_at: microseconds since 1970, None for null; images not attempted have null.
    """

    answers: Answers
    places: PlaceCodes
    state: Reconciliation
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


def image_columns(request: ImageRequest) -> ImageColumns:
    """The columns of the images, compiled where that can be had."""
    from moderation.flatten.native import row_columns  # noqa: PLC0415 - it builds on this module

    return row_columns.image_columns(request)


def label_columns(request: LabelRequest) -> LabelColumns:
    """The columns of the labels, compiled where that can be had."""
    from moderation.flatten.native import row_columns  # noqa: PLC0415 - it builds on this module

    return row_columns.label_columns(request)


def image_columns_in_python(request: ImageRequest) -> ImageColumns:
    """`image_columns` as this module defines it."""
    answers, state = request.answers, request.state
    unanswered = ~state.moderated
    lines = arrays.take(answers.lines.select(_LINE_COLUMNS), state.answer, null=unanswered)
    top = arrays.codes(lines.column("top_label"))
    labelled = top >= 0
    highest = np.zeros(len(top))
    highest[labelled] = answers.confidence[top[labelled]]
    top_l1 = np.full(len(top), -1)
    top_l1[labelled] = request.places.texts[PLACE_TEXTS.index("l1")][answers.label_place[top[labelled]]]
    version = _dictionary_codes(lines.column("model_version"))
    adapter = _dictionary_codes(lines.column("adapter"))
    label_count = arrays.to_numpy(lines.column("label_count"))
    moderated_at = np.full(len(top), request.moderated_at or 0, dtype=np.int64)
    never = np.full(len(top), request.moderated_at is None)
    return ImageColumns(
        status=_codes(np.where(state.moderated, 0, np.where(state.failed, 1, 2))),
        content_type=_codes(np.where(unanswered, -1, _content_type(lines))),
        illustrated_confidence=arrays.joined(lines.column("illustrated")),
        animated_confidence=arrays.joined(lines.column("animated")),
        label_count=arrays.from_numpy(np.where(unanswered, 0, label_count).astype(np.int32)),
        top_l1=_codes(top_l1),
        max_confidence=arrays.from_numpy(highest, null=~labelled),
        model_version=_codes(np.where(version < 0, request.instead_of_version, version)),
        adapter=_codes(np.where(unanswered, request.instead_of_adapter, adapter)),
        moderated_at=arrays.from_numpy(
            moderated_at, IMAGE_TYPES.moderated_at, null=never | (unanswered & ~state.failed)
        ),
        content_types_answered=arrays.from_numpy(
            arrays.is_valid(lines.column("content_types")), null=unanswered
        ),
        other_content_types=arrays.joined(lines.column("other_content_types")),
        unknown_labels=_unknown_labels(request),
    )


_LINE_COLUMNS = (
    "model_version",
    "adapter",
    "content_types",
    "illustrated",
    "animated",
    "other_content_types",
    "label_count",
    "top_label",
)


def _codes(numbers: np.ndarray) -> pa.Array:
    return arrays.from_numpy(numbers.astype(np.int32), null=numbers < 0)


def _dictionary_codes(column: pa.ChunkedArray) -> np.ndarray:
    return arrays.codes(arrays.joined(column).indices)


def _content_type(lines: pa.Table) -> np.ndarray:
    """Code of each line's content type."""
    return arrays.is_valid(lines.column("illustrated")) + 2 * arrays.is_valid(lines.column("animated"))


def _unknown_labels(request: ImageRequest) -> pa.Array:
    answers, state = request.answers, request.state
    unknown = request.places.flags[PLACE_FLAGS.index("unknown_label")]
    strange = answers.label_line[unknown[answers.label_place]]
    per_line = np.bincount(strange, minlength=answers.lines.num_rows + 1)
    return arrays.from_numpy((per_line[state.answer] * state.moderated).astype(np.int32))


def label_columns_in_python(request: LabelRequest) -> LabelColumns:
    """`label_columns` as this module defines it."""
    answers, line = request.answers, request.line
    counts = answers.label_start[line + 1] - answers.label_start[line]
    first = np.repeat(answers.label_start[line] - (np.cumsum(counts) - counts), counts)
    label = first + np.arange(int(counts.sum()))
    content_type = np.repeat(_content_type(answers.lines)[line], counts)
    group = (request.places.level[answers.label_place[label]] - 1) * len(CONTENT_TYPES) + content_type
    order = np.argsort(group, kind="stable")
    label, owner = label[order], np.repeat(request.image, counts)[order]
    place = answers.label_place[label]
    version = _dictionary_codes(answers.lines.column("model_version"))[answers.label_line[label]]
    columns = {
        "content_type": _codes(content_type[order]),
        "source_ref": arrays.take(request.source_refs, owner),
        "line_number": arrays.from_numpy(request.line_numbers[owner]),
        "confidence": arrays.from_numpy(answers.confidence[label]),
        "ambiguous_parent": arrays.from_numpy(answers.label_ambiguous[label]),
        "model_version": _codes(np.where(version < 0, request.instead_of_version, version)),
    }
    for name, codes in zip(PLACE_TEXTS, request.places.texts, strict=True):
        columns[name] = _codes(codes[place])
    for name, flags in zip(PLACE_FLAGS, request.places.flags, strict=True):
        columns[name] = arrays.from_numpy(flags[place])
    return LabelColumns(np.searchsorted(group[order], np.arange(GROUPS + 1)).tolist(), columns)
