"""Whatever a listing and the ledger are cut into, exactly what is known and not listed is missing."""

from __future__ import annotations

import random
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from moderation.sources.gone import side_by_side

NAMES = sorted(f"s3://b/{number % 7}/{chr(0x60 + number * 997 % 0xD000)}" for number in range(60))


def parts(names: list[str], chance: random.Random) -> list[pa.Array]:
    """The names cut anywhere, no part empty."""
    cuts = sorted({0, len(names), *chance.choices(range(len(names) + 1), k=6)})
    return [pa.array(names[start:end]) for start, end in pairwise(cuts)]


@pytest.mark.parametrize("seed", range(60))
def test_what_is_known_and_not_listed_is_missing_however_both_are_cut(seed: int) -> None:
    chance = random.Random(seed)
    known, listed = (sorted(chance.sample(NAMES, chance.randint(0, len(NAMES)))) for _ in range(2))
    for is_bounded in (True, False):
        seen, missing = [], []
        for names, shown in side_by_side(
            iter(parts(known, chance)), parts(listed, chance), is_bounded=is_bounded
        ):
            there = pc.is_in(names, value_set=shown)
            seen += names.filter(there).to_pylist()
            missing += names.filter(pc.invert(there)).to_pylist()
        between = (listed[0], listed[-1]) if listed else ("z", "a")
        asked = [name for name in known if not is_bounded or between[0] <= name <= between[1]]
        assert seen == [name for name in asked if name in listed]
        assert missing == [name for name in asked if name not in listed]
