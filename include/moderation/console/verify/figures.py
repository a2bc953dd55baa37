"""Numbers as pages show them: computed from what is published, kept for a while, put in rows by label."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from moderation.console.index.looks import look_at, look_in_turns, one_at_a_time
from moderation.policy.thresholds import Thresholds
from moderation.review.statistics.judged import frames_of
from moderation.review.statistics.numbers import Numbers, numbers
from moderation.settings import Settings

_KEPT_SECONDS = 120.0
_KEPT_TIMES = 10
"""Numbers are kept as many times as long as it took to count them, where that is longer."""

_MOST_KEPT = 8
"""Loads; those of all besides."""
_TIMES = 2
"""Memory of a load of a million images, as often what pages get at least."""
COUNTS = ("tp", "fp", "fn", "tn", "unsure", "not_verified")
SHARES = ("precision", "recall", "missed_share", "aws_false_positive_rate", "aws_false_negative_rate")

Key = tuple[str | None, str | None, float | None]
"""Model, adapter and threshold: what is never pooled."""


class Figures:
    """The numbers of all loads or of one, each computed once in a while."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._of_all, self._of_a_load = threading.Lock(), threading.Lock()
        self._kept: dict[str | None, tuple[float, Thresholds, Numbers]] = {}

    def of(self, load_id: str | None, thresholds: Thresholds, draws: pa.Table) -> Numbers:
        """Those of a load, or of all.

        :param thresholds: those in use.
        :param draws: what was drawn, as `statistics.draws.drawn` tells it.
        :raises moderation.errors.WarehouseMissingError: nothing was published yet.
        """
        # They take a while: who asks meanwhile gets the same ones. Those of all take so long that those of a
        # load do not wait for them.
        with self._of_all if load_id is None else self._of_a_load:
            until, by, known = self._kept.get(load_id, (0.0, None, None))
            if known is None or by != thresholds or time.monotonic() > until:
                began = time.monotonic()
                known = self._counted(load_id, thresholds, draws)
                ended = time.monotonic()
                self._keep(load_id, max(_KEPT_SECONDS, _KEPT_TIMES * (ended - began)), thresholds, known)
            return known

    def _counted(self, load_id: str | None, thresholds: Thresholds, draws: pa.Table) -> Numbers:
        drawn = draws if draws.num_rows else None
        # Those of a load take a few seconds: what they hold would lie there while others have their turns.
        look, turn = (look_in_turns, one_at_a_time) if load_id is None else (look_at, nullcontext)
        with look(self._settings, _TIMES) as published:
            frames = frames_of(published, thresholds=thresholds, draws=drawn, load_id=load_id, turn=turn)
        told = numbers(frames)
        # Names come back in most rows: kept once each they take half.
        columns = [
            one.dictionary_encode() if pa.types.is_string(one.type) else one for one in told.rows.columns
        ]
        return replace(told, rows=pa.table(columns, told.rows.column_names))

    def _keep(self, load_id: str | None, seconds: float, thresholds: Thresholds, known: Numbers) -> None:
        of_loads = [one for one in list(self._kept) if one is not None]
        if load_id is not None and load_id not in of_loads and len(of_loads) >= _MOST_KEPT:
            self._kept.pop(of_loads[0], None)
        self._kept[load_id] = (time.monotonic() + seconds, thresholds, known)


@dataclass(frozen=True)
class Line:
    """A label, or the image as a whole (``label`` None).

    :param counts: by measure, as `COUNTS`.
    :param shares: by measure, as `SHARES`: rows of `NUMBERS`.
    """

    label: str | None
    level: int
    counts: dict[str, int]
    shares: dict[str, dict[str, Any]]
    weeks: str

    @property
    def verified(self) -> int:
        """Images that people decided on for the label."""
        return sum(self.counts.get(name, 0) for name in ("tp", "fp", "fn", "tn"))

    @property
    def is_met(self) -> bool:
        """Whether the label is in any image that was looked at, or was said to be."""
        return any(self.counts.get(name, 0) for name in ("tp", "fp", "fn"))


def key_of(row: dict[str, Any]) -> Key:
    """Model and adapter of a row; the threshold in use may differ by label, so each line has its own."""
    return (row["model_version"], row["adapter"], None)


def keys(told: Numbers) -> list[Key]:
    """All models and adapters of which there are numbers, the most verified first."""
    verified: dict[Key, float] = {}
    for row in told.pick("tp", "fp", "fn", "tn"):
        verified[key_of(row)] = verified.get(key_of(row), 0) + (row["value"] or 0)
    return sorted(verified, key=lambda key: -verified[key])


def lines(told: Numbers, key: Key, content_type: str | None = None) -> list[Line]:
    """A line each label and threshold, the image as a whole first."""
    found: dict[tuple[Any, ...], Line] = {}
    for row in told.pick(*COUNTS, *SHARES, content_type=content_type):
        if key_of(row) != key:
            continue
        name = (row["label"], row["level"], row["threshold"])
        weeks = " to ".join(dict.fromkeys(week for week in (row["first_week"], row["last_week"]) if week))
        line = found.setdefault(name, Line(row["label"], row["level"] or 0, {}, {}, weeks))
        if row["measure"] in COUNTS:
            line.counts[row["measure"]] = int(row["value"] or 0)
        else:
            line.shares[row["measure"]] = row
    verified = [line for line in found.values() if line.verified]
    return sorted(verified, key=lambda line: (line.label is not None, -line.verified, line.label or ""))


def curve(told: Numbers, key: Key, label: str | None, measure: str) -> list[dict[str, Any]]:
    """The points of a label's curve that are measurable, by threshold."""
    rows = [
        row
        for row in told.pick(f"{measure}_at")
        if key_of(row) == key and row["label"] == label and row["value"] is not None
    ]
    return sorted(rows, key=lambda row: row["threshold"])
