"""Labels by how near they are to a training, each with the queues that would fill what is missing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from moderation.adapters import stages
from moderation.adapters.sets.eligibility import Eligibility, count
from moderation.adapters.sets.to_decide import Lack
from moderation.adapters.sets.verdicts import gather
from moderation.console.shared import Shared
from moderation.review.queue import Kind
from moderation.variables.adapters import AdapterSettings


@dataclass(frozen=True)
class Line:
    """A label.

    :param next: queues that would fill what is missing, as ``told``, and ``lack`` (what it is made of) or
        ``address`` (of the form for it).
    """

    counted: Eligibility
    next: tuple[dict[str, str], ...]

    @property
    def errors(self) -> int:
        """False positives and false negatives."""
        return self.counted.false_positives + self.counted.false_negatives


class Eligible:
    """The lines of the page, counted again when there are other verdicts, loads, thresholds or rules."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: Any = None
        self._rows: list[Eligibility] = []

    def rows(self, shared: Shared, rule: AdapterSettings) -> list[Eligibility]:
        """Of all labels that anybody decided about, those nearest to a training first."""
        used, default = stages.thresholds_in_use()
        newest = next((load["load_id"] for load in shared.history.loads()), None)
        key = (shared.review.log.count(), newest, used, default, rule)
        with self._lock:
            if key != self._key:
                self._rows = count(
                    gather(shared.settings, shared.review.log),
                    rule=rule,
                    thresholds=used.labels,
                    default_threshold=default,
                )
                self._key = key
            return self._rows


def line(row: Eligibility, new_queue: Callable[[], str]) -> Line:
    """A label with the way to what it lacks.

    :param new_queue: gives the address of the form for a new queue.
    """
    ways = []
    if row.needs_decision and (row.eligible or row.false_positives or row.false_negatives):
        images = "image needs" if row.needs_decision == 1 else "images need"
        ways.append({"told": f"{row.needs_decision:,} {images} a decision about it", "lack": Lack.DECISIONS})
    if not row.eligible and row.missing_false_positives:
        told = f"{row.missing_false_positives} more false positives: what is just flagged with it"
        ways.append({"told": told, "lack": Lack.FALSE_POSITIVES})
    if not row.eligible and row.missing_false_negatives:
        told = f"{row.missing_false_negatives} more false negatives: what just fails to be flagged"
        ways.append({"told": told, "lack": Lack.FALSE_NEGATIVES})
        asked = {"kind": str(Kind.STRATIFIED)}
        ways.append({"told": "or a sample of the rest", "address": f"{new_queue()}?{urlencode(asked)}"})
    return Line(row, tuple(ways))
