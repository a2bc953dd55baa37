from __future__ import annotations

import pytest

from moderation.plan.coverage import Model, Question


@pytest.mark.parametrize(
    ("have", "need", "enough"),
    [
        ("7.0", "7.0", True),
        ("7", "7.0", True),
        ("7.1", "7.0", True),
        ("10.0", "7.0", True),
        ("6.1", "7.0", False),
        ("offline-1.0", "7.0", False),
        ("7.0", "offline-1.0", False),
        ("offline-1.1", "offline-1.0", True),
        ("strange", "strange", True),
        ("strange", "7.0", False),
        ("7" * 5000, "7.0", False),  # more digits than Python makes a number of
    ],
)
def test_a_model_is_enough_when_it_is_of_the_family_and_no_older(have, need, enough):
    assert Model.parse(have).at_least(Model.parse(need)) is enough


@pytest.mark.parametrize(
    ("asked_then", "asked_now", "covered"), [(50.0, 50.0, True), (50.0, 80.0, True), (80.0, 50.0, False)]
)
def test_a_lower_threshold_covers_a_higher_one(asked_then, asked_now, covered):
    question = Question("7.0", None, asked_now)

    assert question.is_answered_by(model_version="7.0", adapter="", min_confidence=asked_then) is covered


def test_another_adapters_answer_covers_nothing():
    question = Question("7.0", "arn:a", 50)

    assert question.is_answered_by(model_version="7.0", adapter="arn:a", min_confidence=50)
    assert not question.is_answered_by(model_version="7.0", adapter="arn:b", min_confidence=50)
    assert not question.is_answered_by(model_version="7.0", adapter=None, min_confidence=50)
