"""How many contents were answered, and flagged with each label, by what is counted apart."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

LISTED = pa.schema([("n", pa.int64()), ("label", pa.int64()), ("confidence", pa.float64())])
"""A row a label that an answer lists: the answer's number, the label's, -1 for one that is not told of."""


class Flagged:
    """Counts, to which one group of answers after the other is added.

    :param answers: what is counted apart: ``min_confidence`` and whatever else.
    :param labels: ``label``, ``level`` and ``threshold_wanted``, null for what was asked.
    """

    def __init__(self, answers: pa.Table, labels: pa.Table) -> None:
        self._answers, self._labels = answers, labels
        self._least = answers["min_confidence"].to_numpy()
        # The last one is of labels that are not told of: they count for the image as a whole.
        self._wanted = np.append(_numbers(labels["threshold_wanted"]), 0.0)
        self._contents, self._copies = (np.zeros(answers.num_rows, np.int64) for _ in range(2))
        shape = (answers.num_rows, labels.num_rows + 2)
        self._flagged, self._flagged_copies = (np.zeros(shape, np.int64) for _ in range(2))

    def add(self, answered: pa.Table, listed: Iterable[pa.RecordBatch]) -> None:
        """Count answers of different contents: ``n``, ``answer`` and ``copies``.

        :param listed: rows of `LISTED`, those of other answers among them.
        """
        if not answered.num_rows:
            return
        answered = answered.sort_by("n")
        answer, copies = (answered[name].to_numpy() for name in ("answer", "copies"))
        np.add.at(self._contents, answer, 1)
        np.add.at(self._copies, answer, copies)
        width = self._wanted.size
        met = [self._met(answered["n"].to_numpy(), answer, batch) for batch in listed]
        place, label = np.divmod(np.unique(np.concatenate([np.empty(0, np.int64), *met])), width)
        for places, column in ((place, label), (np.unique(place), np.intp(width))):
            np.add.at(self._flagged, (answer[places], column), 1)
            np.add.at(self._flagged_copies, (answer[places], column), copies[places])

    def _met(self, numbers: np.ndarray, answer: np.ndarray, batch: pa.RecordBatch) -> np.ndarray:
        """Place of the answer times the width, and the label, of what is listed at its threshold."""
        wanted, label, confidence = (batch[name].to_numpy(zero_copy_only=False) for name in LISTED.names)
        place = np.minimum(np.searchsorted(numbers, wanted), numbers.size - 1)
        least = np.maximum(self._least[answer[place]], self._wanted[label])
        met = (numbers[place] == wanted) & (confidence >= least)
        return place[met] * self._wanted.size + label[met] % self._wanted.size

    def told(self, default: float | None) -> pa.Table:
        """A row for each of what is counted apart and each label, and for images as a whole.

        :param default: the threshold of these; None: what was asked.
        """
        (counted,) = np.nonzero(self._contents)
        several = self._labels.num_rows + 1
        row, place = np.repeat(counted, several), np.tile(np.arange(several), counted.size)
        column = np.where(place < self._labels.num_rows, place, self._wanted.size)
        wanted = np.append(self._wanted[:-1], default or 0.0)
        whole = {"label": [None], "level": [0]}
        named = [
            pa.concat_arrays([self._labels[name].combine_chunks(), pa.array(one, self._labels[name].type)])
            for name, one in whole.items()
        ]
        return pa.table(
            {name: self._answers[name].take(pa.array(row)) for name in self._answers.column_names}
            | {name: values.take(pa.array(place)) for name, values in zip(whole, named, strict=True)}
            | {
                "threshold": np.maximum(self._least[row], wanted[place]),
                "contents": self._contents[row],
                "copies": self._copies[row],
                "flagged": self._flagged[row, column],
                "flagged_copies": self._flagged_copies[row, column],
            }
        )


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return np.nan_to_num(column.to_numpy().astype(np.float64))
