"""Methods to estimate a share or a number of missed images with a 95 % interval, compared by ``coverage.py``.

Each takes samples of a design, one a row, and gives the lower and the upper ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

from moderation.review.statistics.intervals import Estimates, share_of_rest, total
from moderation.review.statistics.special import beta_cdf, beta_quantile, solve

Z = NormalDist().inv_cdf(0.975)
FLAGGED = 30_000
"""Images that were flagged, of which precision is of a sample."""

OURS = {"simple": "exact at mid-P", "strata": "Fay-Feuer at mid-P", "recall": "MOVER of ours"}
DRAWS = 200
"""Of bootstrap and simulation, for each sample."""

Limits = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Sample:
    """Samples of a cell, one a row.

    :param size: of each stratum; ``drawn`` of it; ``found`` with one row a sample.
    :param flagged: drawn of what was flagged, and of these right, for recall.
    """

    size: np.ndarray
    drawn: np.ndarray
    found: np.ndarray
    flagged: tuple[int, np.ndarray] | None = None


# One proportion -------------------------------------------------------------------------------------------


def wald(k: np.ndarray, n: np.ndarray) -> Limits:
    half = Z * np.sqrt(k / n * (1 - k / n) / n)
    return k / n - half, k / n + half


def agresti_coull(k: np.ndarray, n: np.ndarray) -> Limits:
    return wald(k + 2, n + 4)


def wilson(k: np.ndarray, n: np.ndarray) -> Limits:
    p = k / n
    middle, half = p + Z**2 / 2 / n, Z * np.sqrt(p * (1 - p) / n + Z**2 / 4 / n**2)
    return (middle - half) / (1 + Z**2 / n), (middle + half) / (1 + Z**2 / n)


def wilson_mended(k: np.ndarray, n: np.ndarray) -> Limits:
    """Brown, Cai and DasGupta (2001): near 0 and n the ends that Poisson's distribution gives."""
    low, high = wilson(k, n)
    for cases, mean in ((1, 0.051293), (2, 0.355362), (3, 0.817691)):
        near = (n > 50) | (cases < 3)
        low = np.where((k == cases) & near, mean / n, low)
        high = np.where((n - k == cases) & near, 1 - mean / n, high)
    return low, high


def clopper_pearson(k: np.ndarray, n: np.ndarray) -> Limits:
    return beta_quantile(0.025, k, n - k + 1), beta_quantile(0.975, k + 1, n - k)


def wilson_or_exact(k: np.ndarray, n: np.ndarray) -> Limits:
    end = (k == 0) | (k == n)
    (low, high), (least, most) = wilson(k, n), clopper_pearson(k, n)
    return np.where(end, least, low), np.where(end, most, high)


def jeffreys(k: np.ndarray, n: np.ndarray) -> Limits:
    low, high = beta_quantile(0.025, k + 0.5, n - k + 0.5), beta_quantile(0.975, k + 0.5, n - k + 0.5)
    return np.where(k == 0, 0, low), np.where(k == n, 1, high)


def mid_p(k: np.ndarray, n: np.ndarray) -> Limits:
    def both(x: np.ndarray) -> np.ndarray:
        return (beta_cdf(x, k, n - k + 1) + beta_cdf(x, k + 1, n - k)) / 2

    low, high = solve(both, 0.025, k.shape), solve(both, 0.975, k.shape)
    return np.where(k == 0, 0, low), np.where(k == n, 1, high)


def _ours(sample: Sample) -> Estimates:
    return total(sample.size, sample.drawn, sample.found)


def ours(sample: Sample) -> Limits:
    found = _ours(sample)
    return found.low, found.high


def simple(one: Callable[[np.ndarray, np.ndarray], Limits]) -> Callable[[Sample], Limits]:
    def limits(sample: Sample) -> Limits:
        low, high = one(sample.found[:, 0], np.broadcast_to(sample.drawn[0], len(sample.found)).astype(float))
        return np.clip(low, 0, 1) * sample.size[0], np.clip(high, 0, 1) * sample.size[0]

    return limits


# Totals over strata ----------------------------------------------------------------------------------------


