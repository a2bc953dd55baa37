from __future__ import annotations

import random

import pytest

from moderation.review.effective import Effective, Truth, effective, opinions, severe, standing
from support.said import said

P, A, D, U = Truth.PRESENT, Truth.ABSENT, Truth.DISPUTED, Truth.UNSURE


def _bob(verdict, label="Weapons", **given):
    return said(verdict, label, reviewer="bob", **given)


FIRST = said("present", minute=1)
CASES = {
    "one word": ([said("present")], {"Weapons": P}),
    "the newest of one person": ([said("present", minute=1), said("absent", minute=2)], {"Weapons": A}),
    "whatever the order of arrival": ([said("absent", minute=2), said("present", minute=1)], {"Weapons": A}),
    "an undo brings the earlier one back": (
        [
            FIRST,
            change := said("absent", minute=2),
            said("withdrawn", minute=3, replaces=change.verdict_id),
        ],
        {"Weapons": P},
    ),
    "an undo of the only one leaves nothing": (
        [FIRST, said("withdrawn", minute=3, replaces=FIRST.verdict_id)],
        {"Weapons": None, "Violence": None},
    ),
    "two agree": ([said("absent"), _bob("absent")], {"Weapons": A}),
    "two disagree": ([said("absent"), _bob("present")], {"Weapons": D}),
    "a decision wins over both, though older": (
        [said("absent", minute=5), _bob("present"), said("present", reviewer="op", purpose="dispute")],
        {"Weapons": P},
    ),
    "of two decisions the newest": (
        [
            said("present", reviewer="op", purpose="dispute"),
            said("absent", reviewer="op2", purpose="dispute", minute=1),
        ],
        {"Weapons": A},
    ),
    "a decision of unsure decides nothing": (
        [said("absent"), _bob("present"), said("unsure", reviewer="op", purpose="dispute")],
        {"Weapons": D},
    ),
    "unsure has no vote": ([said("unsure"), _bob("present")], {"Weapons": P}),
    "only unsure": ([said("unsure"), _bob("skipped")], {"Weapons": U}),
    "only skipped": ([said("skipped")], {"Weapons": None}),
    "present says the same above": (
        [said("present", "Weapon Violence")],
        {"Weapon Violence": P, "Graphic Violence": P, "Violence": P},
    ),
    "absent says the same below": ([said("absent", "Violence")], {"Violence": A, "Weapons": A}),
    "explicit before implied": (
        [said("absent", "Violence"), _bob("present", "Weapons")],
        {"Violence": A, "Weapons": P},
    ),
    "unsure of it, implied by another": (
        [said("unsure", "Violence"), _bob("present", "Weapons")],
        {"Violence": P, "Weapons": P},
    ),
    "nothing says absent of all": ([said("nothing", None)], {"Weapons": A}),
    "nothing against a mark below": (
        [said("nothing", None), _bob("present", "Weapon Violence")],
        {"Weapon Violence": P, "Violence": D, "Graphic Violence": D},
    ),
    "complete says absent of the rest only": (
        [said("complete", None), said("present", "Weapon Violence")],
        {"Weapon Violence": P, "Violence": P, "Graphic Violence": P, "Weapons": A},
    ),
    "a note hides nothing": (
        [said("nothing", None), said("note", None, minute=1, note="a toy")],
        {"Weapons": A},
    ),
    "severe says nothing of labels": (
        [said("nothing", None), said("severe", None, minute=1)],
        {"Weapons": A},
    ),
    "a content type stands for itself": (
        [said("present", "Animated", subject="content_type", level=None), said("nothing", None)],
        {"Animated": P},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_one_rule(case):
    rows, expected = CASES[case]
    shuffled = random.Random(case).sample(rows, len(rows))

    found = {label: told.truth for (_, label), told in effective(shuffled, ["Weapons"]).items()}

    assert {label: found.get(label) for label in expected} == expected


def test_who_has_a_vote_is_counted_once():
    rows = [
        said("present", minute=1),
        said("present", minute=2),
        _bob("present"),
        said("unsure", reviewer="c"),
    ]

    assert effective(rows)["c1", "Weapons"] == Effective(P, reviewers=2)
    assert effective(rows)["c1", "Violence"] == Effective(P, reviewers=2, implied=True)


def test_contents_are_kept_apart():
    rows = [said("present", content="a"), said("absent", content="b")]

    assert {key: told.truth for key, told in effective(rows).items() if key[1] == "Weapons"} == {
        ("a", "Weapons"): P,
        ("b", "Weapons"): A,
    }


def test_severe_until_the_newest_word_is_another():
    mark = said("severe", None, minute=1)
    assert severe([mark, said("nothing", None, minute=2)]) == {"c1"}
    assert severe([mark, said("not_severe", None, minute=2, reviewer="op")]) == set()
    assert severe([mark, said("withdrawn", None, minute=2, replaces=mark.verdict_id)]) == set()


def test_what_was_erased_counts_for_nothing():
    gone = said("present", content=None, source_ref=None, erased=True)

    assert standing([gone]) == []


@pytest.mark.parametrize(("rows", "expected"), CASES.values(), ids=CASES)
def test_the_opinions_on_a_label_are_those_of_which_the_rule_makes_its_word(rows, expected):
    together = effective(rows, labels=expected)
    for label, truth in expected.items():
        told = opinions(rows, label)
        if truth in {P, A} and not together["c1", label].decided:
            assert {said_so for _, said_so in told} == {truth}
            assert len({row.reviewer for row, _ in told}) == together["c1", label].reviewers
        elif truth == D:
            assert {said_so for _, said_so in told} == {P, A}
