"""Of each content the newest answer counts, with all its keys, however its answers are cut into pieces."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator

import pyarrow as pa
import pytest

from moderation.review.statistics.answered.newest import ROW, newest

GIVEN = [name for name in ROW.names if name != "copies"]


def rows() -> list[dict[str, int]]:
    """Answers about few contents under few keys, many at the same moment."""
    chance = random.Random(3)
    return [
        {
            "high": chance.randrange(2),
            "low": 2**64 - 1 - chance.randrange(3),
            "asked": chance.randrange(2),
            "moment": chance.choice([-(2**63), 5, 6]),
            "n": number,
            "answer": chance.randrange(9),
            "source": chance.randrange(20),
        }
        for number in chance.sample(range(400), 300)
    ]


def table(given: list[dict[str, int]]) -> pa.Table:
    kinds = {name: ROW.field(name).type for name in GIVEN} | {"source": pa.uint64()}
    return pa.table({name: pa.array([row[name] for row in given], kind) for name, kind in kinds.items()})


def expected() -> dict[tuple[int, ...], tuple[int, int, int]]:
    """By content and what was asked: number and kind of the newest answer, and keys."""
    of: dict[tuple[int, ...], list[dict[str, int]]] = defaultdict(list)
    for row in rows():
        of[row["high"], row["low"], row["asked"]].append(row)
    found = {}
    for content, several in of.items():
        last = max(several, key=lambda row: (row["moment"], row["n"]))
        found[content] = (last["n"], last["answer"], len({row["source"] for row in several}))
    return found


def cut(pieces: int) -> Iterator[pa.Table]:
    for piece in range(pieces):
        yield table([row for row in rows() if row["source"] % pieces == piece])


@pytest.mark.parametrize("pieces", [1, 2, 7, 50])
def test_the_newest_answer_of_each_content_counts_with_all_keys(pieces):
    found = {
        (row["high"], row["low"], row["asked"]): (row["n"], row["answer"], row["copies"])
        for row in newest(cut(pieces)).to_pylist()
    }
    assert found == expected()


def test_of_nothing_nothing_is_the_newest():
    assert newest([]).num_rows == 0
    assert newest([table([])]).num_rows == 0
