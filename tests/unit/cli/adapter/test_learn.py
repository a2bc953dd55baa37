from __future__ import annotations

import pytest

from moderation.adapters import training
from moderation.cli.adapter import learn
from moderation.settings import Settings

ARN = "arn:aws:rekognition:us-east-1:123456789012:project/cards/version/v1/1700000000000"


def test_a_training_that_never_ends_is_waited_for_as_long_as_the_setting_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = []

    def goes_on(_: Settings, arn: str) -> None:
        looks.append(arn)
        raise training.TrainingGoesOnError("still being trained")

    monkeypatch.setattr(learn, "_finish", goes_on)
    monkeypatch.setattr(learn, "_POLL_SECONDS", 0.001)
    monkeypatch.setenv("MODERATION_ADAPTER_WAIT_HOURS", "0.000005")
    with pytest.raises(training.TrainingGoesOnError, match=rf"`moderation adapter evaluate {ARN}` compares"):
        learn._wait(Settings(), ARN, as_json=False)
    assert len(looks) > 1
