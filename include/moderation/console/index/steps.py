"""Images by their highest confidence, in steps of a percent: what a slider and a histogram are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_STEPS = 101
_BINS = 20


@dataclass(frozen=True)
class Step:
    """Answered images of one content type whose highest confidence lies in one step.

    :param step: the percent that it begins with, 0 to 100; None for images without a label.
    :param flagged: those of the images that are flagged.
    """

    kind: str
    step: int | None
    images: int
    flagged: int


def ladder(steps: Sequence[Step], kind: str | None) -> list[int]:
    """Images flagged at each threshold 0, 1 … 100.

    :param kind: of this content type alone; None for all.
    """
    images = np.zeros(_STEPS, dtype=np.int64)
    for one in steps:
        if one.step is not None and kind in {None, one.kind}:
            images[one.step] += one.images
    return [int(number) for number in images[::-1].cumsum()[::-1]]


def histogram(of: Sequence[int]) -> list[int]:
    """Images by their highest confidence (in the chosen label, if one is), in steps of five percent.

    :param of: see :func:`ladder`; the last step has 100 % in it.
    """
    edges = [of[place] for place in range(0, _STEPS - 1, _STEPS // _BINS)]
    return [high - low for high, low in zip(edges, [*edges[1:], 0], strict=True)]


def by_kind(steps: Sequence[Step]) -> dict[str, tuple[int, int]]:
    """Images, and those of them that are flagged, by content type."""
    found: dict[str, tuple[int, int]] = {}
    for one in steps:
        images, flagged = found.get(one.kind, (0, 0))
        found[one.kind] = (images + one.images, flagged + one.flagged)
    return found
