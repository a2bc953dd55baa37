"""The comparison of two models on the same images, and what the gate makes of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from moderation.adapters import gate
from moderation.adapters.evaluation import Case, Evaluation, EvaluationError, evaluate, read_cases
from moderation.adapters.sets.training_set import TESTING, Picture, TrainingSet
from moderation.variables.adapters import AdapterSettings

RULE = AdapterSettings()
ASKING = dataclasses.replace(RULE, gate_unshown="ask")


def case(name: str, truth: dict[str, bool], base: float, adapter: float, label: str = "Gambling") -> Case:
    return Case(source_ref=f"s3://photos/{name}", truth=truth, base={label: base}, adapter={label: adapter})


def cards(number: int, *, found: int) -> list[Case]:
    """Images with the label that the base model misses; the adapter finds some."""
    return [case(f"card-{n}", {"Gambling": True}, 10.0, 90.0 if n < found else 10.0) for n in range(number)]


def trees(number: int, *, alarms: int = 0) -> list[Case]:
    """Images with no label at all; the adapter flags some."""
    quiet = {"Gambling": False, "Weapons": False}
    return [case(f"tree-{n}", quiet, 0.0, 90.0 if n < alarms else 0.0) for n in range(number)]


def compared(cases: list[Case], **given: Any) -> Evaluation:
    told = {
        "version_arn": "arn",
        "labels": ["Gambling"],
        "thresholds": {},
        "default_threshold": 50.0,
        "confidence": 0.95,
        "informative_needed": RULE.test_positives,
    }
    return evaluate(cases, **{**told, **given})


def judged(cases: list[Case], rule: AdapterSettings = RULE, **given: Any) -> gate.Gate:
    return gate.judge(compared(cases), rule=rule, **given)


def test_an_adapter_that_finds_what_the_base_misses_passes() -> None:
    evaluation = compared([*cards(30, found=18), *trees(80)])
    (result,) = [entry for entry in evaluation.labels if entry.trained]
    assert (result.outcome, result.became_right, result.became_wrong) == ("better", 18, 0)
    assert (result.base.recall.value, result.adapter.recall.k, result.adapter.recall.n) == (0.0, 18, 30)
    assert result.recall_change is not None
    assert result.recall_change[0] > 0
    assert gate.judge(evaluation, rule=RULE).verdict == gate.PASSES
    assert {flip.source_ref for flip in evaluation.flips} == {f"s3://photos/card-{n}" for n in range(18)}
    assert {flip.right for flip in evaluation.flips} == {"adapter"}
    assert [level.label for level in evaluation.levels] == ["level 1", "level 2"]


@pytest.mark.parametrize(
    ("cases", "why"),
    [
        ([*cards(30, found=5), *trees(80)], "Gambling is not better"),
        (
            [*cards(30, found=20), *trees(80, alarms=7)],
            "Gambling is worse: more images without it are flagged",
        ),
        ([*cards(19, found=19), *trees(80)], "Gambling is not shown: 19 of 20 test images"),
        ([*cards(30, found=20), *trees(59)], "59 of 60 test images without the label"),
        (trees(80), "Gambling is not shown: 0 of 20"),
        ([], "test images prove nothing"),
    ],
)
def test_an_adapter_that_is_not_shown_to_be_better_does_not_pass(cases: list[Case], why: str) -> None:
    found = judged(cases)
    assert found.verdict == gate.STOPS
    assert why in " ".join(found.reasons)


def test_six_mended_images_show_something_and_five_do_not() -> None:
    assert judged([*cards(30, found=6), *trees(80)]).verdict == gate.PASSES
    assert judged([*cards(30, found=5), *trees(80)]).verdict == gate.STOPS


def test_a_few_new_false_alarms_do_not_show_that_it_is_worse() -> None:
    assert judged([*cards(30, found=20), *trees(80, alarms=1)]).verdict == gate.PASSES


def test_the_twenty_images_of_aws_never_pass_whatever_the_settings() -> None:
    lax = AdapterSettings(test_positives=1, test_negatives=1, gate_unshown="ask")
    evaluation = compared([*cards(10, found=10), *trees(10)], informative_needed=1)
    assert evaluation.labels[0].outcome == "better"
    assert gate.judge(evaluation, rule=lax).verdict == gate.STOPS


def test_test_images_that_aws_drew_never_pass() -> None:
    found = judged([*cards(30, found=20), *trees(80)], is_ours=False)
    assert found.verdict == gate.STOPS
    assert "near-duplicates" in found.reasons[0]


def test_another_label_that_is_shown_to_be_worse_stops() -> None:
    lost = [case(f"gun-{n}", {"Weapons": True}, 90.0, 10.0, label="Weapons") for n in range(6)]
    found = judged([*cards(30, found=20), *trees(80), *lost])
    assert found.verdict == gate.STOPS
    assert "Weapons is worse: fewer of its images are found" in found.reasons
    assert judged([*cards(30, found=20), *trees(80), *lost[:5]]).verdict == gate.PASSES


@pytest.mark.parametrize(("rule", "verdict"), [(RULE, gate.STOPS), (ASKING, gate.ASKS)])
def test_a_flip_about_which_nobody_decided_is_named_and_stops_or_asks(
    rule: AdapterSettings, verdict: str
) -> None:
    unknown = case("card-x", {"Gambling": True}, 10.0, 90.0, label="Weapons")
    found = judged([*cards(30, found=20), *trees(80), unknown], rule)
    assert found.verdict == verdict
    assert "Weapons is not shown: 1 images flip about which nobody decided" in found.reasons


def test_the_threshold_in_use_decides() -> None:
    evaluation = compared([*cards(30, found=20), *trees(80)], thresholds={"Gambling": 95.0})
    assert not evaluation.flips
    assert evaluation.labels[0].outcome == "no difference"


def line(ref: str, truth: list[str], base: dict[str, float], adapter: dict[str, float]) -> bytes:
    def answer(found: dict[str, float]) -> dict[str, Any]:
        labels = [{"Name": name, "Confidence": value, "ParentName": ""} for name, value in found.items()]
        return {"ModerationLabels": labels, "ModerationModelVersion": "7.0"}

    return orjson.dumps(
        {
            "source-ref": ref,
            "content-moderation-groundtruth": {"ModerationLabels": [{"Name": name} for name in truth]},
            "detect-moderation-labels": answer(adapter),
            "detect-moderation-labels-base-model": answer(base),
        }
    )


@pytest.fixture
def trained() -> TrainingSet:
    picture = Picture(
        content="c1",
        source_ref="s3://photos/1",
        part=TESTING,
        names=("Gambling",),
        cluster="c1",
        hash="0",
        verdicts=(),
        outcomes={"Gambling": True, "Weapons": False},
    )
    return TrainingSet(
        labels=("Gambling",), annotated=("Gambling",), thresholds={}, rule={}, pictures=(picture,)
    )


def test_the_manifest_of_aws_is_read_with_what_people_decided(trained: TrainingSet) -> None:
    lines = [line("s3://home/copy", ["Gambling"], {"gambling": 12.5}, {"Gambling": 80.0}), b""]
    (found,) = read_cases(lines, trained, places={"c1": "s3://home/copy"})
    assert found.truth == {"Gambling": True, "Weapons": False}
    assert (found.base, found.adapter) == ({"Gambling": 12.5}, {"Gambling": 80.0})


@pytest.mark.parametrize("damage", [b"{", b"[]", b"{}", b'{"source-ref": "s3://a/b"}'])
def test_a_line_that_aws_does_not_write_is_named(damage: bytes, trained: TrainingSet) -> None:
    good = line("s3://photos/1", [], {}, {})
    with pytest.raises(EvaluationError, match="line 2 of the testing output manifest"):
        read_cases([good, damage], trained)


def test_what_aws_counts_otherwise_is_told(trained: TrainingSet) -> None:
    summary = {
        "AggregatedEvaluationResults": {"F1Score": 0.8},
        "EvaluationDetails": {"NumberOfTestingImages": 2, "NumberOfTrainingImages": 100},
        "ContentModeration": {
            "InputConfidenceThresholdEvalResults": {
                "ConfidenceThreshold": 50.0,
                "LabelEvaluationResults": [
                    {
                        "Label": "Gambling",
                        "BaseModel": {"TruePositive": 0, "FalsePositive": 0},
                        "Adapter": {"TruePositive": 0, "FalsePositive": 0},
                    }
                ],
            }
        },
    }
    cases = read_cases([line("s3://photos/1", ["Gambling"], {}, {"Gambling": 80.0})], trained)
    evaluation = compared(cases, summary=summary)
    assert evaluation.aws == {"f1": 0.8, "testing_images": 2, "training_images": 100}
    counted, adapter = evaluation.disagreements
    assert "AWS counts 2 test images, its manifest lists 1" in counted
    assert "Gambling, Adapter at 50: AWS counts 0 right and 0 wrong" in adapter


@pytest.mark.parametrize(
    ("then", "now", "verdict"),
    [
        (gate.PASSES, gate.PASSES, gate.ASKS),
        (gate.PASSES, gate.ASKS, gate.ASKS),
        (gate.PASSES, gate.STOPS, gate.STOPS),
        (gate.STOPS, gate.PASSES, gate.STOPS),
    ],
)
def test_test_images_that_are_decided_otherwise_by_now_never_pass_alone(
    then: str, now: str, verdict: str
) -> None:
    one = gate.Gate(verdict=then, reasons=() if then == gate.PASSES else ("few",))
    other = gate.Gate(verdict=now, reasons=() if now == gate.PASSES else ("few", "worse"))
    found = gate.of_both(one, other, told="3 changed")
    assert found.verdict == verdict
    assert found.reasons[0] == "3 changed; what is counted is what was said then"
    assert ("as people say now, worse" in found.reasons) is (now != gate.PASSES)
    assert len(set(found.reasons)) == len(found.reasons)
