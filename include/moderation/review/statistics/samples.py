"""From random draws to totals: which draws cover a population without overlap, and what their strata show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import duckdb
import numpy as np

from moderation.review.statistics.counts import KEYS, SLICES, WHOLE
from moderation.review.statistics.frames import PRESENT, UNSURE, Frames
from moderation.review.statistics.intervals import Estimates, total

Key = tuple[Any, ...]
"""Values of ``KEYS``, then the label."""

EVERYTHING = (None, None)
"""The slice that is all."""


class Part(IntEnum):
    """Of a population, as one label and the threshold in use divide it. Draws from unlike parts add up."""

    UNFLAGGED = 0
    FLAGGED_ELSEWHERE = 1
    FLAGGED = 2


_NAMES = ", ".join((*KEYS, "label"))
_CELL = ", ".join((*KEYS, "label", "draw", "stratum", "weight", "part"))


def _sets(*more: str) -> str:
    return ", ".join(f"({', '.join((_CELL, *more, *([name] if name else [])))})" for name in SLICES)


def _same(other: str, *names: str) -> str:
    return " AND ".join(f"d.{name} IS NOT DISTINCT FROM {other}.{name}" for name in names)


# `weight` splits a stratum by copies where these count: each item keeps a weight of its own.
_DRAWN = f"""
CREATE TEMP TABLE drawn AS
SELECT DISTINCT {_NAMES}, draw, stratum, content, content_type, load_id, week, truth, confidence, predicted,
    CASE WHEN $by_copies THEN copies ELSE 1 END AS weight,
    CASE WHEN predicted THEN {Part.FLAGGED} WHEN flagged THEN {Part.FLAGGED_ELSEWHERE}
        ELSE {Part.UNFLAGGED} END AS part
FROM judged WHERE draw IS NOT NULL AND truth IS NOT NULL
"""  # noqa: S608 - names of ours


def _cells(at: str, at_least: str, slices: str, more: str, sets: str) -> str:
    """The strata of each label, and in each what was decided and found."""
    return f"""
WITH looked AS (SELECT draw, stratum, count(DISTINCT content) AS looked FROM drawn GROUP BY ALL),
-- A draw over all loads may hold answers of several models: each is a part of its strata.
whole AS (
    SELECT label, draw, stratum, count(DISTINCT content) AS said,
        count(DISTINCT content) FILTER (truth <> '{UNSURE}') AS decided
    FROM drawn GROUP BY ALL
),
cells AS (
    SELECT {_NAMES}, draw, stratum, weight, part, {at} AS at, {at_least} AS at_least, {slices},
        count(*) AS drawn, count(*) FILTER (truth = '{PRESENT}') AS found
    FROM drawn {more} WHERE truth <> '{UNSURE}' GROUP BY GROUPING SETS ({sets})
)
SELECT d.*, a.said, a.decided, l.looked FROM cells AS d
JOIN whole AS a ON {_same("a", "label", "draw", "stratum")}
JOIN looked AS l ON {_same("l", "draw", "stratum")}
"""  # noqa: S608 - names of ours


_IN_USE = _cells("NULL::DOUBLE", "predicted", f"content_type, load_id, week, {WHOLE}", "", _sets("predicted"))
_AT_EACH = _cells(
    "percent",
    "coalesce(confidence >= percent, false)",
    f"NULL AS content_type, NULL AS load_id, NULL AS week, {len(SLICES) - 1} AS rolled",
    "CROSS JOIN (SELECT unnest($thresholds::DOUBLE[]) AS percent)",
    f"({_CELL}, percent, coalesce(confidence >= percent, false))",
)

_LEAST_SAID = 0.9
"""Of the reviewed images of a stratum the part that must tell of a label before it enters the label's
rates."""


@dataclass(frozen=True)
class Side:
    """What one side of a label, flagged or not, shows in one population.

    :param sizes: estimated images of each stratum that are on this side.
    :param drawn: of these decided.
    :param found: of the decided those with the label.
    :param reason: why nothing can be told; then there are no strata.
    :param total: how many have the label, once `estimated`.
    """

    sizes: tuple[float, ...] = ()
    drawn: tuple[int, ...] = ()
    found: tuple[int, ...] = ()
    reason: str | None = None
    total: Estimates | None = None

    @property
    def strata(self) -> tuple[tuple[float, ...], ...]:
        """All that the estimate depends on."""
        return self.sizes, self.drawn, self.found

    @property
    def images(self) -> float:
        """The side's size within the draws."""
        return sum(self.sizes)


