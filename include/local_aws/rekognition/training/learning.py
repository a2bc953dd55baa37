"""Learning heads from examples: L2-regularised logistic regression over base score and features."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from local_aws.inference.adapters.learned import Head, LearnedAdapter, base_score, logit
from local_aws.rekognition.training.examples import Seen
from local_aws.rekognition.training.ground_truth import Example

Doubles = NDArray[np.float64]

_PENALTY: Final = 0.03
_LEAST_SCALE: Final = 1e-3
_FOLDS: Final = 4
_FALSE_FLAGS: Final = 0.005
"""The share of unseen images without a label that an adapter may say it of, at confidence 50."""
_LARGEST: Final = 14
"""Logits of such images by which is judged how far beyond them others will come."""
_THRESHOLDS: Final = (-1.0, 3.0)
"""How far the threshold may move, in logits: few images say little about a quantile."""
_STEPS: Final = 200
_MEMORY: Final = 10
_ENOUGH: Final = 1e-5


@dataclass(frozen=True)
class Sample:
    """What is learnt from.

    :param features: images × views × features, float16 or float32.
    :param base_logits: images, for one label.
    :param truth: images, bool, for one label.
    """

    features: NDArray[np.float16]
    base_logits: dict[str, Doubles]
    truth: dict[str, NDArray[np.bool_]]


def count_mistakes(
    examples: Iterable[Example], seen: Mapping[str, Seen], *, threshold: float
) -> dict[str, tuple[int, int]]:
    """How often the base model is wrong: false positives and false negatives by label, in distinct images.

    Only labels in whose place something is said are counted: those annotated and those the rules have, not
    what stands above them.

    :param threshold: 0..100, from where on the base model says a label.
    """
    mistakes: dict[str, list[int]] = {}
    known = list({example.source_ref: example for example in examples}.values())
    labels = {name for example in known for name in example.labels}
    for example in known:
        scores = seen[example.source_ref].scores or {}
        for label in labels | set(scores):
            said, true = 100 * base_score(scores, label) >= threshold, example.shows(label)
            if said != true:
                mistakes.setdefault(label, [0, 0])[true] += 1
    return {label: (wrong, missed) for label, (wrong, missed) in mistakes.items()}


def sample_of(examples: Sequence[Example], seen: Mapping[str, Seen], labels: Sequence[str]) -> Sample:
    """Gather what is learnt from.

    :param labels: those to learn a head for.
    """
    looked = [seen[example.source_ref] for example in examples]
    features = np.stack([one.features for one in looked if one.features is not None])
    return Sample(
        features,
        {name: np.array([logit(base_score(one.scores or {}, name)) for one in looked]) for name in labels},
        {name: np.array([example.shows(name) for example in examples]) for name in labels},
    )


def learn(sample: Sample) -> LearnedAdapter:
    """Learn a head for each label of a sample; the same sample gives the same heads."""
    count, views, dims = sample.features.shape
    rows = sample.features.reshape(count * views, dims).astype(np.float32)
    mean = rows.mean(axis=0, dtype=np.float64)
    scale = np.maximum(rows.std(axis=0, dtype=np.float64), _LEAST_SCALE)
    rows -= mean.astype(np.float32)
    rows /= scale.astype(np.float32)
    heads = {}
    for label, truth in sample.truth.items():
        base, repeated = np.repeat(sample.base_logits[label], views), np.repeat(truth, views)
        weights = fit(rows, base, repeated, penalty=_PENALTY)
        if 0 < truth.sum() < count:
            weights[0] -= _threshold(rows, base, repeated, views)
        heads[label] = Head(weights[2:], float(weights[1]), float(weights[0]))
    return LearnedAdapter(mean, scale, heads)


def _threshold(rows: NDArray[np.float32], base: Doubles, truth: NDArray[np.bool_], views: int) -> float:
    """The logit from which on a label is meant: one that few images exceed which do not show it.

    Judged on images that a fit has not seen. All views of an image are in one fold, and images that come one
    after the other in the manifest are kept together, since near-duplicates tend to be neighbours.
    """
    count = len(truth) // views
    folds = np.repeat(np.arange(count) * _FOLDS // count, views)
    plain = np.arange(len(truth)) % views == 0
    others: list[Doubles] = []
    for fold in range(_FOLDS):
        inside = folds != fold
        if not 0 < truth[inside].sum() < inside.sum():
            continue
        weights = fit(rows[inside], base[inside], truth[inside], penalty=_PENALTY)
        judged = ~inside & plain & ~truth
        others.append(rows[judged] @ weights[2:] + weights[1] * base[judged] + weights[0])
    unlike = np.concatenate(others) if others else np.zeros(0)
    if not len(unlike):
        return 0.0
    return float(np.clip(exceeded_by(unlike, _FALSE_FLAGS), *_THRESHOLDS))


def exceeded_by(values: Doubles, share: float) -> float:
    """What a share of all values like these will exceed, also where these are too few to have such a one.

    Beyond the largest of them the tail is taken to fall off exponentially, as fast as they stand above the
    next one on average (peaks over a threshold; Coles, "An Introduction to Statistical Modeling of Extreme
    Values", 4.3, of shape 0). Of a few hundred, the plain quantile is one of the two largest, and four times
    as many of unseen drawings exceeded it as were meant to.

    :param values: at least one.
    :param share: 0..1.
    """
    ordered = np.sort(values)
    count = len(ordered)
    if count < 2:
        return float(ordered[-1])
    # Where there are enough beyond, they say it themselves.
    largest = min(count - 1, max(1, min(_LARGEST, count // 4), round(2 * share * count)))
    foot = ordered[-largest - 1]
    return float(foot + (ordered[-largest:] - foot).mean() * np.log(largest / count / share))


def fit(rows: NDArray[np.float32], base: Doubles, truth: NDArray[np.bool_], *, penalty: float) -> Doubles:
    """Minimise the class-balanced logistic loss plus ``penalty``/2 times the squared weights.

    :param rows: standardised features, one row an example.
    :param base: logit of the base score of each row.
    :return: bias, weight of the base logit, weights of the features. The bias bears no penalty, unless all
        rows have one truth: then there is none, and what is unlike the rows stays as the base says.
    """
    signs = np.where(truth, 1.0, -1.0)
    positives = int(truth.sum())
    mixed = 0 < positives < len(truth)
    balance = np.where(truth, 0.5 / max(1, positives), 0.5 / max(1, len(truth) - positives))
    balance /= balance.sum()
    start = np.zeros(rows.shape[1] + 2)
    start[1] = 1.0
    wanted = start.copy()

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        logits = rows @ weights[2:].astype(np.float32) + weights[1] * base + weights[0]
        margins = signs * logits
        each = np.logaddexp(0.0, -margins)
        slopes = -signs * balance * np.exp(-np.logaddexp(0.0, margins))
        apart = weights - wanted
        apart[0] = 0.0
        gradient = np.empty_like(weights)
        gradient[0] = slopes.sum() if mixed else 0.0
        gradient[1] = slopes @ base
        gradient[2:] = rows.T @ slopes.astype(np.float32)
        return float(balance @ each + penalty / 2 * apart @ apart), gradient + penalty * apart

    return minimise(loss, start)


def minimise(loss: Callable[[Doubles], tuple[float, Doubles]], start: Doubles) -> Doubles:
    """Minimise a smooth convex function by L-BFGS (Nocedal and Wright, "Numerical Optimization", 7.4).

    :param loss: returns value and gradient.
    """
    at = start
    value, gradient = loss(at)
    moves: deque[tuple[Doubles, Doubles]] = deque(maxlen=_MEMORY)
    for _ in range(_STEPS):
        if np.abs(gradient).max() < _ENOUGH:
            break
        direction = -_curved(gradient, moves)
        slope = float(gradient @ direction)
        step = 1.0 if moves else min(1.0, 1.0 / float(np.abs(gradient).sum()))
        while True:
            new_at = at + step * direction
            new_value, new_gradient = loss(new_at)
            if new_value <= value + 1e-4 * step * slope or step < 1e-10:
                break
            step /= 2
        moved, turned = new_at - at, new_gradient - gradient
        if float(moved @ turned) > 1e-12:
            moves.append((moved, turned))
        at, value, gradient = new_at, new_value, new_gradient
    return at


def _curved(gradient: Doubles, moves: deque[tuple[Doubles, Doubles]]) -> Doubles:
    """The gradient times the inverse of the curvature that the last moves showed."""
    result, used = gradient.copy(), []
    for moved, turned in reversed(moves):
        share = float(moved @ result) / float(moved @ turned)
        result -= share * turned
        used.append(share)
    if moves:
        moved, turned = moves[-1]
        result *= float(moved @ turned) / float(turned @ turned)
    for (moved, turned), share in zip(moves, reversed(used), strict=True):
        result += (share - float(turned @ result) / float(moved @ turned)) * moved
    return result
