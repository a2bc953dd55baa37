"""From the networks' signals to labels of Rekognition's taxonomy 7.0 and content types.

models/README.md says how good each rule is. A confidence is 0..100, and 50 is where a rule was set to fire,
so that AWS's default MinConfidence keeps what the rules mean. They are not calibrated like Rekognition's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from local_aws.inference.networks import Signals
from moderation.reference.taxonomy import Node, taxonomy

WEAPONS: Final = (
    "assault rifle", "rifle", "revolver", "holster", "cannon", "missile", "cleaver", "hatchet",
    "letter opener", "scabbard",
)  # fmt: skip
# Rekognition leaves out what it thinks near impossible, whatever MinConfidence asks for; so do the rules.
FLOOR: Final = 1.0
CONTENT_TYPE_FLOOR: Final = 50.0


@dataclass(frozen=True, slots=True)
class Label:
    """One moderation label; `parent_name` is "" at level 1; `confidence` 0..100 as a float32 prints."""

    name: str
    parent_name: str
    taxonomy_level: int
    confidence: float


@dataclass(frozen=True, slots=True)
class ContentType:
    """ "Illustrated" or "Animated", with a confidence 0..100."""

    name: str
    confidence: float


def explicit_nudity(signals: Signals) -> float:
    """Two networks trained on different data must agree."""
    return (signals.open_nsfw + signals.nsfwjs_sum("Porn", "Hentai")) / 2


def non_explicit_nudity(signals: Signals) -> float:
    """Fires from 0.9 up, because portraits of women score high."""
    return fires_at(0.9, signals.nsfwjs_sum("Sexy"))


def female_swimwear(signals: Signals) -> float:
    """Swimwear and underwear ImageNet knows."""
    return signals.imagenet_sum("bikini", "one-piece bathing suit", "bra")


def male_swimwear(signals: Signals) -> float:
    """Swimming trunks."""
    return signals.imagenet_sum("swim trunks / shorts")


def weapons(signals: Signals) -> float:
    """Firearms and blades; a detected knife fires from 0.6 up."""
    return max(signals.imagenet_sum(*WEAPONS), fires_at(0.6, signals.coco_best("knife")))


def pills(signals: Signals) -> float:
    """Medicine bottles and syringes."""
    return signals.imagenet_sum("pill bottle", "syringe")


def alcoholic_beverages(signals: Signals) -> float:
    """A detected wine glass, or bottles and glasses that fill the picture; cocktail ware counts less."""
    return max(
        signals.coco_best("wine glass"),
        signals.imagenet_sum("beer bottle", "beer glass", "wine bottle", "red wine"),
        0.8 * signals.imagenet_sum("cocktail shaker", "goblet"),
    )


def gambling(signals: Signals) -> float:
    """Slot machines."""
    return signals.imagenet_sum("slot machine")


RULES: Final[dict[str, Callable[[Signals], float]]] = {
    "Explicit Nudity": explicit_nudity,
    "Non-Explicit Nudity": non_explicit_nudity,
    "Female Swimwear or Underwear": female_swimwear,
    "Male Swimwear or Underwear": male_swimwear,
    "Weapons": weapons,
    "Pills": pills,
    "Alcoholic Beverages": alcoholic_beverages,
    "Gambling": gambling,
}


def fires_at(threshold: float, score: float) -> float:
    """Stretch a score so that `threshold` becomes 0.5 and 0 and 1 stay."""
    return score / threshold / 2 if score < threshold else 1 - (1 - score) / (1 - threshold) / 2


def scores(signals: Signals) -> dict[str, float]:
    """How sure each rule is of its label, 0..1."""
    return {name: rule(signals) for name, rule in RULES.items()}


def labels(scores: Mapping[str, float], min_confidence: float) -> tuple[Label, ...]:
    """Labels of at least `min_confidence`, the most certain chain first, each child before its ancestors.

    Like Rekognition, all labels of a chain carry one confidence. An ancestor that two chains share carries
    the higher one and stands behind its last child.

    Args:
        scores: 0..1 by label, of any level; see `scores`.
        min_confidence: 0..100.
    """
    least = max(min_confidence, FLOOR)
    confidences = {name: float32(100 * score) for name, score in scores.items()}
    chains = sorted(
        (name for name in confidences if confidences[name] >= least), key=lambda name: -confidences[name]
    )
    found: dict[str, Label] = {}
    for name in chains:
        for node in reversed(_chain(name)):
            # Put again, an ancestor moves behind the new child and keeps the higher confidence it had.
            before = found.pop(node.name, None)
            confidence = before.confidence if before else confidences[name]
            found[node.name] = Label(node.name, node.parent, node.level, confidence)
    return tuple(found.values())


def content_types(signals: Signals) -> tuple[ContentType, ...]:
    """The content types from 50 up, whatever MinConfidence says of labels; none for a photo."""
    scored = zip(signals.classes.content_head, signals.content_head, strict=True)
    types = [ContentType(name, float32(100 * float(score))) for name, score in scored if name != "Photo"]
    return tuple(kind for kind in types if kind.confidence >= CONTENT_TYPE_FLOOR)


def float32(value: float) -> float:
    """The value as Rekognition's answers show it: a float32 widened to a float64, within 0..100."""
    return float(np.float32(min(max(value, 0.0), 100.0)))


@lru_cache(maxsize=64)
def _chain(name: str) -> tuple[Node, ...]:
    """The label and its ancestors, level 1 first."""
    node = taxonomy().lookup(name)
    if node is None:
        raise LookupError(f"rule for {name!r}: taxonomy 7.0 has no such label")
    return tuple(found for step in node.path if (found := taxonomy().lookup(step)))
