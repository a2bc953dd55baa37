"""What the offline model answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from local_aws.inference.decode import ImageLimits
from local_aws.inference.errors import ImageRejected
from local_aws.inference.moderator import MODEL_VERSION, Moderation, Moderator
from moderation.reference.taxonomy import taxonomy
from support import demo, pictures


@pytest.fixture(scope="module")
def moderator() -> Moderator:
    return Moderator(threads=2)


@pytest.fixture(scope="module")
def alone(moderator: Moderator) -> dict[Path, Moderation]:
    """What each third demo image is answered while nothing else is asked, of any confidence."""
    return {path: moderator.moderate(path.read_bytes(), min_confidence=0) for path in demo.FILES[::3]}


def content_types(answer: Moderation) -> list[str]:
    return [kind.name for kind in answer.content_types]


@pytest.mark.parametrize("path", demo.FILES, ids=lambda path: path.stem)
def test_demo_images_get_the_labels_that_the_models_are_good_for(moderator: Moderator, path: Path) -> None:
    answer = moderator.moderate(path.read_bytes())
    expected = demo.LABELS.get(path.stem)
    assert [label.name for label in answer.labels] == ([expected[1], expected[0]] if expected else [])
    if expected:
        assert answer.labels[0].confidence == pytest.approx(expected[2], abs=2)
    assert content_types(answer) == (["Animated"] if demo.is_animated(path) else [])


def test_labels_come_child_first_with_every_ancestor_and_one_confidence(moderator: Moderator) -> None:
    answer = moderator.moderate((demo.FOLDER / "illustrations/rifle.png").read_bytes(), min_confidence=0)
    names = [label.name for label in answer.labels]
    assert len(names) == len(set(names)) > 2
    for position, label in enumerate(answer.labels):
        node = taxonomy().lookup(label.name)
        assert node is not None
        assert (label.name, label.taxonomy_level, label.parent_name) == (node.name, node.level, node.parent)
        if label.taxonomy_level > 1:
            parent = answer.labels[names.index(label.parent_name)]
            assert names.index(label.parent_name) > position
            assert parent.confidence >= label.confidence
    weapons, violence = answer.labels[:2]
    assert (weapons.name, violence.name, violence.parent_name) == ("Weapons", "Violence", "")
    assert weapons.confidence == violence.confidence


def test_confidences_are_float32_within_0_and_100(alone: dict[Path, Moderation]) -> None:
    for answer in alone.values():
        kinds = [kind.confidence for kind in answer.content_types]
        for confidence in [label.confidence for label in answer.labels] + kinds:
            assert 0 <= confidence <= 100
            assert type(confidence) is float
            assert confidence == float(np.float32(confidence))


@pytest.mark.parametrize("least", [0, 0.5, 20, 50, 80, 90, 99.5, 100])
def test_min_confidence_leaves_out_what_is_below_it_and_nothing_else(
    moderator: Moderator, least: float
) -> None:
    data = (demo.FOLDER / "photos/wine.jpg").read_bytes()
    everything = moderator.moderate(data, min_confidence=0)
    answer = moderator.moderate(data, min_confidence=least)
    assert answer.labels == tuple(label for label in everything.labels if label.confidence >= least)
    assert answer.content_types == everything.content_types


def test_min_confidence_is_50_when_not_given(moderator: Moderator) -> None:
    data = (demo.FOLDER / "photos/wine.jpg").read_bytes()
    assert moderator.moderate(data) == moderator.moderate(data, min_confidence=50)


@pytest.mark.parametrize("least", [-0.1, 100.1, float("nan"), float("inf")])
def test_a_min_confidence_outside_0_and_100_is_refused(moderator: Moderator, least: float) -> None:
    with pytest.raises(ValueError, match=r"min_confidence must be 0\.\.100"):
        moderator.moderate(pictures.jpeg(), min_confidence=least)


def test_the_model_version_cannot_be_taken_for_rekognitions() -> None:
    assert MODEL_VERSION == "offline-1.1"


def test_answers_are_the_same_whatever_other_threads_do(
    moderator: Moderator, alone: dict[Path, Moderation]
) -> None:
    images = [path.read_bytes() for path in alone]
    with ThreadPoolExecutor(6) as pool:
        crowd = list(pool.map(lambda data: moderator.moderate(data, min_confidence=0), images))
    assert crowd == list(alone.values())


def test_another_moderator_with_other_threads_answers_the_same(moderator: Moderator) -> None:
    other = Moderator(threads=1)
    data = (demo.FOLDER / "illustrations/rifle.png").read_bytes()
    assert other.moderate(data, min_confidence=0) == moderator.moderate(data, min_confidence=0)


@pytest.mark.parametrize("name", pictures.GOOD)
def test_unusual_but_good_pictures_are_moderated(moderator: Moderator, name: str) -> None:
    sizes = {
        "animated_png": (160, 120),
        "text_bomb": (160, 120),
        "icc_bomb": (160, 120),
        "rotated_jpeg": (320, 160),
        "smallest": (80, 80),
        "longest": (10_000, 80),
    }
    answer = moderator.moderate(pictures.GOOD[name]())
    assert (answer.width, answer.height) == sizes.get(name, (320, 240))


@pytest.mark.parametrize("name", pictures.HOSTILE)
def test_hostile_pictures_are_refused_with_rekognitions_error(moderator: Moderator, name: str) -> None:
    with pytest.raises(ImageRejected) as refused:
        moderator.moderate(pictures.HOSTILE[name].make())
    assert refused.value.code == pictures.HOSTILE[name].error
    assert refused.value.message


def test_pictures_are_refused_before_any_network_is_loaded() -> None:
    def load() -> None:
        raise AssertionError("networks were loaded")

    moderator = Moderator(load=load)  # type: ignore[arg-type]
    for hostile in (pictures.text_named_jpg(), pictures.bomb_600mp(), pictures.sixteen_megabyte()):
        with pytest.raises(ImageRejected):
            moderator.moderate(hostile)


@pytest.mark.slow
@pytest.mark.parametrize("make", [pictures.hundred_megapixels, pictures.hundred_megapixel_png])
def test_the_largest_pictures_are_moderated_beside_others(
    moderator: Moderator, make: Callable[[], bytes]
) -> None:
    small, large = pictures.jpeg(), make()
    expected = moderator.moderate(small)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(moderator.moderate, [small, large, small, small]))
    assert (answers[1].width, answers[1].height) == (10_000, 10_000)
    assert [answers[0], *answers[2:]] == [expected] * 3


def test_a_refused_picture_gives_its_slot_back(moderator: Moderator) -> None:
    one = Moderator(threads=1, load=moderator.load)
    for _ in range(3):
        with pytest.raises(ImageRejected):
            one.moderate(pictures.corrupt_png())
    assert one.moderate(pictures.jpeg()) == moderator.moderate(pictures.jpeg())


def test_limits_can_be_set(moderator: Moderator) -> None:
    small = Moderator(limits=ImageLimits(max_bytes=1000, min_side=10, max_side=100), load=moderator.load)
    with pytest.raises(ImageRejected, match="ImageTooLarge"):
        small.moderate(pictures.jpeg())
    assert small.moderate(pictures.forty_px()).width == 40


def test_at_least_one_thread_is_needed() -> None:
    with pytest.raises(ValueError, match="threads must be at least 1"):
        Moderator(threads=0)


def test_copies_looked_at_later_have_the_features_of_those_looked_at_at_once(moderator: Moderator) -> None:
    data = pictures.jpeg(300, 200)
    at_once = moderator.examine(data, views=3).features
    first, later = (
        moderator.examine(data, views=1).features,
        moderator.examine_copies(data, views=3, behind=1),
    )
    assert np.concatenate([first, later]).tobytes() == at_once.tobytes()
