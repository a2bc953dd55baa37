"""Rows that were put apart come back by their parts, each once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from moderation.review.statistics.answered.apart import Apart


def test_each_part_has_its_rows_and_knows_how_many(tmp_path: Path):
    with Apart(tmp_path / "rows", 4) as apart:
        for begin in (0, 10, 20):
            values = np.arange(begin, begin + 10)
            apart.add(pa.record_batch({"value": values}), values % 3)
        assert apart.rows.tolist() == [10, 10, 10, 0]
        parts = [
            [value for batch in apart.part(number) for value in batch["value"].to_pylist()]
            for number in range(4)
        ]
    assert parts == [list(range(part, 30, 3)) for part in range(3)] + [[]]


def test_where_nothing_was_added_no_part_has_rows(tmp_path: Path):
    with Apart(tmp_path / "rows", 2) as apart:
        assert list(apart.part(1)) == []
