"""Shares with intervals, from the samples: precision, missed images, recall; and AWS's own two rates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from moderation.review.statistics.intervals import Estimates, share_of_rest
from moderation.review.statistics.samples import Side

EXACT = "exact at mid-P"
STRATIFIED = "Horvitz-Thompson, Fay-Feuer at mid-P"
RATIO = "MOVER of both totals"
PLAIN = "verified images as they are; no interval"

Number = dict[str, Any]
"""Part of a row: measure, population, value, low, high, n, k, method, reason."""


def in_words(number: Number) -> str:
    """A share with its interval, or why it is not measurable."""
    if number["value"] is None:
        return f"not measurable: {number['reason']}"
    return (
        f"{_percent(number['value'])} ({_percent(number['low'])} to {_percent(number['high'])}), "
        f"{number['k']:,} of {number['n']:,}"
    )


def _percent(share: float) -> str:
    # Where shares are told from 0 or 1 by their second digit, one digit hides what matters.
    return f"{share:.1%}" if 0.02 < share < 0.98 or share in {0, 1} else f"{share:.2%}"


def rates(
    flagged: Side, other: Side, *, images_flagged: int | None, images: int | None, suffix: str = ""
) -> Iterator[Number]:
    """Precision, missed images and their share, and recall, or why they are not measurable.

    :param flagged: what was flagged.
    :param other: what was not.
    :param images_flagged: how many were flagged; None where it is not known.
    :param images: how many were answered.
    :param suffix: of the measures' names; with one, precision and recall alone are told.
    """
    yield _precision(flagged, images_flagged, f"precision{suffix}")
    if not suffix:
        yield from _missed(other, images, images_flagged)
    yield _recall(flagged, other, images_flagged, images, f"recall{suffix}")


def aws_rates(row: dict[str, Any]) -> Iterator[Number]:
    """The two rates of AWS's page, of all verified images whoever chose them.

    False positive rate: FP / (FP + TN); false negative rate: FN / (FN + TP). A page of verified predictions
    holds mostly what was flagged, so neither is about the archive.
    """
    for measure, k, rest in (
        ("aws_false_positive_rate", row["fp"], row["tn"]),
        ("aws_false_negative_rate", row["fn"], row["tp"]),
    ):
        n = k + rest
        of = "without the label" if measure.startswith("aws_false_p") else "with the label"
        yield {
            "measure": measure,
            "population": f"{n:,} verified images {of}",
            "value": k / n if n else None,
            "n": n,
            "k": k,
            "method": PLAIN,
            "reason": None if n else f"no verified image is {of}",
        }


def _precision(side: Side, images: int | None, measure: str) -> Number:
    if images == 0:
        return _none(measure, "nothing was flagged")
    if side.total is None:
        return _none(measure, side.reason)
    return _number(measure, side.total.shares(side.images), side, _covered(side, images, "flagged"))


def _missed(side: Side, images: int | None, flagged: int | None) -> Iterator[Number]:
    if side.total is None:
        yield _none("missed_share", side.reason)
        yield _none("missed", side.reason)
        return
    rest = None if images is None or flagged is None else images - flagged
    population = _covered(side, rest, "not flagged")
    yield _number("missed_share", side.total.shares(side.images), side, population)
    yield _number("missed", side.total, side, population)


def _recall(
    flagged: Side, other: Side, images_flagged: int | None, images: int | None, measure: str
) -> Number:
    if other.total is None:
        return _none(measure, other.reason)
    if flagged.total is None and images_flagged != 0:
        return _none(measure, flagged.reason)
    right = _NONE if flagged.total is None else flagged.total
    if flagged.total is not None and images_flagged and flagged.images:
        # The draws' part is known of the whole number flagged, where they cover nearly all of it.
        right = (
            right
            if abs(flagged.images / images_flagged - 1) > _ROUNDING
            else _scaled(right, images_flagged / flagged.images)
        )
    decided = sum(flagged.drawn) + sum(other.drawn)
    found = share_of_rest(right, other.total)
    if np.isnan(found.value):
        return _none(measure, f"none of {decided:,} decided images has it, flagged or not")
    rest = None if images is None or images_flagged is None else images - images_flagged
    population = f"{_covered(flagged, images_flagged, 'flagged')}; {_covered(other, rest, 'not flagged')}"
    number = _number(measure, found, other, population, method=RATIO)
    return number | {"n": decided, "k": sum(flagged.found) + sum(other.found)}


_NONE = Estimates(np.zeros(()), np.zeros(()), np.zeros(()))
_ROUNDING = 0.02
_MOSTLY = 0.98


def _scaled(found: Estimates, by: float) -> Estimates:
    return Estimates(found.value * by, found.low * by, found.high * by)


def _covered(side: Side, of: int | None, what: str) -> str:
    """What the number is about, in words: all of the population, or the part that was drawn from."""
    images = round(side.images)
    if of is None or images >= _MOSTLY * of:
        return f"{images if of is None else of:,} images {what}"
    return f"{images:,} of {of:,} images {what}: from the rest nothing was drawn"


def _number(
    measure: str, found: Estimates, side: Side, population: str, *, method: str | None = None
) -> Number:
    return {
        "measure": measure,
        "population": population,
        "value": float(found.value),
        "low": float(found.low),
        "high": float(found.high),
        "n": sum(side.drawn),
        "k": sum(side.found),
        "method": method or (EXACT if len(side.sizes) == 1 else STRATIFIED),
    }


def _none(measure: str, reason: str | None) -> Number:
    return {"measure": measure, "reason": reason}
