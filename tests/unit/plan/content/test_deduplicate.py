"""A listing in order, each object once, against the same done in memory."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from moderation.plan.content import deduplicate
from moderation.plan.content.deduplicate import distinct
from moderation.sources.listing import SCHEMA


def batches(rows, size):
    names = SCHEMA.names
    table = pa.Table.from_pylist([dict.fromkeys(names) | row for row in rows], SCHEMA)
    return table.to_batches(max_chunksize=size)


@pytest.mark.parametrize("run_rows", [1, 7, 50, 1_000])
def test_of_each_object_the_newest_row_stays_and_of_equal_ones_the_first_listed(
    tmp_path, monkeypatch, run_rows
):
    monkeypatch.setattr(deduplicate, "_RUN_ROWS", run_rows)
    chance = random.Random(run_rows)
    names = ["a/1", "a-1", "B", "\u00e9", "\ufb01", "\U0001f600", "z\x00", "z", "n\nl"]
    rows = [
        {"source_ref": chance.choice(names), "last_modified": chance.choice([None, 1, 2, 3]), "size": number}
        for number in range(300)
    ]

    found, dropped = distinct(batches(rows, 13), tmp_path)

    expected = {}
    for row in sorted(rows, key=lambda row: -(row["last_modified"] or 0)):
        expected.setdefault(row["source_ref"], row)
    listed = [row for table in found.portions() for row in table.to_pylist()]
    assert [row["source_ref"] for row in listed] == sorted(names, key=str.encode)
    assert [row["size"] for row in listed] == [expected[row["source_ref"]]["size"] for row in listed]
    assert dropped == 300 - len(names)
    assert [path.name for path in tmp_path.iterdir()] == ["distinct.arrow"]


def test_a_listing_that_is_in_order_is_left_as_it_is(tmp_path):
    found, dropped = distinct(batches([{"source_ref": f"s3://b/{n:03d}"} for n in range(50)], 7), tmp_path)

    assert (found.rows, dropped, [path.name for path in tmp_path.iterdir()]) == (50, 0, ["listed.arrow"])
