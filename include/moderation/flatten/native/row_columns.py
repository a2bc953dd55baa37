"""The columns of images and labels in compiled code: the twin of `python.row_columns`."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pyarrow as pa

from moderation.flatten import arrays
from moderation.flatten.answers import Answers
from moderation.flatten.column_requests import (
    GROUPS,
    IMAGE_TYPES,
    LABEL_TYPES,
    PLACE_FLAGS,
    PLACE_TEXTS,
    ImageColumns,
    ImageRequest,
    LabelColumns,
    LabelRequest,
)
from moderation.flatten.native import library

_pointer, _int64, _int32, _int8 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_int8


class _Column(ctypes.Structure):
    _fields_ = (("values", _pointer), ("validity", _pointer), ("offset", _int64))


_LINE_COLUMNS = (
    "illustrated",
    "animated",
    "content_types",
    "other_content_types",
    "label_count",
    "top_label",
    "model_version",
    "adapter",
)


class _Answers(ctypes.Structure):
    _fields_ = (
        *((name, _Column) for name in _LINE_COLUMNS),
        ("label_start", _pointer),
        ("place", _pointer),
        ("ambiguous", _pointer),
        ("confidence", _pointer),
    )


class _Images(ctypes.Structure):
    _fields_ = (
        ("rows", _int64),
        ("answer", _pointer),
        ("failed", _pointer),
        ("l1", _pointer),
        ("unknown", _pointer),
        ("instead_of_version", _int32),
        ("instead_of_adapter", _int32),
        ("moderated_at", _int64),
        ("has_moderated_at", _int8),
        ("any_unknown", _int8),
    )


class _Labels(ctypes.Structure):
    _fields_ = (
        ("images", _int64),
        ("image", _pointer),
        ("line", _pointer),
        ("ref_offsets", _pointer),
        ("refs", _pointer),
        ("line_number", _pointer),
        ("level", _pointer),
        ("places", _int64),
        ("texts", _int64),
        ("flags", _int64),
        ("text_codes", _pointer),
        ("flag_values", _pointer),
        ("instead_of_version", _int32),
    )


class _Arguments:
    """Addresses for one call; keeps alive what they point to."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def numbers(self, values: np.ndarray, kind: type[np.generic]) -> int:
        """Address of an array, which is copied only if it is not of this type already."""
        values = np.ascontiguousarray(values, dtype=kind)
        self._kept.append(values)
        address: int = values.__array_interface__["data"][0]
        return address

    def column(self, column: pa.Array) -> _Column:
        """An Arrow array of fixed width."""
        self._kept.append(column)
        validity, values = column.buffers()
        has_nulls = column.null_count > 0
        return _Column(_address(values), _address(validity) if has_nulls else None, column.offset)

    def text(self, column: pa.Array) -> tuple[int, int]:
        """Offsets and bytes of a string array."""
        self._kept.append(column)
        _, offsets, text = column.buffers()
        start = offsets.address + 4 * column.offset if offsets is not None and offsets.size else 0
        return start, _address(text) or 0


def _address(buffer: pa.Buffer | None) -> int | None:
    return None if buffer is None else buffer.address


def image_columns(request: ImageRequest) -> ImageColumns | None:
    """As `moderation.flatten.row_columns.image_columns`; None when there is no library."""
    native = library.load()
    if native is None:
        return None
    arguments = _Arguments()
    places = request.places
    unknown = places.flags[PLACE_FLAGS.index("unknown_label")]
    images = _Images(
        len(request.answer),
        arguments.numbers(request.answer, np.int64),
        arguments.numbers(request.failed, np.bool_),
        arguments.numbers(places.texts[PLACE_TEXTS.index("l1")], np.int32),
        arguments.numbers(unknown, np.bool_),
        request.instead_of_version,
        request.instead_of_adapter,
        request.moderated_at or 0,
        request.moderated_at is not None,
        bool(unknown.any()),
    )
    answers = _answers(request.answers, arguments)
    columns = _called(native, native.moderation_image_columns, answers, images, IMAGE_TYPES)
    if columns is None:
        raise MemoryError(f"no memory for the rows of {len(request.answer):,} images")
    return ImageColumns(*columns)


def label_columns(request: LabelRequest) -> LabelColumns | None:
    """As `moderation.flatten.row_columns.label_columns`.

    :returns: None when there is no library, or it cannot: the source refs are no `pa.string`, or together
        have more bytes than 32-bit offsets can count, or do not fit into memory.
    """
    native = library.load()
    if native is None or request.source_refs.type != pa.string():
        return None
    arguments = _Arguments()
    places = request.places
    labels = _Labels(
        len(request.image),
        arguments.numbers(request.image, np.int64),
        arguments.numbers(request.line, np.int64),
        *arguments.text(request.source_refs),
        arguments.numbers(request.line_numbers, np.int64),
        arguments.numbers(places.level, np.int8),
        len(places.level),
        len(PLACE_TEXTS),
        len(PLACE_FLAGS),
        arguments.numbers(places.texts, np.int32),
        arguments.numbers(places.flags, np.bool_),
        request.instead_of_version,
    )
    answers = _answers(request.answers, arguments)
    types = (pa.int64(), *LABEL_TYPES.values())
    columns = _called(native, native.moderation_label_columns, answers, labels, types)
    if columns is None:
        return None
    bounds = arrays.to_numpy(columns[0])[: GROUPS + 1].tolist()
    return LabelColumns(bounds, dict(zip(LABEL_TYPES, columns[1:], strict=True)))


def _answers(answers: Answers, arguments: _Arguments) -> _Answers:
    lines = [arrays.joined(answers.lines.column(name)) for name in _LINE_COLUMNS]
    columns = (line.indices if pa.types.is_dictionary(line.type) else line for line in lines)
    return _Answers(
        *(arguments.column(column) for column in columns),
        arguments.numbers(answers.label_start, np.int64),
        arguments.numbers(answers.label_place, np.int32),
        arguments.numbers(answers.label_ambiguous, np.bool_),
        arguments.numbers(answers.confidence, np.float64),
    )


def _called(
    native: ctypes.CDLL,
    function: Any,
    answers: _Answers,
    request: ctypes.Structure,
    types: tuple[pa.DataType, ...],
) -> list[pa.Array] | None:
    address = function(ctypes.byref(answers), ctypes.byref(request))
    if not address:
        return None
    owned = library.Owned(native.moderation_free_rows, address)
    views = native.moderation_row_views(address)
    return [library.to_array(kind, views[number], owned) for number, kind in enumerate(types)]
