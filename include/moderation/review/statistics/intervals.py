"""95 % intervals for what was counted in a sample: of one draw, or of a draw from each of several strata.

Found by trying: `benchmarks/coverage.py` has every method that was tried, docs/review-numbers.md its table.
What is used is the exact interval at mid-P (Lancaster 1961), carried over to strata as Fay and Feuer (1997)
did for rates: as though the stratum in which one item stands for the most images had shown one case more.
With one stratum it is the mid-P interval itself. Wilson's covers 84 % at a rate of 1 - 0.18/n, whatever the
n, and what is built on an estimated variance covers nothing when no miss was found.

Everything takes arrays of samples, the strata in the last dimension, so that thousands are estimated at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from moderation.review.statistics.special import Floats, beta_cdf, solve

CONFIDENCE = 0.95
_TAIL = (1 - CONFIDENCE) / 2
_NEARLY_ALL = 1 - 1e-9
_Beta = tuple[Floats, Floats]


@dataclass(frozen=True)
class Estimates:
    """Values with their interval; arrays of one shape.

    :param value: by Horvitz and Thompson: each item stands for 1 / its inclusion probability.
    :param low: lower end.
    :param high: upper end.
    """

    value: Floats
    low: Floats
    high: Floats

    def shares(self, of: ArrayLike) -> Estimates:
        """Totals as shares of a known number; NaN where that is 0."""
        of = np.asarray(of, dtype=float)
        known = np.where(of > 0, of, np.nan)
        return Estimates(self.value / known, self.low / known, self.high / known)


def total(size: ArrayLike, drawn: ArrayLike, found: ArrayLike) -> Estimates:
    """How many of a population are so, told from a random sample of each stratum.

    :param size: images in each stratum; the last dimension is the strata.
    :param drawn: of these decided, at least one in each that is not empty.
    :param found: of the decided those that are so.
    :raises ValueError: a stratum that is not empty has nothing decided, or more decided than there are.
    """
    sizes, drawns, founds = (
        np.array(part, dtype=float) for part in np.broadcast_arrays(*map(np.asarray, (size, drawn, found)))
    )
    if np.any((drawns > sizes) | (founds > drawns) | ((drawns == 0) & (sizes > 0))):
        raise ValueError(
            "each stratum needs at least one decided item, no more than it has, and of them found"
        )
    least, most = founds.sum(-1), (sizes - drawns + founds).sum(-1)
    seen = drawns >= sizes  # to the last image: nothing about it is uncertain
    known = np.where(seen, founds, 0).sum(-1)
    sizes, drawns, founds = (np.where(seen, 0.0, part) for part in (sizes, drawns, founds))
    weight = np.divide(sizes, drawns, out=np.zeros_like(sizes), where=drawns > 0)
    population, estimated = sizes.sum(-1), (weight * founds).sum(-1)
    # The rarer side is the one whose distribution is skewed, and the one to be careful with.
    turned = estimated > population / 2
    rare = np.where(turned[..., None], drawns - founds, founds)
    low, high = _limits(sizes, drawns, rare, weight)
    low, high = np.where(turned, 1 - high, low), np.where(turned, 1 - low, high)
    value = known + estimated
    return Estimates(
        value,
        np.minimum(np.clip(known + low * population, least, most), value),
        np.maximum(np.clip(known + high * population, least, most), value),
    )


def share_of_rest(part: Estimates, rest: Estimates) -> Estimates:
    """``part`` of ``part`` and ``rest``, which were told from samples of their own: recall, for one.

    From the ends of both by MOVER (Donner and Zou 2012): where one of them is certain, the ends of the other.

    :returns: shares 0 to 1; NaN where neither shows anything.
    """
    both = part.value * rest.value
    rest_low, rest_high = (end * (2 * rest.value - end) for end in (rest.low, rest.high))
    part_low, part_high = (end * (2 * part.value - end) for end in (part.low, part.high))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = part.value / (part.value + rest.value)
        most = (both + _root(both**2 - rest_high * part_low)) / part_low
        least = rest_low / (both + _root(both**2 - rest_low * part_high))
        low = np.where(part.low > 0, 1 / (1 + most), 0.0)
        high = np.where(rest.low > 0, 1 / (1 + least), 1.0)
    unknown = np.isnan(value)
    return Estimates(
        value,
        np.where(unknown, np.nan, np.minimum(low, value)),
        np.where(unknown, np.nan, np.maximum(high, value)),
    )


def _root(square: Floats) -> Floats:
    return np.sqrt(np.maximum(square, 0))


def _limits(size: Floats, drawn: Floats, rare: Floats, weight: Floats) -> _Beta:
    """Ends of the share of rare cases."""
    cases, trials = _effective(size, drawn, rare, weight)
    none = rare.sum(-1) == 0
    below = np.where(none, 0.0, cases), np.where(none, 1.0, trials - cases + 1)
    # One case more, where it would count most.
    reach = np.where(rare < drawn, weight, 0.0)
    one_more = (np.arange(size.shape[-1]) == reach.argmax(-1)[..., None]) & (reach > 0)
    more, of = _effective(size, drawn, rare + one_more, weight)
    above = more, of - more + 1

    def mid_p(share: Floats) -> Floats:
        return (beta_cdf(share, *below) + beta_cdf(share, *above)) / 2

    low, high = solve(mid_p, _TAIL, none.shape), solve(mid_p, 1 - _TAIL, none.shape)
    return np.where(none, 0.0, low), high


def _effective(size: Floats, drawn: Floats, found: Floats, weight: Floats) -> _Beta:
    """Cases and trials of the simple sample that would tell the share with the same variance."""
    population = np.maximum(size.sum(-1), 1)
    share = np.clip((weight * found).sum(-1) / population, 0, _NEARLY_ALL)
    # All of a stratum's items being so says that most are, not that none is otherwise.
    found = np.where((found >= drawn) & (drawn > 1), drawn - 0.5, found)
    # Unbiased within strata; a sample of one stratum stays the binomial that the exact interval is made of.
    alone = (drawn > 0).sum(-1, keepdims=True) == 1
    of = np.where(alone, drawn, drawn - 1)
    spread = np.divide(found * (drawn - found), of, out=found.copy(), where=of > 0)
    unseen = 1 - np.divide(drawn, size, out=np.ones_like(size), where=size > 0)
    variance = (weight**2 * unseen * spread).sum(-1)
    trials = np.divide(
        share * (1 - share) * population**2, variance, out=np.ones_like(variance), where=variance > 0
    )
    return trials * share, trials
