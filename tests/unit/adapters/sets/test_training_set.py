from __future__ import annotations

import dataclasses
import json
import random

import pytest

from moderation.adapters.sets.decided import Decided, UnknownLabelError
from moderation.adapters.sets.training_set import TESTING, TRAINING, TrainingSet, build
from moderation.variables.adapters import AdapterSettings
from support.decisions import decided, false_alarms, harmless, hashes, missed

RULE = AdapterSettings()


def made(entries: list[Decided], *, rule: AdapterSettings = RULE, **given: object) -> TrainingSet:
    given = {"labels": ["Gambling"], **given}
    return build(entries, hashes(entries), rule=rule, **given)  # type: ignore[arg-type]


def contents(found: TrainingSet, part: str) -> set[str]:
    return {picture.content for picture in found.part(part)}


def test_the_same_verdicts_give_the_same_files_in_whatever_order_they_come() -> None:
    entries = [*missed(110), *harmless(260)]
    first = made(entries)
    shuffled = random.Random(7).sample(entries, len(entries))
    second = made(shuffled)
    assert first.digest == second.digest
    for part in (TRAINING, TESTING):
        assert first.manifest(part, {}) == second.manifest(part, {})
    assert TrainingSet.of_record(json.loads(json.dumps(first.record()))) == first
    assert made(entries[1:]).digest != first.digest


def test_enough_is_tested_and_enough_is_left_to_train() -> None:
    found = made([*missed(110), *false_alarms(40), *harmless(260)])
    (tests,) = found.tests
    assert tests.is_enough
    training = [picture for picture in found.part(TRAINING) if picture.names]
    assert len(training) >= RULE.min_false_negatives
    assert contents(found, TRAINING) & contents(found, TESTING) == set()


def test_a_label_stays_eligible_when_that_leaves_no_test_and_this_is_told() -> None:
    found = made([*missed(55), *harmless(100)])
    assert sum(bool(picture.names) for picture in found.part(TRAINING)) >= RULE.min_false_negatives
    (tests,) = found.tests
    assert not tests.is_enough
    assert "5 of 20 test images that can show an improvement" in found.text()
    assert "will show too little" in found.text()


def test_near_duplicates_stand_on_one_side() -> None:
    entries = [*missed(110), *harmless(260)]
    near = hashes(entries)
    for place in range(0, 100, 5):  # bursts of five
        burst = near[f"missed-{place:04}"]
        near |= {f"missed-{place + more:04}": burst ^ (1 << more) for more in range(5)}
    found = build(entries, near, labels=["Gambling"], rule=RULE)
    sides = {picture.cluster: set() for picture in found.pictures}  # type: ignore[var-annotated]
    for picture in found.pictures:
        sides[picture.cluster].add(picture.part)
    assert all(len(side) == 1 for side in sides.values())
    assert any(len([p for p in found.pictures if p.cluster == c]) == 5 for c in sides)


def test_what_tested_once_never_trains_and_neither_does_what_is_near_to_it() -> None:
    entries = [*missed(110), *harmless(260)]
    near = hashes(entries)
    first = build(entries, near, labels=["Gambling"], rule=RULE)
    frozen = {picture.content: int(picture.hash, 16) for picture in first.part(TESTING)}
    assert build(entries, near, labels=["Gambling"], rule=RULE, frozen=frozen).digest == first.digest
    tested = next(picture for picture in first.part(TESTING) if picture.names)
    twin = decided("twin", present="Gambling")
    more = [*entries, twin, *[decided(f"new-{n}", present="Gambling") for n in range(40)]]
    later = build(
        more,
        {**hashes(more), "twin": near[tested.content] ^ 1},
        labels=["Gambling"],
        rule=RULE,
        frozen=frozen,
    )
    assert contents(first, TESTING) <= contents(later, TESTING)
    assert "nearly the same" in later.left_out["twin"]
    gone = [entry for entry in more if entry.content != tested.content]
    without = build(
        gone,
        {**hashes(gone), "twin": near[tested.content] ^ 1},
        labels=["Gambling"],
        rule=RULE,
        frozen=frozen,
    )
    assert "nearly the same" in without.left_out["twin"]