def horvitz_thompson(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Total and its estimated variance."""
    weight, p = sample.size / sample.drawn, sample.found / sample.drawn
    unseen = 1 - sample.drawn / sample.size
    return (weight * sample.found).sum(-1), (weight**2 * unseen * sample.drawn * p * (1 - p)).sum(-1)


def delta(sample: Sample) -> Limits:
    value, variance = horvitz_thompson(sample)
    return np.maximum(value - Z * np.sqrt(variance), 0), value + Z * np.sqrt(variance)


def log_odds(sample: Sample) -> Limits:
    value, variance = horvitz_thompson(sample)
    population = sample.size.sum()
    p = np.clip(value / population, 1e-12, 1 - 1e-12)
    half = Z * np.sqrt(variance) / population / (p * (1 - p))
    low, high = (population / (1 + np.exp(-(np.log(p / (1 - p)) + sign * half))) for sign in (-1, 1))
    return np.where(value > 0, low, 0), np.where(value > 0, high, 3.69 * (sample.size / sample.drawn).max())


def bootstrap(sample: Sample) -> Limits:
    again = _resampled(sample.drawn, sample.found, seed=1)
    totals = (again * (sample.size / sample.drawn)).sum(-1)
    return np.quantile(totals, 0.025, axis=0), np.quantile(totals, 0.975, axis=0)


def _resampled(drawn: np.ndarray, found: np.ndarray, *, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.binomial(drawn.astype(int), found[None] / drawn, size=(DRAWS, *found.shape))


def _effective(sample: Sample) -> np.ndarray:
    """Size of the simple sample of that variance; by Kish where nothing was found."""
    value, variance = horvitz_thompson(sample)
    share = value / sample.size.sum()
    kish = 1 / ((sample.size / sample.size.sum()) ** 2 / sample.drawn).sum()
    simple_variance = share * (1 - share) * sample.size.sum() ** 2
    return np.divide(simple_variance, variance, out=np.full(len(value), kish), where=variance > 0)


def by_effective_size(one: Callable[[np.ndarray, np.ndarray], Limits]) -> Callable[[Sample], Limits]:
    """Korn and Graubard (1998)."""

    def limits(sample: Sample) -> Limits:
        n = _effective(sample)
        low, high = one(n * horvitz_thompson(sample)[0] / sample.size.sum(), n)
        return low * sample.size.sum(), high * sample.size.sum()

    return limits


def simulated(prior: float) -> Callable[[Sample], Limits]:
    """Each stratum's rate from its own beta distribution."""

    def limits(sample: Sample) -> Limits:
        totals = _simulated(sample.size, sample.drawn, sample.found, prior, seed=2)
        low = np.quantile(totals, 0.025, axis=0)
        return np.where(sample.found.sum(-1) == 0, 0, low), np.quantile(totals, 0.975, axis=0)

    return limits


def _simulated(
    size: np.ndarray, drawn: np.ndarray, found: np.ndarray, prior: float, *, seed: int
) -> np.ndarray:
    draw = np.random.default_rng(seed)
    rates = draw.beta(found + prior, drawn - found + 1 - prior, size=(DRAWS, *found.shape))
    return (rates * size).sum(-1)


@cache
def _table(one: Callable[[np.ndarray, np.ndarray], Limits], n: int) -> Limits:
    k = np.arange(n + 1.0)
    return one(k, np.full(n + 1, float(n)))


def mover(one: Callable[[np.ndarray, np.ndarray], Limits]) -> Callable[[Sample], Limits]:
    """Ends of each stratum's own interval, put together as variances are (Zou and Donner 2008)."""

    def limits(sample: Sample) -> Limits:
        value, _ = horvitz_thompson(sample)
        below, above = np.zeros(len(value)), np.zeros(len(value))
        for place, (size, drawn) in enumerate(zip(sample.size, sample.drawn, strict=True)):
            low, high = _table(one, int(drawn))
            k = sample.found[:, place].astype(int)
            below += (size * (k / drawn - low[k])) ** 2 * (1 - drawn / size)
            above += (size * (high[k] - k / drawn)) ** 2 * (1 - drawn / size)
        return np.maximum(value - np.sqrt(below), 0), value + np.sqrt(above)

    return limits


def fay_feuer_exact(sample: Sample) -> Limits:
    """Fay and Feuer's own, with gamma's ends by the beta distribution: not halved between the two."""
    weight = sample.size / sample.drawn
    population = sample.size.sum()
    value, variance = (weight * sample.found).sum(-1), (weight**2 * sample.found).sum(-1)
    low = _scaled(0.025, value, variance, population)
    high = _scaled(0.975, value + weight.max(), variance + weight.max() ** 2, population)
    return np.where(value > 0, low, 0), high


def _scaled(level: float, value: np.ndarray, variance: np.ndarray, population: float) -> np.ndarray:
    safe = np.where(value > 0, value, 1.0), np.where(value > 0, variance, 1.0)
    cases = safe[0] ** 2 / safe[1]
    trials = np.maximum(population * safe[0] / safe[1], cases + 1)
    return beta_quantile(level, cases, trials - cases + 1) * trials * safe[1] / safe[0]


# Recall ----------------------------------------------------------------------------------------------------


def _right(sample: Sample) -> Estimates:
    assert sample.flagged is not None
    n, k = sample.flagged
    return total([FLAGGED], [n], k[:, None])


def recall_ours(sample: Sample) -> Limits:
    found = share_of_rest(_right(sample), _ours(sample))
    return found.low, found.high


def recall_mover(missed: Callable[[Sample], Limits]) -> Callable[[Sample], Limits]:
    def limits(sample: Sample) -> Limits:
        found = share_of_rest(_right(sample), Estimates(horvitz_thompson(sample)[0], *missed(sample)))
        return found.low, found.high

    return limits


def recall_opposed(sample: Sample) -> Limits:
    """The least of the one with the most of the other: an interval of 95 % each is more than 95 % of both."""
    right, missed = _right(sample), _ours(sample)
    return right.low / (right.low + missed.high), right.high / (right.high + missed.low)


def recall_delta(sample: Sample) -> Limits:
    right, missed, of_right, of_missed = _variances(sample)
    both = right + missed
    value = np.divide(right, both, out=np.ones_like(both), where=both > 0)
    half = Z * np.sqrt(of_right * missed**2 + of_missed * right**2) / np.maximum(both, 1) ** 2
    return np.maximum(value - half, 0), np.minimum(value + half, 1)


def recall_log_odds(sample: Sample) -> Limits:
    none = sample.found.sum(-1, keepdims=True) == 0
    found = np.where(none, 0.5 / sample.found.shape[-1], sample.found)
    right, missed, of_right, of_missed = _variances(Sample(sample.size, sample.drawn, found, sample.flagged))
    half = Z * np.sqrt(of_right / right**2 + of_missed / missed**2)
    low, high = (1 / (1 + np.exp(-(np.log(right / missed) + sign * half))) for sign in (-1, 1))
    return low, high


def _variances(sample: Sample) -> tuple[np.ndarray, ...]:
    assert sample.flagged is not None
    n, k = sample.flagged
    k = np.minimum(k, n - 0.5)
    missed, of_missed = horvitz_thompson(sample)
    return FLAGGED * k / n, missed, FLAGGED**2 * (1 - n / FLAGGED) * k / n * (1 - k / n) / n, of_missed


def recall_simulated(sample: Sample) -> Limits:
    assert sample.flagged is not None
    n, k = sample.flagged
    right = _simulated(np.array([FLAGGED]), np.array([n]), k[:, None], 0.5, seed=3)
    missed = _simulated(sample.size, sample.drawn, sample.found, 0.5, seed=4)
    share = right / (right + missed)
    high = np.quantile(share, 0.975, axis=0)
    return np.quantile(share, 0.025, axis=0), np.where(sample.found.sum(-1) == 0, 1, high)


def recall_bootstrap(sample: Sample) -> Limits:
    assert sample.flagged is not None
    n, k = sample.flagged
    right = _resampled(np.array([n]), k[:, None], seed=5)[..., 0] * FLAGGED / n
    missed = (_resampled(sample.drawn, sample.found, seed=6) * (sample.size / sample.drawn)).sum(-1)
    share = right / np.maximum(right + missed, 1)
    return np.quantile(share, 0.025, axis=0), np.quantile(share, 0.975, axis=0)


METHODS: dict[str, dict[str, Callable[[Sample], Limits]]] = {
    "simple": {
        OURS["simple"]: ours,
        "Wald": simple(wald),
        "Agresti-Coull": simple(agresti_coull),
        "Wilson": simple(wilson),
        "Wilson, exact at 0 and n": simple(wilson_or_exact),
        "Wilson, mended tails": simple(wilson_mended),
        "Jeffreys": simple(jeffreys),
        "Clopper-Pearson": simple(clopper_pearson),
    },
    "strata": {
        OURS["strata"]: ours,
        "delta": delta,
        "log-odds": log_odds,
        "bootstrap": bootstrap,
        "Wilson, effective size": by_effective_size(wilson),
        "mid-P, effective size": by_effective_size(mid_p),
        "Jeffreys simulated": simulated(0.5),
        "thin prior simulated": simulated(1 / 6),
        "MOVER of Wilson": mover(wilson),
        "MOVER of mid-P": mover(mid_p),
        "Fay-Feuer, not mid-P": fay_feuer_exact,
    },
    "recall": {
        OURS["recall"]: recall_ours,
        "opposed ends": recall_opposed,
        "MOVER of MOVER of mid-P": recall_mover(mover(mid_p)),
        "delta": recall_delta,
        "log-odds": recall_log_odds,
        "Jeffreys simulated": recall_simulated,
        "bootstrap": recall_bootstrap,
    },
}
