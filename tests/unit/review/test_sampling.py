from __future__ import annotations

import random
from collections import Counter

import duckdb
import pytest

from moderation.review.sampling import LOT, STRATA, STRATUM, SamplingError, allocate, draw, seed_of

SIZES = {"none": 970_000, "5-20": 15_000, "20-50": 10_000, "above": 5_000}


@pytest.mark.parametrize(
    ("confidence", "stratum"),
    [(None, "none"), (0.0, "5-20"), (19.999, "5-20"), (20.0, "20-50"), (50.0, "above"), (100.0, "above")],
)
def test_an_image_is_in_the_stratum_of_its_highest_confidence(confidence, stratum):
    with duckdb.connect() as connection:
        told = connection.execute(
            f"SELECT {STRATUM} FROM (SELECT $1::DOUBLE AS max_confidence)", [confidence]
        )
        assert told.fetchone() == (stratum,)
    assert stratum in STRATA


@pytest.mark.parametrize("n", [1, 3, 4, 100, 1_000, 25_000, 999_999, 1_000_000, 2_000_000])
def test_exactly_so_many_are_allocated_and_never_more_than_there_are(n):
    found = allocate(SIZES, n)

    assert sum(found.values()) == min(n, sum(SIZES.values()))
    assert all(0 <= found[name] <= size for name, size in SIZES.items())


def test_what_varies_more_gets_more_than_its_share_and_each_stratum_some():
    found = allocate(SIZES, 1_000)

    assert all(number >= 30 for number in found.values())
    assert found["20-50"] / SIZES["20-50"] > 5 * found["none"] / SIZES["none"]


def test_an_empty_stratum_gets_nothing():
    assert allocate({"none": 10, "above": 0}, 5) == {"none": 5, "above": 0}
    with pytest.raises(SamplingError, match="0 cannot be drawn"):
        allocate(SIZES, 0)


def test_a_draw_is_the_same_whatever_the_order_of_the_names():
    names = [f"c{number}" for number in range(1_000)]
    shuffled = random.Random(5).sample(names, len(names))

    assert draw(names, 50, seed=7) == draw(shuffled, 50, seed=7)
    assert draw(names, 50, seed=7) != draw(names, 50, seed=8)
    assert len(set(draw(names, 50, seed=7))) == 50


def test_each_is_drawn_as_often_as_any_other():
    names = [f"b{number}" for number in range(50)]
    seen = Counter(name for seed in range(2_000) for name in draw(names, 5, seed))

    # Five standard deviations of the counts around 200.
    assert all(133 < seen[name] < 267 for name in names)


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
def test_a_database_draws_the_same(seed):
    names = [*(f"c{number}" for number in range(1_000)), "", "größer", "a'b", "\U0001f600"]
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT content FROM (SELECT unnest($names) AS content) ORDER BY {LOT}",
            {"names": names, "seed": str(seed)},
        ).fetchall()

    assert [name for (name,) in rows] == draw(names, len(names), seed)


def test_seeds_of_different_draws_differ_and_fit_a_database():
    seeds = {seed_of(seed, load) for seed in range(20) for load in ("x", "y")}

    assert len(seeds) == 40
    assert all(0 <= seed < 2**63 for seed in seeds)
