"""The columns of images and labels, as `moderation.flatten.column_requests` states them: the definition."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from moderation.flatten import arrays
from moderation.flatten.column_requests import (
    GROUPS,
    IMAGE_TYPES,
    PLACE_FLAGS,
    PLACE_TEXTS,
    ImageColumns,
    ImageRequest,
    LabelColumns,
    LabelRequest,
)
from moderation.schema import CONTENT_TYPES


def image_columns(request: ImageRequest) -> ImageColumns:
    """One row an input, in the order of the inputs."""
    answers = request.answers
    unanswered = request.answer < 0
    lines = arrays.take(answers.lines.select(_LINE_COLUMNS), request.answer, null=unanswered)
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
        status=_codes(np.where(unanswered, np.where(request.failed, 1, 2), 0)),
        content_type=_codes(np.where(unanswered, -1, _content_type(lines))),
        illustrated_confidence=arrays.joined(lines.column("illustrated")),
        animated_confidence=arrays.joined(lines.column("animated")),
        label_count=arrays.from_numpy(np.where(unanswered, 0, label_count).astype(np.int32)),
        top_l1=_codes(top_l1),
        max_confidence=arrays.from_numpy(highest, null=~labelled),
        model_version=_codes(np.where(version < 0, request.instead_of_version, version)),
        adapter=_codes(np.where(unanswered, request.instead_of_adapter, adapter)),
        moderated_at=arrays.from_numpy(
            moderated_at, IMAGE_TYPES.moderated_at, null=never | (unanswered & ~request.failed)
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
    answers = request.answers
    unknown = request.places.flags[PLACE_FLAGS.index("unknown_label")]
    strange = answers.label_line[unknown[answers.label_place]]
    per_line = np.bincount(strange, minlength=answers.lines.num_rows + 1)
    return arrays.from_numpy((per_line[request.answer] * (request.answer >= 0)).astype(np.int32))


def label_columns(request: LabelRequest) -> LabelColumns:
    """One row a label, ordered as `LabelColumns` says."""
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
