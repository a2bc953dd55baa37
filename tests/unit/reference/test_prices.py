from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.reference.prices import DEFAULT_TIERS, PriceTier, affordable, cost_usd, parse_tiers


@pytest.mark.parametrize(
    ("images", "expected"),
    [(0, "0"), (1, "0.001"), (1_000_000, "1000"), (1_000_001, "1000.0008"), (6_000_000, "4800")],
)
def test_each_tier_prices_only_the_images_within_it(images, expected):
    assert cost_usd(images) == Decimal(expected)


@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_two_runs_in_a_month_cost_what_one_run_of_both_would(first, second):
    assert cost_usd(first) + cost_usd(second, already_this_month=first) == cost_usd(first + second)


def test_tiers_are_read_exactly():
    assert parse_tiers("[[1000000, 0.001], [null, 0.0008]]") == (
        PriceTier(1_000_000, Decimal("0.001")),
        PriceTier(None, Decimal("0.0008")),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "[[1]]",
        "[[null, null]]",
        "[[0, 1], [null, 1]]",
        "[[true, 1], [null, 1]]",
        '[["a", 1]]',
    ],
)
def test_malformed_tiers_are_refused(text):
    with pytest.raises(ValueError, match=r"expected|limit|tier"):
        parse_tiers(text)


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="negative"):
        cost_usd(-1, tiers=DEFAULT_TIERS)


@pytest.mark.parametrize("before", [0, 999_999, 1_000_000, 4_999_000, 7_000_000])
@pytest.mark.parametrize("images", [0, 1, 5_000, 6_000_000])
def test_what_a_sum_pays_for_is_the_most_images_that_cost_no_more(images, before):
    price = cost_usd(images, already_this_month=before)
    assert affordable(price, tiers=DEFAULT_TIERS, already_this_month=before) == images
    assert affordable(price + Decimal("0.0001"), tiers=DEFAULT_TIERS, already_this_month=before) == images


def test_what_costs_nothing_has_no_limit():
    free = (PriceTier(10, Decimal(1)), PriceTier(None, Decimal(0)))
    assert affordable(Decimal(9), tiers=free) == 9
    assert affordable(Decimal(10), tiers=free) is None
