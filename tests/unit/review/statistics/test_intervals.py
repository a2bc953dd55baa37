from __future__ import annotations

from math import comb

import numpy as np
import pytest

from moderation.review.statistics.intervals import Estimates, share_of_rest, total

BANDS = np.array([900_000, 60_000, 10_000])


@pytest.mark.parametrize(
    ("n", "k", "low", "high"),
    [
        (100, 90, 0.829, 0.948),
        (20, 20, 0.861, 1.0),  # 0.05 ** (1/20)
        (300, 0, 0.0, 0.00994),  # 1 - 0.05 ** (1/300)
        (1000, 0, 0.0, 0.00299),
    ],
)
def test_one_draw_has_the_exact_interval_at_mid_p(n, k, low, high):
    found = total([10**9], [n], [k]).shares(10**9)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


def test_each_end_of_one_draw_halves_the_chance_of_what_was_seen():
    n, k = 40, 3
    found = total([10**12], [n], [k]).shares(10**12)

    def chance(share, cases):
        return comb(n, cases) * share**cases * (1 - share) ** (n - cases)

    below = sum(chance(float(found.high), i) for i in range(k)) + chance(float(found.high), k) / 2
    above = sum(chance(float(found.low), i) for i in range(k + 1, n + 1)) + chance(float(found.low), k) / 2
    assert (below, above) == pytest.approx((0.025, 0.025), rel=1e-6)


def test_what_was_looked_at_to_the_last_image_is_certain():
    whole = total([100], [100], [7])
    assert (whole.value, whole.low, whole.high) == (7, 7, 7)
    partly = total([100, 1000], [100, 100], [7, 0])
    assert (partly.value, partly.low) == (7, 7)
    assert 7 < partly.high < 907


def test_the_interval_says_no_less_than_was_seen_and_no_more_than_there_is():
    found = total([200], [199], [5])
    assert found.low >= 5
    assert found.high <= 6


def test_presence_and_absence_have_the_same_interval():
    drawn, found = np.array([40, 30, 20]), np.array([39, 20, 3])
    there, not_there = total(BANDS, drawn, found), total(BANDS, drawn, drawn - found)
    assert there.low == pytest.approx(BANDS.sum() - not_there.high)
    assert there.high == pytest.approx(BANDS.sum() - not_there.low)


def test_nothing_found_in_sparse_bands_leaves_room_for_what_the_largest_may_hide():
    # A miss in the largest band stands for 3,000 images; none was found in 300 of them.
    found = total(BANDS, [300, 310, 310], [0, 2, 6])
    assert found.value == pytest.approx(2 * 60_000 / 310 + 6 * 10_000 / 310)
    assert found.high > 900_000 * (1 - 0.1 ** (1 / 300))


@pytest.mark.parametrize(
    ("size", "drawn", "found"), [([10, 5], [3, 0], [1, 0]), ([10], [11], [0]), ([10], [5], [6])]
)
def test_a_stratum_that_tells_nothing_or_too_much_is_refused(size, drawn, found):
    with pytest.raises(ValueError, match="each stratum"):
        total(size, drawn, found)


def test_recall_of_a_thousand_unflagged_images_is_known_within_fifteen_percent_at_most():
    right, missed = total([30_000], [300], [270]), total([970_000], [1000], [1])
    found = share_of_rest(right, missed)
    assert found.value == pytest.approx(27_000 / 27_970)
    assert (found.low, found.high) == pytest.approx((0.85, 0.998), abs=2e-3)


def test_recall_has_an_end_of_its_own_where_no_miss_was_found_and_none_where_nothing_is_known():
    right, none = total([30_000], [300], [270]), total([970_000], [1000], [0])
    found = share_of_rest(right, none)
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(27_000 / (27_000 + 970_000 * 0.00299), abs=0.01)
    nothing = Estimates(np.zeros(()), np.zeros(()), np.zeros(()))
    assert np.isnan(share_of_rest(nothing, nothing).value)


@pytest.mark.parametrize("expected", [0, 0.15, 1, 3])
@pytest.mark.parametrize(
    ("drawn", "rates"),
    [
        ([600], [1]),
        ([200, 200, 200], [1, 1, 1]),
        ([200, 200, 200], [1, 0, 0]),
        ([300, 180, 120], [0, 0.2, 1]),
    ],
)
def test_intervals_cover_the_truth_also_where_few_misses_or_none_are_found(drawn, rates, expected):
    """A small one of benchmarks/coverage.py."""
    drawn, size = np.array(drawn), BANDS[: len(drawn)]
    rates = np.array(rates) * expected / (drawn * np.array(rates)).sum()
    draw = np.random.default_rng(20261128)
    have = draw.binomial(size, rates, size=(500, len(size)))
    found = draw.hypergeometric(have, size - have, drawn)
    unique, back = np.unique(found, axis=0, return_inverse=True)
    told = total(size, drawn, unique)
    low, high, truth = told.low[back.ravel()], told.high[back.ravel()], have.sum(-1)
    assert ((low <= truth) & (truth <= high)).mean() >= 0.9
