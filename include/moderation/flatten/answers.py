"""All answers of one manifest as columns; the type alone, `read_answers` fills it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from moderation.flatten.label_paths import Place


@dataclass(frozen=True, slots=True)
class Answers:
    """The result lines of a manifest, in file order, and their labels.

    :param lines: `parsed_block.LINES_SCHEMA`, the index columns resolved: model_version and adapter are
        Arrow dictionaries of strings, top_label (int64) counts through all labels.
    :param label_start: row of the first label of each line; one more entry than lines.
    :param label_line: row in ``lines`` of each label.
    :param label_place: index into ``places`` of each label.
    :param label_ambiguous: of each label.
    :param confidence: of each label, as answered.
    :param places: the distinct places, in order of first appearance.
    """

    lines: pa.Table
    label_start: np.ndarray
    label_line: np.ndarray
    label_place: np.ndarray
    label_ambiguous: np.ndarray
    confidence: np.ndarray
    places: tuple[Place, ...]
