"""What people are to look at of an adapter's answers is drawn from its own, with known probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from moderation.adapters import registry
from moderation.adapters.after import sample
from moderation.adapters.registry import Version
from moderation.policy.thresholds import Thresholds
from moderation.review.fill import Rules, fill_standing
from moderation.review.state.open import State, open_state
from moderation.review.statistics.draws import drawn
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings
from support.answered import LOAD, image, published

ARN = "arn:aws:rekognition:us-east-1:123456789012:project/cards/version/v1/1700000000000"
IMAGES = [
    *(image(number, {"Gambling": 90.0}, adapter=ARN) for number in range(6)),
    *(image(number, {"Gambling": 20.0}, adapter=ARN) for number in range(10, 14)),
    *(image(number, {"Weapons": 90.0}, adapter=ARN) for number in range(20, 30)),
    *(image(number, adapter=ARN) for number in range(100, 300)),
    *(image(number, {"Gambling": 99.0}) for number in range(400, 420)),
]
VERSION = Version(arn=ARN, project="cards", labels=("Gambling",), set_uri="s3://w/set")
NOW = datetime(2026, 11, 22, tzinfo=UTC)
RULES = Rules(thresholds=Thresholds(default=50.0, labels={}))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = open_state(str(tmp_path / "review.db"))
    yield opened
    opened.close()


def test_each_load_is_drawn_by_strata_and_the_answers_of_others_are_left_out(state: State) -> None:
    queue = sample.make(state.queues, VERSION, AdapterSettings(sample_images=40))
    assert queue is not None
    connection = published(IMAGES)
    assert fill_standing(connection, state.queues, RULES, [LOAD], unflagged_percent=0)[queue.queue_id] == 40
    assert fill_standing(connection, state.queues, RULES, [LOAD], unflagged_percent=0)[queue.queue_id] == 0
    connection.close()
    found = state.queues.next(queue.queue_id, "ann", 99)
    of = {name: [one for one in found if one.stratum == name] for name in ("trained", "near", "flagged")}
    assert {name: len(some) for name, some in of.items()} == {"trained": 6, "near": 4, "flagged": 10}
    for item in found:
        assert int(item.etag or "", 16) < 400
        size = {"trained": 6, "near": 4, "flagged": 10}.get(item.stratum or "", 200)
        stratum = [one for one in found if one.stratum == item.stratum]
        assert (item.design, item.inclusion_probability) == ("stratified", len(stratum) / size)
    told = {row["stratum"]: (row["kind"], row["stratum_size"]) for row in drawn(state).to_pylist()}
    assert told["unflagged"] == ("adapter", 200)


def test_a_promotion_makes_the_queue_and_a_state_that_is_gone_does_not_stop_it(
    aws_env: pytest.MonkeyPatch, bucket: str, tmp_path: Path
) -> None:
    settings = Settings(work_uri=f"s3://{bucket}/work", region="us-east-1")
    registry.note(settings, Version(**{**vars(VERSION), "gate": {"verdict": "passes", "reasons": []}}))
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path))  # a folder
    registry.promote(settings, ARN, person="anna", now=NOW)
    assert "made by the next publish" in sample.after_promotion(settings)
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    opened = open_state()
    try:
        made = sample.make_for_champion(settings, opened.queues)
        assert made is not None
        assert [queue.queue_id for queue in opened.queues.all()] == [sample.queue_id(ARN)] == [made.queue_id]
    finally:
        opened.close()
    assert "drawn to be verified" in sample.after_promotion(settings)
    aws_env.setenv("MODERATION_ADAPTER_SAMPLE", "0")
    assert "none of its answers" in sample.after_promotion(settings)
