"""What people said otherwise after a set was made of their verdicts."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from moderation.adapters.sets import since
from moderation.adapters.sets.since import Since
from moderation.adapters.sets.store import StoredSet
from moderation.adapters.sets.training_set import TESTING, TRAINING, build
from moderation.adapters.sets.verdicts import decide
from moderation.review.state.open import State, open_state
from moderation.review.verdict import Verdict
from moderation.variables.adapters import AdapterSettings
from support.judged import NOW

RULE = AdapterSettings(min_false_negatives=4, test_positives=2, test_negatives=2)
LATER = NOW + timedelta(days=1)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODERATION_REVIEW_DB", str(tmp_path_factory.mktemp("state") / "review.db"))
        state = open_state()
    yield state
    state.close()


def said(content: str, verdict: str = "present", **changes: Any) -> Verdict:
    """A verdict on *Gambling*, or on the whole image."""
    of_label = verdict in {"present", "absent"}
    label = changes.pop("label", "Gambling") if of_label else None
    told = {
        "verdict_id": uuid.uuid4().hex,
        "decided_at": NOW,
        "reviewer": "anna",
        "content": content,
        "source_ref": f"s3://photos/{content}",
        "subject": "label" if of_label else "image",
        **({"label": label, "level": 1, "l1": label} if of_label else {}),
        "verdict": verdict,
    }
    return Verdict(**{**told, **changes})


class World:
    """A set of twelve cards and twelve trees, and the log that it was made of."""

    def __init__(self, state: State) -> None:
        self.log, self.mark = state.log, uuid.uuid4().hex
        names = [f"{kind}-{n}-{self.mark}" for n in range(12) for kind in ("card", "tree")]
        self.first = {name: said(name, "present" if name.startswith("card") else "nothing") for name in names}
        self.log.append([*self.first.values()])
        made = build(
            decide(self.first.values(), {}),
            {name: int(uuid.uuid4()) for name in names},
            labels=["gambling"],
            rule=replace(RULE, near_bits=0),
        )
        uri = f"s3://work/adapters/cards/sets/{made.digest}"
        self.stored = StoredSet(uri=uri, project="cards", contents=made, places={})

    def one(self, part: str, kind: str = "card") -> str:
        """The content of an image of a part."""
        return next(p.content for p in self.stored.contents.part(part) if p.content.startswith(kind))

    def say(self, content: str, verdict: str, **changes: Any) -> Verdict:
        """What somebody says a day later."""
        row = said(content, verdict, decided_at=LATER, **changes)
        self.log.append([row])
        return row

    def undo(self, content: str) -> Verdict:
        """The first verdict is taken back."""
        first = self.first[content]
        row = replace(
            first,
            verdict_id=uuid.uuid4().hex,
            verdict="withdrawn",
            replaces=first.verdict_id,
            decided_at=LATER,
        )
        self.log.append([row])
        return row

    def look(self) -> Since:
        return since.look(self.log, self.stored)


@pytest.fixture
def world(empty: State) -> World:
    return World(empty)


def test_what_was_only_confirmed_is_no_change(world: World) -> None:
    world.say(world.one(TRAINING), "present", reviewer="ben")
    world.say(world.one(TESTING), "present")
    world.say(world.one(TESTING, "tree"), "absent", label="Weapons")
    world.say(world.one(TRAINING), "note", note="nice")
    found = world.look()
    assert (found.images, found.digest, found.lines("moderation")) == ((), "", [])
    assert found.record() == {"training": 0, "testing": 0, "digest": ""}


@pytest.mark.parametrize(
    ("verdict", "changes", "now"),
    [
        pytest.param(None, {}, None, id="taken back"),
        pytest.param("absent", {}, (), id="said otherwise by who had said it"),
        pytest.param("absent", {"reviewer": "ben"}, None, id="contradicted by another"),
        pytest.param("absent", {"reviewer": "ben", "purpose": "dispute"}, (), id="decided otherwise"),
    ],
)
@pytest.mark.parametrize("part", [TRAINING, TESTING])
def test_a_verdict_that_is_another_by_now_is_found_by_its_image_and_id(
    world: World, part: str, verdict: str | None, changes: dict[str, Any], now: tuple[str, ...] | None
) -> None:
    content = world.one(part)
    row = world.say(content, verdict, **changes) if verdict else world.undo(content)
    (image,) = world.look().images
    assert (image.content, image.part, image.then, image.now) == (content, part, ("Gambling",), now)
    assert image.new == ((row.verdict_id,) if verdict else ())
    first = world.first[content].verdict_id
    assert image.taken_back == (() if changes else (first,))
    assert bool(world.look().digest) is (part == TESTING)


def test_a_test_image_keeps_what_people_still_say_of_it(world: World) -> None:
    card, tree = world.one(TESTING), world.one(TESTING, "tree")
    world.say(card, "absent")
    world.undo(tree)
    truths = world.look().truths
    assert (truths[card]["Gambling"], truths[tree]) == (False, {})


def test_what_is_to_be_done_is_told_for_each_part_and_for_what_was_erased(world: World) -> None:
    world.undo(world.one(TRAINING))
    world.undo(world.one(TESTING))
    gone = world.one(TRAINING, "tree")
    world.stored = replace(world.stored, contents=world.stored.contents.without([gone]))
    numbers = {part: len(world.stored.contents.part(part)) for part in (TRAINING, TESTING)}
    trained, erased, tested = world.look().lines("make cli")
    again = "`make cli adapter train Gambling --project cards --max-cost-usd USD`"
    assert trained.startswith(f"the verdicts on 1 of the {numbers[TRAINING]} images that it was trained on")
    assert erased.startswith("1 images that it was trained on were erased since")
    assert tested.startswith(f"the verdicts on 1 of the {numbers[TESTING]} images that it was tested on")
    assert all(line.endswith(again) for line in (trained, erased, tested))


def test_each_further_change_of_a_test_image_makes_another_digest(world: World) -> None:
    card = world.one(TESTING)
    digests = []
    for verdict, hours in (("absent", 1), ("present", 2), ("absent", 3)):
        world.log.append([said(card, verdict, decided_at=LATER + timedelta(hours=hours))])
        digests.append(world.look().digest)
    assert digests[1] == ""
    assert len(set(digests)) == 3
    world.say(world.one(TRAINING), "absent")
    assert world.look().digest == digests[2], "what trains is no part of what was compared"