def estimated(sides: Sequence[Side]) -> list[Side]:
    """The sides with their totals, all in one go: the functions behind it cost much a call and little a
    number."""
    # Of most labels nothing was found in the same draws.
    different = list({side.strata: side for side in sides if side.sizes}.values())
    if not different:
        return list(sides)
    most = max(len(side.sizes) for side in different)

    def padded(name: str) -> np.ndarray[Any, Any]:
        return np.array(
            [[*getattr(side, name), *[0] * (most - len(side.sizes))] for side in different], float
        )

    found = total(padded("sizes"), padded("drawn"), padded("found"))
    each = zip(different, found.value, found.low, found.high, strict=True)
    totals = {side.strata: Estimates(*map(np.asarray, ends)) for side, *ends in each}
    return [replace(side, total=totals[side.strata]) if side.sizes else side for side in sides]


@dataclass(frozen=True)
class _Draw:
    """One draw: the size of each stratum, the loads that it was drawn from, and what it stands for."""

    sizes: dict[str | None, int]
    loads: frozenset[str]
    kind: str | None = None
    label: str | None = None
    low: float | None = None
    high: float | None = None

    def stands_for(self, part: Part, label: str | None, threshold: float) -> bool:
        """Whether all images of a part could have been drawn; kinds are those of `review.queue.Kind`."""
        if self.kind in {None, "stratified", "adapter"}:
            return True
        if self.kind == "random_unflagged":
            return part == Part.UNFLAGGED
        if self.kind != "job" or part == Part.UNFLAGGED or self.high is not None:
            return False
        reaches = (self.low or 0) <= threshold
        if self.label is None:
            return reaches
        return reaches and part == Part.FLAGGED and self.label == label


class Samples:
    """The draws' strata, for every label and slice, and over all for every threshold.

    :param thresholds: percents from which a label may count as flagged, besides the one in use.
    """

    def __init__(self, frames: Frames, *, thresholds: Iterable[float] = (), by_copies: bool = False) -> None:
        with duckdb.connect() as connection:
            connection.register("judged", frames.judged)
            connection.execute(_DRAWN, {"by_copies": by_copies})
            found = [connection.sql(_IN_USE).to_arrow_table()]
            wanted = {"thresholds": [float(percent) for percent in thresholds]}
            if wanted["thresholds"]:
                found.append(connection.sql(_AT_EACH, params=wanted).to_arrow_table())
        self._draws = _draws_of(frames.draws.to_pylist())
        self._cells: dict[tuple[Key, float | None], list[dict[str, Any]]] = defaultdict(list)
        for table in found:
            for cell in table.to_pylist():
                self._cells[key_of(cell), cell["at"]].append(cell)

    def sides(
        self, key: Key, where: tuple[str | None, Any] = EVERYTHING, *, at: float | None = None
    ) -> tuple[Side, Side]:
        """What was flagged, and what was not.

        :param key: values of model, adapter, threshold and label.
        :param where: slice and its value.
        :param at: take as flagged what has at least this confidence, over all; by default what is in use.
        """
        cells = self._cells.get((key, at), [])
        here = [cell for cell in cells if _in_slice(cell, where)]
        reasons: dict[Part, str] = {}
        usable = []
        for part in Part:
            mine = [cell for cell in here if cell["part"] == part]
            chosen, reason = self._chosen(cells, mine, part, key)
            if not chosen:
                reasons[part] = reason or _NOTHING[part]
            usable += [cell for cell in mine if cell["draw"] in chosen]
        return self._side(usable, reasons, flagged=True), self._side(usable, reasons, flagged=False)

    def _side(self, cells: Sequence[dict[str, Any]], reasons: dict[Part, str], *, flagged: bool) -> Side:
        mine = [cell for cell in cells if cell["at_least"] == flagged]
        # What is flagged elsewhere is a small part that may lack: the population says then that it does.
        reason = reasons.get(Part.FLAGGED if flagged else Part.UNFLAGGED)
        if reason or not mine:
            return Side(reason=reason or _NOTHING[Part.FLAGGED if flagged else Part.UNFLAGGED])
        strata: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
        for cell in mine:
            stratum = strata[cell["draw"], cell["stratum"], cell["weight"]]
            stratum[0] += cell["drawn"]
            stratum[1] += cell["found"]
            stratum[2] = cell["decided"]
        sizes = [
            # Nobody decides more than there is, but a stratum's size may be of a moment before.
            max(self._draws[draw].sizes[name] / decided * drawn * weight, drawn)
            for (draw, name, weight), (drawn, _, decided) in strata.items()
        ]
        drawn, found, _ = zip(*strata.values(), strict=True)
        return Side(tuple(sizes), drawn, found)

    def _chosen(
        self, cells: Sequence[dict[str, Any]], here: Sequence[dict[str, Any]], part: Part, key: Key
    ) -> tuple[set[str], str | None]:
        """Draws that do not overlap, the one with most decided first; else what is still waited for."""
        of_draw: dict[str, dict[str | None, dict[str, Any]]] = defaultdict(dict)
        for cell in cells:
            of_draw[cell["draw"]][cell["stratum"]] = cell
        decided: dict[str, int] = defaultdict(int)
        for cell in here:
            decided[cell["draw"]] += cell["drawn"]
        chosen: set[str] = set()
        taken: frozenset[str] = frozenset()
        reason = None
        *_, threshold, label = key
        for draw in sorted(decided, key=lambda name: (-decided[name], name)):
            known = self._draws.get(draw)
            fault = _fault(known, of_draw[draw])
            if known is not None and not known.stands_for(part, label, threshold or 0):
                fault = _CHOSEN
            if fault or known is None:
                reason = reason or fault
            elif not known.loads & taken:
                chosen.add(draw)
                taken |= known.loads
        return chosen, reason


