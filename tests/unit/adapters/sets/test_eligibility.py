from __future__ import annotations

import dataclasses

import pytest

from moderation.adapters.sets import eligibility
from moderation.adapters.sets.decided import UnknownLabelError
from moderation.variables.adapters import AdapterSettings
from support.decisions import decided, false_alarms, harmless, missed

RULE = AdapterSettings()
BOTH = dataclasses.replace(RULE, minimum="both")


@pytest.mark.parametrize(
    ("false_negatives", "false_positives", "rule", "eligible"),
    [
        (50, 0, RULE, True),
        (0, 20, RULE, True),
        (49, 19, RULE, False),
        (50, 19, BOTH, False),
        (50, 20, BOTH, True),
        (3, 0, dataclasses.replace(RULE, min_false_negatives=3), True),
    ],
)
def test_a_label_is_eligible_by_the_rule(
    false_negatives: int, false_positives: int, rule: AdapterSettings, eligible: bool
) -> None:
    (row,) = eligibility.count([*missed(false_negatives), *false_alarms(false_positives)], rule=rule)
    assert (row.false_negatives, row.false_positives) == (false_negatives, false_positives)
    assert row.eligible is eligible
    assert bool(row.what_next()) is not eligible


def test_a_content_counts_once_and_a_case_without_an_answer_not_at_all() -> None:
    entries = [
        *missed(2),
        *missed(2),
        decided("right", present="Gambling", confidences={"Gambling": 50.0}),
        decided("unanswered", present="Gambling", answered=False),
        decided("split", outcomes={"Gambling": "disputed"}),
        *harmless(3),
    ]
    (row,) = eligibility.count(entries, rule=RULE)
    counted = (row.false_negatives, row.true_positives, row.true_negatives, row.undecided)
    assert counted == (2, 1, 3, 1)


def test_contents_that_only_lack_a_decision_are_counted_beside() -> None:
    entries = [*missed(2, label="Weapons"), decided("other", outcomes={"Gambling": "absent"})]
    counted = eligibility.count(entries, rule=RULE, labels=["Weapons", "Violence", "Gambling"])
    # *Violence* stands above *Weapons*, and nobody said anything about it here.
    assert {row.label: row.needs_decision for row in counted} == {"Weapons": 3, "Violence": 3, "Gambling": 2}


def test_the_threshold_in_use_decides_what_is_an_error() -> None:
    entries = false_alarms(3)
    (lenient,) = eligibility.count(entries, rule=RULE, thresholds={"Gambling": 60.01})
    assert (lenient.false_positives, lenient.true_negatives) == (2, 1)


def test_too_few_is_refused_with_counts_and_the_queue_that_would_fill_them() -> None:
    rows = eligibility.count([*missed(8, label="Weapons"), *missed(60)], rule=RULE)
    assert [row.label for row in rows] == ["Gambling", "Weapons"]
    eligibility.require(rows, ["Gambling"])
    with pytest.raises(eligibility.NotEligibleError) as caught:
        eligibility.require(rows, ["Weapons"])
    text = str(caught.value)
    assert "0 false positives (20 missing) and 8 false negatives (42 missing)" in text
    assert "`moderation adapter queue Weapons --for false-positives`" in text
    assert "`moderation adapter queue Weapons --for false-negatives`" in text


def test_a_label_that_nobody_decided_about_is_refused_too() -> None:
    rows = eligibility.count(missed(60), rule=RULE, labels=["Weapons"])
    with pytest.raises(eligibility.NotEligibleError, match="Weapons: 0 false positives"):
        eligibility.require(rows, ["Weapons"])


def test_a_label_that_aws_does_not_have_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownLabelError, match=r"'Gambeling' is no label .* did you mean 'Gambling'\?"):
        eligibility.count(missed(60), rule=RULE, labels=["Gambeling"])


@pytest.mark.parametrize(
    ("trains", "tests", "told"),
    [
        (50, 20, None),
        (49, 20, "of 0 false positives and 60 false negatives of Gambling the others test"),
        (49, 20, r"49 false negatives \(1 missing\)"),
        (50, 19, r"19 test images \(1 missing\)"),
    ],
)
def test_a_set_of_which_too_little_is_left_is_refused_before_it_is_paid_for(
    trains: int, tests: int, told: str | None
) -> None:
    in_all, left = (eligibility.count(missed(number), rule=RULE) for number in (60, trains))
    if told is None:
        eligibility.require_left(in_all, left, tests=tests)
        return
    with pytest.raises(eligibility.NotEligibleError, match=told):
        eligibility.require_left(in_all, left, tests=tests)