def test_an_image_that_nobody_decided_about_is_left_out_and_counted() -> None:
    entries = [
        *missed(60),
        *harmless(80),
        *[decided(f"gun-{n}", present="Weapons") for n in range(37)],
        decided("split", outcomes={"Gambling": "disputed"}),
    ]
    found = made(entries)
    assert len(found.needs_decision["Gambling"]) == 38
    assert "38 images need a decision about Gambling" in found.text()
    assert not any(picture.content.startswith(("gun", "split")) for picture in found.pictures)


@pytest.mark.parametrize(
    ("outcomes", "ancestors", "names"),
    [
        ({"Weapon Violence": "present"}, True, ("Graphic Violence", "Violence", "Weapon Violence")),
        ({"Weapon Violence": "present"}, False, ("Weapon Violence",)),
        ({"Weapon Violence": "absent"}, True, ("Graphic Violence", "Violence")),
        ({"Weapon Violence": "absent"}, False, ("Graphic Violence",)),
    ],
)
def test_wrong_at_level_3_and_right_at_level_2_gives_level_2(
    outcomes: dict[str, str], ancestors: bool, names: tuple[str, ...]
) -> None:
    above = {"Violence": "present", "Graphic Violence": "present"}
    entries = [decided(f"v-{n}", outcomes={**above, **outcomes}) for n in range(60)]
    quiet = {"Violence": "absent", "Graphic Violence": "absent", "Weapon Violence": "absent"}
    entries += [decided(f"q-{n}", outcomes=quiet) for n in range(60)]
    rule = dataclasses.replace(RULE, ancestors=ancestors)
    found = made(entries, rule=rule, labels=["Weapon Violence"])
    assert {picture.names for picture in found.pictures if picture.content.startswith("v-")} == {names}


def test_hard_negatives_come_first_and_in_proportion() -> None:
    band = [decided(f"near-{n:03}", confidences={"Gambling": 30.0 + n / 10}) for n in range(50)]
    entries = [*missed(60), *false_alarms(25), *band, *harmless(600)]
    found = made(entries, rule=dataclasses.replace(RULE, negatives_per_positive=1.0))
    training = contents(found, TRAINING)
    without = [picture for picture in found.part(TRAINING) if not picture.names]
    errors = len(training) - len(without) + sum(c.startswith("alarm") for c in training)
    assert len(without) == errors
    taken = [e.confidences["Gambling"] for e in band if e.content in training]
    left = [e.confidences["Gambling"] for e in band if "not needed" in found.left_out.get(e.content, "")]
    assert taken
    assert left
    assert min(taken) > max(left)
    assert "enough images without a trained label" in found.text()


def test_a_set_holds_no_more_training_images_than_aws_takes() -> None:
    entries = [*missed(5_100), *harmless(5_100)]
    plain = {entry.content: place for place, entry in enumerate(entries)}
    found = build(entries, plain, labels=["Gambling"], rule=dataclasses.replace(RULE, near_bits=64))
    assert len({picture.cluster for picture in found.pictures}) == 1
    assert len(found.part(TRAINING)) == 10_000
    assert "a training set holds 10,000 images" in found.text()


def test_a_manifest_line_is_what_aws_reads() -> None:
    found = made([*missed(60), *harmless(80)])
    lines = [
        json.loads(line) for line in found.manifest(TRAINING, {"missed-0000": "s3://home/copy"}).splitlines()
    ]
    assert {tuple(line) for line in lines} == {("source-ref", "content-moderation-groundtruth")}
    truths = [line["content-moderation-groundtruth"] for line in lines]
    assert {"ModerationLabels": [{"Name": "Gambling"}]} in truths
    assert {"ModerationLabels": []} in truths


def test_a_label_outside_the_taxonomy_is_refused_by_name() -> None:
    with pytest.raises(UnknownLabelError, match=r"'Wepons'.*'Weapons'"):
        made(missed(60), labels=["Wepons"])
