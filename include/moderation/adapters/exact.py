"""The few exact statistics of a comparison on the same images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

_HALVINGS = 60
_WHOLE = 500
"""Changed images up to which whole numbers are as quick as logarithms."""


@dataclass(frozen=True)
class Share:
    """``k`` of ``n`` with the limits between which the true share lies; None of each where n is 0."""

    k: int
    n: int
    value: float | None
    low: float | None
    high: float | None


def wilson(k: int, n: int, *, confidence: float) -> Share:
    """A share with Wilson's score interval (Wilson 1927).

    :param confidence: 0 to 1.
    """
    if n == 0:
        return Share(k, n, None, None, None)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = k / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Share(k, n, share, max(0.0, middle - half), min(1.0, middle + half))


def mcnemar(better: int, worse: int) -> float:
    """The exact two-sided p of McNemar's test: how likely chance divides changed images so unevenly.

    :param better: images that only the new model has right.
    :param worse: images that only the old one has right.
    """
    changed = better + worse
    if better == worse:
        return 1.0
    if changed > _WHOLE:
        return min(1.0, 2 * _at_least(max(better, worse), changed, 0.5))
    tail = sum(math.comb(changed, k) for k in range(min(better, worse) + 1))
    return min(1.0, 2 * tail / 2**changed)


def paired_difference(
    better: int, worse: int, pairs: int, *, confidence: float
) -> tuple[float, float] | None:
    """Limits of how much larger the share of right images became; None without images.

    Exact given how many images changed: Clopper and Pearson's limits of the share of these that became right.
    """
    if pairs == 0:
        return None
    changed = better + worse
    if changed == 0:
        return (0.0, 0.0)
    low, high = clopper_pearson(better, changed, confidence=confidence)
    return ((2 * low - 1) * changed / pairs, (2 * high - 1) * changed / pairs)


def clopper_pearson(k: int, n: int, *, confidence: float) -> tuple[float, float]:
    """Exact limits of a share (Clopper and Pearson 1934)."""
    alpha = (1 - confidence) / 2
    low = 0.0 if k == 0 else _root(lambda p: alpha - _at_least(k, n, p))
    high = 1.0 if k == n else _root(lambda p: _at_least(k + 1, n, p) - (1 - alpha))
    return low, high


def _at_least(k: int, n: int, p: float) -> float:
    """Probability of k or more of n."""
    if p in {0.0, 1.0}:
        return p if k > 0 else 1.0
    logs = (
        math.lgamma(n + 1)
        - math.lgamma(i + 1)
        - math.lgamma(n - i + 1)
        + i * math.log(p)
        + (n - i) * math.log1p(-p)
        for i in range(k, n + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))


def _root(rising: Callable[[float], float]) -> float:
    """Where a function that changes its sign once between 0 and 1 does so."""
    low, high = 0.0, 1.0
    sign = rising(1.0) > 0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if (rising(middle) > 0) is sign:
            high = middle
        else:
            low = middle
    return (low + high) / 2
