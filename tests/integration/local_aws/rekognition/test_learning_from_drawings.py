"""Proof that adapters learn: a design of playing cards that was not trained on is found.

A random split would prove nothing, for near-duplicates of each card would stand on both sides.
"""

from __future__ import annotations

import numpy as np
import pytest

from local_aws.inference import tensors
from local_aws.inference.adapters.learned import LearnedAdapter, logit
from local_aws.inference.adapters.views import changed_views
from local_aws.inference.decode import decode, inspect
from local_aws.inference.moderator import Moderator
from local_aws.inference.networks import Networks
from local_aws.rekognition.settings import ServerSettings
from local_aws.rekognition.training.learning import Sample, learn
from support.adapter_training import ADAPTER_IMAGES, truth

LABEL = "Gambling"
BASE = 0.001
"""What the rules say of a drawing of a card."""


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks()


def looked_at(networks: Networks, name: str, views: int) -> np.ndarray:
    picture = decode(inspect((ADAPTER_IMAGES / "images" / name).read_bytes()))
    shown = [picture, *changed_views(picture, views)]
    return np.stack([networks.run_features(tensors.efficientnet_input(view)) for view in shown])


def found(networks: Networks, adapter: LearnedAdapter, names: list[str]) -> float:
    scores = [adapter.scores({LABEL: BASE}, looked_at(networks, name, 0)[0])[LABEL] for name in names]
    return float(np.mean(np.array(scores) >= 0.5))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("designs", "every"),
    [
        pytest.param(("her-",), 3, id="a third of them"),
        pytest.param(("her-",), 1, marks=pytest.mark.long, id="her"),
        pytest.param(("white-", "ornamental-"), 1, marks=pytest.mark.long, id="white and ornamental"),
    ],
)
def test_a_design_that_was_not_trained_on_is_found_and_little_else(
    networks: Networks, designs: tuple[str, ...], every: int
) -> None:
    names = truth()
    cards = [name for name, label in names if label == LABEL and not name.startswith(designs)]
    unseen_cards = [name for name, label in names if label == LABEL and name.startswith(designs)]
    harmless = [name for name, label in names if not label]
    learnt = [(name, True) for name in cards[::every]] + [(name, False) for name in harmless[:: 2 * every]]
    views = ServerSettings().training_views
    features = np.stack([looked_at(networks, name, views) for name, _ in learnt]).astype(np.float16)
    shows = np.array([shown for _, shown in learnt])
    adapter = learn(Sample(features, {LABEL: np.full(len(learnt), logit(BASE))}, {LABEL: shows}))
    assert found(networks, adapter, unseen_cards[::every]) >= 0.5
    assert found(networks, adapter, harmless[1::every]) <= 0.02


def test_the_base_model_finds_no_card() -> None:
    moderator = Moderator()
    for name in ("her-2C.png", "her-4H.png"):
        scores = moderator.examine((ADAPTER_IMAGES / "images" / name).read_bytes()).scores
        assert scores[LABEL] < 0.05
