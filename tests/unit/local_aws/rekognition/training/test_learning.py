"""What is learnt from examples, and what is not."""

from __future__ import annotations

import numpy as np
import pytest

from local_aws.inference.adapters.learned import Head, LearnedAdapter, base_score
from local_aws.rekognition.images.objects import Source
from local_aws.rekognition.training.examples import Seen
from local_aws.rekognition.training.ground_truth import Example
from local_aws.rekognition.training.learning import (
    Sample,
    count_mistakes,
    exceeded_by,
    fit,
    learn,
    sample_of,
)

LABEL = "Gambling"


def sample(count: int = 400, *, seed: int = 5) -> Sample:
    """Images whose third feature says whether they show the label."""
    random = np.random.default_rng(seed)
    truth = random.random(count) < 0.3
    features = random.normal(size=(count, 2, 20)).astype(np.float16)
    features[:, :, 3] += 4 * truth[:, None]
    return Sample(features, {LABEL: np.full(count, -6.0)}, {LABEL: truth})


def said(adapter: LearnedAdapter, given: Sample, base: float = 0.001) -> np.ndarray:
    return np.array([adapter.scores({LABEL: base}, one[0])[LABEL] >= 0.5 for one in given.features])


def test_it_finds_what_the_base_model_misses_and_flags_little_else() -> None:
    adapter, unseen = learn(sample()), sample(seed=6)
    truth, found = unseen.truth[LABEL], said(adapter, unseen)
    assert found[truth].mean() > 0.8
    assert found[~truth].mean() < 0.04


def test_the_same_sample_teaches_the_same() -> None:
    given = sample(100)
    assert learn(given).to_bytes() == learn(given).to_bytes()


def test_what_is_stored_answers_as_what_was_learnt() -> None:
    given = sample(100)
    adapter = learn(given)
    again = LearnedAdapter.from_bytes(adapter.to_bytes())
    for one in given.features[:20]:
        expected = adapter.scores({LABEL: 0.2}, one[0])[LABEL]
        assert again.scores({LABEL: 0.2}, one[0])[LABEL] == pytest.approx(expected, abs=1e-4)


def test_from_false_alarms_alone_it_learns_to_be_silent_on_their_like_only() -> None:
    """No image shows the label; the base model says it of those with a large third feature."""
    features = np.random.default_rng(5).normal(size=(200, 1, 20)).astype(np.float16)
    alarmed = np.arange(200) < 40
    features[alarmed, :, 3] += 6
    base = np.where(alarmed, 3.0, -6.0)
    adapter = learn(Sample(features, {LABEL: base}, {LABEL: np.zeros(200, bool)}))
    assert said(adapter, Sample(features[alarmed], {}, {}), base=0.95).mean() < 0.2
    like_no_alarm = np.zeros((1, 20), np.float32)
    assert adapter.scores({LABEL: 0.99}, like_no_alarm[0])[LABEL] > 0.5


@pytest.mark.parametrize("count", [60, 270, 1_000])
def test_of_few_images_a_threshold_is_exceeded_by_hardly_more_than_it_is_meant_to(count: int) -> None:
    """Logits whose tail falls off as a logistic one does, many times over."""
    random = np.random.default_rng(11)
    exceeded = [1 / (1 + np.exp(exceeded_by(random.logistic(size=count), 0.005))) for _ in range(400)]
    plain = [1 / (1 + np.exp(np.quantile(random.logistic(size=count), 0.995))) for _ in range(400)]
    assert 0.6 * 0.005 < np.mean(exceeded) < 1.6 * 0.005
    assert np.mean(exceeded) < np.mean(plain)


def test_a_threshold_by_one_or_two_images_is_a_number() -> None:
    assert exceeded_by(np.array([1.5]), 0.005) == 1.5
    assert 1.5 < exceeded_by(np.array([1.0, 1.5]), 0.005) < 10


def test_a_fit_is_the_minimum_of_its_loss() -> None:
    given = sample(150)
    rows = given.features[:, 0].astype(np.float32)
    truth, base = given.truth[LABEL], given.base_logits[LABEL]
    weights = fit(rows, base, truth, penalty=0.1)

    def loss(at: np.ndarray) -> float:
        margins = np.where(truth, 1, -1) * (rows @ at[2:] + at[1] * base + at[0])
        balance = np.where(truth, 0.5 / truth.sum(), 0.5 / (~truth).sum())
        return float(balance @ np.logaddexp(0, -margins) + 0.05 * ((at[1] - 1) ** 2 + at[2:] @ at[2:]))

    least = loss(weights)
    random = np.random.default_rng(7)
    for _ in range(50):
        assert loss(weights + random.normal(scale=0.01, size=len(weights))) >= least - 1e-7


def test_a_label_below_a_learnt_one_is_never_surer_than_it() -> None:
    head = Head(np.ones(20), 0.0, 0.0)
    adapter = LearnedAdapter(np.zeros(20), np.ones(20), {"Violence": head})
    scores = adapter.scores({"Weapons": 0.99, "Pills": 0.7}, np.full(20, -5, np.float32))
    assert scores["Weapons"] <= scores["Violence"] < 0.5
    assert scores["Pills"] == 0.7


def test_mistakes_are_counted_by_label_in_distinct_images() -> None:
    truth = {"a": ("Gambling",), "b": (), "c": ("Weapons",), "d": ("Violence",)}
    scores = {"a": {}, "b": {"Weapons": 0.9}, "c": {"Weapons": 0.8}, "d": {"Weapons": 0.7}}
    examples = [Example(1, name, Source("b", name), labels, {}) for name, labels in truth.items()] * 2
    seen = {name: Seen(name, scores[name], np.zeros((1, 4), np.float16)) for name in truth}
    assert count_mistakes(examples, seen, threshold=50) == {
        "Gambling": (0, 1),
        "Weapons": (2, 0),
        "Violence": (1, 0),
    }
    assert sample_of(examples[:4], seen, ["Violence"]).truth["Violence"].tolist() == [
        False,
        False,
        True,
        True,
    ]


def test_the_base_score_of_a_label_is_the_highest_of_those_below_it() -> None:
    assert base_score({"Weapons": 0.4, "Pills": 0.9}, "Violence") == 0.4
    assert base_score({}, "Violence") == 0.0
