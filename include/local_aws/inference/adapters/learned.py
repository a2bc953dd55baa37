"""What an adapter has learnt: a correction of the rules' scores by what the picture's features say."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from moderation.reference.taxonomy import taxonomy

Doubles = NDArray[np.float64]

_MOST_LOGIT: Final = 6.0
"""Scores nearer to 0 or 1 than this logit say no more than it."""


@dataclass(frozen=True)
class Head:
    """One label's logistic regression: `base_weight`·logit of the rules' score + `weights`·z + `bias`.

    z are the standardised features. The logit is 0, a confidence of 50, where the label begins to be meant.
    """

    weights: Doubles
    base_weight: float
    bias: float

    def score(self, base: float, z: Doubles) -> float:
        """0..1, by the rules' score and the standardised features of one picture."""
        return float(1 / (1 + np.exp(-(self.base_weight * logit(base) + self.weights @ z + self.bias))))


@dataclass(frozen=True)
class LearnedAdapter:
    """An adapter: heads by label; what has no head stays as the rules say.

    :param mean: of each feature over the training images.
    :param scale: standard deviation of each feature, never 0.
    """

    mean: Doubles
    scale: Doubles
    heads: Mapping[str, Head]

    def scores(self, base: Mapping[str, float], features: NDArray[np.float32]) -> dict[str, float]:
        """The corrected scores of one picture, 0..1 by label.

        A label below a learnt one is never surer than it: what is no weapon is no kind of weapon either.
        """
        z = (features.astype(np.float64) - self.mean) / self.scale
        learnt = {name: head.score(base_score(base, name), z) for name, head in self.heads.items()}
        corrected = {
            name: min([score, *(learnt[above] for above in ancestors(name) if above in learnt)])
            for name, score in base.items()
        }
        return corrected | learnt

    def to_bytes(self) -> bytes:
        """A file that :meth:`from_bytes` reads."""
        names = sorted(self.heads)
        with io.BytesIO() as out:
            np.savez_compressed(
                out,
                mean=self.mean.astype(np.float32),
                scale=self.scale.astype(np.float32),
                labels=np.frombuffer(json.dumps(names).encode(), np.uint8),
                weights=np.array([self.heads[name].weights for name in names], np.float32),
                base_weights=np.array([self.heads[name].base_weight for name in names]),
                biases=np.array([self.heads[name].bias for name in names]),
            )
            return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> LearnedAdapter:
        """Read what :meth:`to_bytes` wrote; the caller has checked that it is whole."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            names = json.loads(file["labels"].tobytes())
            heads = {
                name: Head(weights.astype(np.float64), float(base), float(bias))
                for name, weights, base, bias in zip(
                    names, file["weights"], file["base_weights"], file["biases"], strict=True
                )
            }
            return cls(file["mean"].astype(np.float64), file["scale"].astype(np.float64), heads)


def base_score(scores: Mapping[str, float], label: str) -> float:
    """The rules' score of a label of any level: the highest of its own and of all below it."""
    return max(
        (score for name, score in scores.items() if name == label or label in ancestors(name)), default=0.0
    )


def logit(score: float) -> float:
    """The logit of a score 0..1, within bounds."""
    least = 1 / (1 + np.exp(_MOST_LOGIT))
    clipped = min(max(score, least), 1 - least)
    return float(np.log(clipped / (1 - clipped)))


@lru_cache(maxsize=256)
def ancestors(label: str) -> tuple[str, ...]:
    """The names above a label of the taxonomy."""
    node = taxonomy().lookup(label)
    return node.path[:-1] if node else ()
