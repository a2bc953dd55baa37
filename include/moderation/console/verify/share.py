"""How much of each job people have looked at.

What is said of a content holds for all its keys, so a job counts as verified what people said in any other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moderation.console.index.contents import LoadContents, number_of
from moderation.review.log import VerdictLog

_COUNT_SECONDS = 60.0
"""How long a row may go unnoticed that was stored late, behind rows with a higher position."""
_MOST_STEPS = 200
"""Changes that are kept; a load that is further behind is counted as a whole, which takes milliseconds."""


@dataclass(frozen=True)
class Share:
    """Different contents of a load: those of which a person said something, and all that were answered."""

    verified: int
    contents: int


@dataclass(frozen=True)
class _Counted:
    share: Share
    images: int
    steps: int


class Shares:
    """The shares of loads, followed from what the log adds; the log is read as a whole once."""

    def __init__(self, contents: LoadContents) -> None:
        self._contents = contents
        self._lock = threading.Lock()
        self._restart()

    def _restart(self) -> None:
        self._rows, self._position, self._counted_at = 0, 0, -_COUNT_SECONDS
        self._verified = np.empty(0, np.uint64)
        self._steps: list[tuple[np.ndarray, np.ndarray]] = []
        self._counted: dict[str, _Counted] = {}

    def of(self, log: VerdictLog, loads: Sequence[dict[str, Any]]) -> dict[str, Share]:
        """The share of each load, by its id.

        :param loads: rows of `loads`.
        :raises moderation.review.state.faults.StateError: the verdicts cannot be read.
        :raises moderation.tables.faults.TablesError: the tables cannot be read.
        """
        with self._lock:
            self._follow(log)
            counted = {
                load["load_id"]: self._counted[load["load_id"]] for load in loads if self._is_counted(load)
            }
        behind = [load for load in loads if load["load_id"] not in counted]
        for load in behind:
            # Not in the lock: to read loads that nobody has looked at takes long, and holds up no other page.
            numbers = self._contents.of([load])[load["load_id"]]
            with self._lock:
                made = self._count(load, numbers)
                self._counted[load["load_id"]] = counted[load["load_id"]] = made
        return {load_id: one.share for load_id, one in counted.items()}

    def _follow(self, log: VerdictLog) -> None:
        last = log.last_position()
        if last == self._position and time.monotonic() - self._counted_at < _COUNT_SECONDS:
            return
        extent = log.extent(self._position)
        if extent.rows != self._rows + extent.behind:  # Rows came late, or were taken out.
            self._restart()
        if self._position:
            spoken_of = log.contents_behind(self._position)
            stands = log.verified(spoken_of)
        else:
            spoken_of = stands = log.verified()
        self._take(_numbers(stands), _numbers(spoken_of - stands))
        self._rows, self._position, self._counted_at = extent.rows, extent.position, time.monotonic()

    def _take(self, stands: np.ndarray, gone: np.ndarray) -> None:
        new = stands[~_are_in(stands, self._verified)]
        old = gone[_are_in(gone, self._verified)]
        if not len(new) and not len(old):
            return
        self._verified = np.insert(self._verified, np.searchsorted(self._verified, new), new)
        self._verified = np.delete(self._verified, np.searchsorted(self._verified, old))
        self._steps.append((new, old))
        if len(self._steps) > _MOST_STEPS:
            self._steps, self._counted = [], {}

    def _is_counted(self, load: dict[str, Any]) -> bool:
        known = self._counted.get(load["load_id"])
        return known is not None and (known.images, known.steps) == (load["images"], len(self._steps))

    def _count(self, load: dict[str, Any], numbers: np.ndarray) -> _Counted:
        known = self._counted.get(load["load_id"])
        if known is None or known.images != load["images"]:
            verified = int(_are_in(numbers, self._verified).sum())
        else:
            verified = known.share.verified + sum(
                int(_are_in(new, numbers).sum()) - int(_are_in(old, numbers).sum())
                for new, old in self._steps[known.steps :]
            )
        return _Counted(Share(verified, len(numbers)), load["images"], len(self._steps))


def _numbers(contents: set[str]) -> np.ndarray:
    """The numbers of contents, in order."""
    return np.unique(np.fromiter(map(number_of, contents), np.uint64, len(contents)))


def _are_in(numbers: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Of each number whether it is among others that are in order."""
    if not len(ordered):
        return np.zeros(len(numbers), bool)
    places = np.minimum(np.searchsorted(ordered, numbers), len(ordered) - 1)
    found: np.ndarray = ordered[places] == numbers
    return found
