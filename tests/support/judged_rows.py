"""Frames for numbers, written down row by row, with what a test does not care about filled in."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from moderation.review.statistics.frames import DRAWS, JUDGED, POPULATIONS, Frames

ANSWER: dict[str, Any] = {
    "load_id": "L1",
    "model_version": "7.0",
    "adapter": None,
    "threshold": 50.0,
    "week": "2026-11-23",
}


def judged(content: str, truth: str | None, confidence: float | None = None, **given: Any) -> dict[str, Any]:
    """A row about Violence, flagged from the threshold on."""
    threshold = given.get("threshold", ANSWER["threshold"])
    flagged = confidence is not None and confidence >= threshold
    row = dict.fromkeys(JUDGED.names) | ANSWER
    row |= {"content": content, "copies": 1, "label": "Violence", "level": 1, "content_type": "none"}
    row |= {"confidence": confidence, "predicted": flagged, "flagged": flagged, "truth": truth}
    return row | given


def draw(name: str, size: int, stratum: str | None = None, **given: Any) -> dict[str, Any]:
    """A stratum of a draw."""
    row = dict.fromkeys(DRAWS.names) | {"draw": name, "stratum": stratum, "stratum_size": size}
    return row | {"load_id": "L1"} | given


def population(contents: int, flagged: int, **given: Any) -> dict[str, Any]:
    """How many contents were answered and flagged as Violence."""
    row = (
        dict.fromkeys(POPULATIONS.names) | ANSWER | {"label": "Violence", "level": 1, "content_type": "none"}
    )
    counts = {"contents": contents, "copies": contents, "flagged": flagged, "flagged_copies": flagged}
    return row | counts | given


def frames(
    rows: list[dict[str, Any]],
    draws: list[dict[str, Any]] | None = None,
    populations: list[dict[str, Any]] | None = None,
    **given: Any,
) -> Frames:
    """As their tables."""
    return Frames(
        judged=pa.Table.from_pylist(rows, JUDGED),
        draws=pa.Table.from_pylist(draws or [], DRAWS),
        populations=pa.Table.from_pylist(populations or [], POPULATIONS),
        **given,
    )