def key_of(row: dict[str, Any]) -> Key:
    """The key of a row that has ``KEYS`` and ``label``."""
    return (*(row[name] for name in KEYS), row["label"])


_NOTHING = {
    Part.FLAGGED: "nothing of what was flagged was drawn at random and decided; verdicts met by "
    "browsing enter no rate",
    Part.FLAGGED_ELSEWHERE: "nothing of what was flagged with other labels was drawn at random and decided",
    Part.UNFLAGGED: "nothing of what was not flagged was drawn at random and decided",
}


_CHOSEN = "what was drawn is what a filter, a band, a label or a policy chose: it stands for itself alone"


def _fault(known: _Draw | None, cells: dict[str | None, dict[str, Any]]) -> str | None:
    """Why a draw tells nothing of this label, or None."""
    if known is None:
        return "the strata of the draw are not known any more"
    for stratum, size in known.sizes.items():
        if size and stratum not in cells:
            return f"nothing of stratum {stratum or 'all'} ({size:,} images) is decided yet"
    for stratum, cell in cells.items():
        if stratum not in known.sizes:
            return f"the size of stratum {stratum or 'all'} is not known any more"
        # Who only adds what was missed says nothing where he adds nothing: what is said would be all misses.
        if cell["said"] < _LEAST_SAID * cell["looked"]:
            return (
                f"only {cell['said']:,} of {cell['looked']:,} reviewed images of stratum {stratum or 'all'} "
                "say whether it is there"
            )
    return None


def _in_slice(cell: dict[str, Any], where: tuple[str | None, Any]) -> bool:
    name, value = where
    rolled = len(SLICES) - (1 if name is None else 2)
    return cell["rolled"] == rolled and all(
        cell[column] == (value if column == name else None) for column in SLICES if column
    )


def _draws_of(rows: Iterable[dict[str, Any]]) -> dict[str, _Draw]:
    of_draw: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        of_draw[row["draw"]].append(row)
    return {
        draw: _Draw(
            {row["stratum"]: row["stratum_size"] for row in mine},
            frozenset(row["load_id"] or "" for row in mine),
            **{name: mine[0][name] for name in ("kind", "label", "low", "high")},
        )
        for draw, mine in of_draw.items()
    }
