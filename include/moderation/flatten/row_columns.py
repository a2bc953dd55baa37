"""The columns of images and labels that differ from row to row: compiled where possible, else in Python."""

from __future__ import annotations

from moderation.flatten.column_requests import ImageColumns, ImageRequest, LabelColumns, LabelRequest
from moderation.flatten.native import row_columns as compiled
from moderation.flatten.python import row_columns as definition


def image_columns(request: ImageRequest) -> ImageColumns:
    """One row an input, in the order of the inputs.

    :raises MemoryError: the columns do not fit into memory.
    """
    columns = compiled.image_columns(request)
    return definition.image_columns(request) if columns is None else columns


def label_columns(request: LabelRequest) -> LabelColumns:
    """One row a label, ordered as `LabelColumns` says.

    :raises pyarrow.ArrowInvalid: the source refs of all labels together have 2 GiB or more.
    """
    columns = compiled.label_columns(request)
    return definition.label_columns(request) if columns is None else columns
