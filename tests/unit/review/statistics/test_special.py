from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from moderation.review.statistics.special import beta_cdf, beta_quantile


@pytest.mark.parametrize(
    ("level", "a", "b", "expected"),
    [
        # scipy 1.17.1, stats.beta.ppf
        (0.025, 1, 20, 0.0012650894979498038),
        (0.975, 1.5, 300.5, 0.015421692618319325),
        (0.5, 90, 11, 0.8936706379884418),
        (0.975, 0.12, 0.7, 0.9319329619670861),
        (0.025, 4000, 250000, 0.015267484812378298),
        (0.999, 0.5, 1000000.0, 5.413769784272166e-06),
    ],
)
def test_the_quantile_is_scipys(level, a, b, expected):
    assert beta_quantile(level, a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [1, 7, 40])
def test_the_distribution_is_the_exact_binomial_sum(n):
    share = Fraction(3, 10)
    for k in range(1, n + 1):
        at_least = sum(comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(k, n + 1))
        assert beta_cdf(0.3, k, n - k + 1) == pytest.approx(float(at_least), rel=1e-12)


def test_without_cases_all_mass_is_at_0_and_without_others_at_1():
    assert beta_quantile([0.025, 0.975], [0, 3], [5, 0]).tolist() == [0.0, 1.0]
    assert np.array_equal(beta_cdf([0.0, 0.5, 1.0], 0, 2), [1, 1, 1])
