from __future__ import annotations

import dataclasses

from moderation.adapters.sets import to_decide
from moderation.adapters.sets.training_set import build
from moderation.variables.adapters import AdapterSettings
from support.decisions import decided, hashes, missed

DRINKS = "Alcoholic Beverages"


def test_what_is_undecided_is_what_a_set_says_that_it_needs() -> None:
    entries = [
        *missed(3, label=DRINKS),
        decided("whole", outcomes={DRINKS: "absent", "Alcohol": "absent"}),
        decided("deep", outcomes={DRINKS: "absent"}),
        decided("other", outcomes={"Gambling": "present"}),
        decided("unsure", outcomes={DRINKS: "unsure", "Alcohol": "present"}),
    ]
    made = build(entries, hashes(entries), labels=[DRINKS], rule=AdapterSettings())
    lacking = to_decide.undecided(entries, [DRINKS])
    by_label = {label: set(contents) for label, contents in made.needs_decision.items()}
    assert by_label == {
        label: {pair.content for pair in lacking.pairs if pair.label == label} for label in made.annotated
    }
    assert lacking.disputed == 0
    assert f"the queue of these: `moderation adapter queue '{DRINKS}'`" in made.text()


def test_what_is_disputed_is_for_operators_and_the_likeliest_come_first() -> None:
    entries = [
        decided("low", outcomes={"Gambling": "present"}, confidences={"Alcohol": 20.0}),
        decided("none", outcomes={"Gambling": "present"}),
        decided("high", outcomes={"Gambling": "present"}, confidences={"Alcohol": 40.0}),
        decided("split", outcomes={"Alcohol": "disputed"}),
    ]
    lacking = to_decide.undecided(entries, ["alcohol"])
    assert [pair.content for pair in lacking.pairs] == ["high", "low", "none"]
    assert {pair.label for pair in lacking.pairs} == {"Alcohol"}
    assert lacking.disputed == 1
    assert to_decide.undecided(list(reversed(entries)), ["Alcohol"]) == lacking


def test_what_is_made_is_told_in_lines_of_a_terminal() -> None:
    made = to_decide.Made(queue=None, disputed=2, left_out={"in no published load": 1})
    assert made.lines() == [
        "there is nothing to decide",
        "2 images are disputed: operators decide them in queue dispute",
        "1 images left out: in no published load",
    ]
    assert "1,000 more are left" in dataclasses.replace(made, more=1000).lines()[1]
