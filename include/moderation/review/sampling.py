"""Draws that can be repeated and whose inclusion probabilities are known: functions, and SQL of DuckDB.

Strata go by the highest confidence of any label, because misses are rare where the model saw nothing and
frequent right below its threshold: 1,000 images over such strata tell as much as thousands drawn at random.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterable, Mapping

from moderation.errors import NeedsAPersonError

STRATA = {"none": (None, None), "5-20": (0.0, 20.0), "20-50": (20.0, 50.0), "above": (50.0, None)}
"""Name of a stratum to the highest confidence in percent: from, with it, to, without it. Less than 5 is not
answered by jobs that were asked with MinConfidence 5; what is answered below belongs to the lowest band."""

_BANDS = " ".join(
    f"WHEN max_confidence >= {low} THEN '{name}'"
    for name, (low, _) in reversed(STRATA.items())
    if low is not None
)

EXPECTED = {"none": 0.001, "5-20": 0.02, "20-50": 0.10, "above": 0.5}
"""Shares of images that are not as answered, assumed before anything is known, for the allocation."""

ADAPTER_STRATA = {"trained": 0.3, "near": 0.2, "flagged": 0.3, "unflagged": 0.002}
"""Strata of an adapter's answers, with the shares expected: a label that it was trained for is flagged; is
listed below its threshold; another label is flagged; nothing is."""

STRATUM = f"CASE WHEN max_confidence IS NULL THEN 'none' {_BANDS} END"
"""SQL of the stratum of an image by its ``max_confidence``."""

LOT = "('0x' || sha256($seed || chr(0) || content)[:16])::UBIGINT"
"""SQL of the place of a content in random order: of all whose draw has the seed ``$seed``, a text, the least
are drawn. The same for the same contents, in whatever order they come."""

_LEAST = 30
"""Of each stratum that has so many: fewer say nothing, whatever was expected."""


class SamplingError(NeedsAPersonError, ValueError):
    """It cannot be drawn so."""


def allocate(sizes: Mapping[str, int], n: int, expected: Mapping[str, float] = EXPECTED) -> dict[str, int]:
    """How many to draw of each stratum for the most precise estimate of a share (Neyman).

    In proportion to size × √(p(1−p)), at least 30 of each as far as it has them and ``n`` allows.

    :param expected: share of each stratum that is expected to be of the kind in question.
    :raises SamplingError: n is not above 0.
    """
    if n < 1:
        raise SamplingError(f"{n} cannot be drawn; expected a number above 0")
    left = {name: size for name, size in sizes.items() if size > 0}
    if n >= sum(left.values()):
        return {name: left.get(name, 0) for name in sizes}
    least = min(_LEAST, n // len(left))
    taken = {name: min(size, least) for name, size in left.items()}
    weights = {name: size * _spread(expected.get(name, 0.5)) for name, size in left.items()}
    while (rest := n - sum(taken.values())) > 0:
        open_ones = {name: weights[name] for name in left if taken[name] < left[name]}
        total = sum(open_ones.values())
        ideal = {name: rest * weight / total for name, weight in open_ones.items()}
        more = {name: min(left[name] - taken[name], math.floor(share)) for name, share in ideal.items()}
        if not any(more.values()):  # less than one each: the largest remainders first
            first = sorted(open_ones, key=lambda name: (-ideal[name], name))[:rest]
            more = dict.fromkeys(first, 1)
        for name, number in more.items():
            taken[name] += number
    return {name: taken.get(name, 0) for name in sizes}


def draw(names: Iterable[str], n: int, seed: int) -> list[str]:
    """``n`` of the names, all alike probable, in random order; the same for the same names in any order."""
    return heapq.nsmallest(n, set(names), key=lambda name: _lot(name, seed))


def seed_of(seed: int, *parts: str) -> int:
    """A seed for each of several draws, from one: 63 bits."""
    told = "\0".join([str(seed), *parts])
    return int(hashlib.sha256(told.encode()).hexdigest()[:16], 16) >> 1


def _lot(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()


def _spread(share: float) -> float:
    return math.sqrt(max(share * (1 - share), 1e-6))
