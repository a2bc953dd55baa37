"""The queue of what a training lacks holds exactly that, and deciding it makes the set complete."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moderation.adapters.sets import store, to_decide
from moderation.adapters.sets.to_decide import Lack
from moderation.adapters.sets.verdicts import gather
from moderation.policy.thresholds import Thresholds
from moderation.review.queue import Item
from moderation.review.state.open import State, open_state
from moderation.review.verdict import Verdict, new_id
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings
from support.judged import NOW, judged, publish_judged
from support.planned_runs import make_settings

RULE = AdapterSettings(
    test_positives=1, test_negatives=1, near_bits=4, min_false_negatives=3, min_false_positives=3
)
RED, IMAGES = 8, 12


@pytest.fixture
def settings(aws_env: pytest.MonkeyPatch, bucket: str, s3_client: Any, tmp_path: Path) -> Settings:
    """Eight images with *Gambling*, of which one is gone by now, and four with nothing at all."""
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    made = make_settings(tmp_path, bucket, tables="local")
    publish_judged(made, s3_client, bucket, red=RED, images=IMAGES)
    s3_client.delete_object(Bucket=bucket, Key="photos/0.png")
    return made


@pytest.fixture
def state(settings: Settings) -> Iterator[State]:
    opened = open_state()
    yield opened
    opened.close()


def queue_of(settings: Settings, state: State, lack: Lack, label: str = "Alcohol", **more: Any) -> Any:
    used = Thresholds(default=None, labels={})
    return to_decide.make(settings, state, [label], lack, thresholds=used, default_threshold=50.0, **more)


def said(item: Item, verdict: str, reviewer: str = "ben") -> Verdict:
    facts = {name: getattr(item, name) for name in ("content", "source_ref", "etag", "size_bytes", "item_id")}
    return Verdict(
        **facts, verdict_id=new_id(), decided_at=NOW, reviewer=reviewer, subject="label", label=item.label,
        level=1, l1=item.label, verdict=verdict,
    )  # fmt: skip


def decide(state: State, queue_id: str, verdict: str, reviewer: str = "ben") -> list[Item]:
    items = state.queues.next(queue_id, reviewer, 99)
    state.queues.submit(
        [said(item, verdict, reviewer) for item in items], [item.item_id for item in items], reviewer=reviewer
    )
    return items


@pytest.mark.slow
def test_deciding_the_queue_makes_the_set_complete(settings: Settings, state: State) -> None:
    made = queue_of(settings, state, Lack.DECISIONS)
    assert (made.waiting, made.new, dict(made.left_out)) == (RED - 1, RED - 1, {"gone, or changed since": 1})
    again = queue_of(settings, state, Lack.DECISIONS)
    assert (again.queue, again.waiting, again.new) == (made.queue, RED - 1, 0)
    assert queue_of(settings, state, Lack.DECISIONS, most=3).more == RED - 3

    items = decide(state, made.queue.queue_id, "present")
    assert {item.label for item in items} == {"Alcohol"}
    assert all(item.load_id and item.design is None for item in items)
    after = queue_of(settings, state, Lack.DECISIONS)
    assert (after.queue, after.waiting) == (None, 0)
    stored = store.make(settings, "drinks", gather(settings, state.log), labels=["Alcohol"], rule=RULE)
    assert len(stored.contents.pictures) + len(stored.contents.left_out) == IMAGES
    assert set(stored.contents.left_out.values()) == {"gone"}


@pytest.mark.slow
def test_what_somebody_was_unsure_of_goes_to_other_eyes(settings: Settings, state: State) -> None:
    first = queue_of(settings, state, Lack.DECISIONS)
    decide(state, first.queue.queue_id, "unsure")
    second = queue_of(settings, state, Lack.DECISIONS)
    assert second.queue.queue_id == f"{first.queue.queue_id}-2"
    assert second.new == second.waiting == RED - 1
    assert queue_of(settings, state, Lack.DECISIONS).new == 0
    decide(state, second.queue.queue_id, "absent", "carla")
    assert queue_of(settings, state, Lack.DECISIONS).queue is None


@pytest.mark.slow
def test_likely_errors_are_images_of_which_nobody_said_anything_about_the_label(
    settings: Settings, state: State, s3_client: Any, bucket: str
) -> None:
    made = queue_of(settings, state, Lack.FALSE_NEGATIVES, most=5)
    assert (made.new, made.more) == (5, 0)
    whole = judged(s3_client, bucket, 3, red=True)
    state.log.append([replace(whole, verdict_id=new_id(), subject="image", label=None, level=None, l1=None,
                              reviewer="ben", verdict="complete")])  # fmt: skip
    found = queue_of(settings, state, Lack.FALSE_NEGATIVES)
    told = {item.content for item in state.queues.next(found.queue.queue_id, "ann", 99)}
    assert len(told | {str(whole.content)}) == RED - 1
    assert queue_of(settings, state, Lack.FALSE_POSITIVES).queue is None
    assert queue_of(settings, state, Lack.FALSE_NEGATIVES, "Gambling").queue is None
