"""The adapter beside the base model on the same frozen images, from what a training leaves behind.

Nothing is asked for and paid: AWS's testing output manifest holds both models' answers to every test image
(developer guide, "Custom Moderation", evaluating an adapter). What is counted here holds *on the test set*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from moderation.adapters import curves, exact
from moderation.adapters.sets.decided import spelled
from moderation.adapters.sets.training_set import TESTING, TrainingSet
from moderation.errors import NeedsAPersonError
from moderation.reference.taxonomy import taxonomy

TRUTH = "content-moderation-groundtruth"
ADAPTER, BASE = "detect-moderation-labels", "detect-moderation-labels-base-model"
LISTED_FROM = 5.0
"""Both answers of the manifest are asked with this MinConfidence."""

BETTER, WORSE, SAME, NOT_SHOWN = "better", "worse", "no difference", "not shown"


class EvaluationError(NeedsAPersonError):
    """What a training left behind cannot be read as what it should be."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A test image.

    :param truth: by label, whether it is there, as far as people decided.
    :param base: the base model's answer: confidence by label; so the adapter's.
    """

    source_ref: str
    truth: Mapping[str, bool]
    base: Mapping[str, float]
    adapter: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Flip:
    """An image that the two models tell apart.

    :param right: the model that is right; None where nobody decided.
    """

    source_ref: str
    label: str
    flagged_by: str
    right: str | None
    base_confidence: float | None
    adapter_confidence: float | None


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one model does with a label."""

    precision: exact.Share
    recall: exact.Share
    false_alarms: exact.Share


@dataclass(frozen=True, kw_only=True)
class LabelResult:
    """Both models on one label, or on all labels of a level.

    :param outcome: ``better``, ``worse``, ``no difference`` or ``not shown``.
    :param became_right: images that the adapter alone has right; so ``became_wrong``.
    :param p: of McNemar's exact test.
    :param recall_change: limits of the change of recall.
    :param false_alarm_change: limits of the change of the share of images without the label that are flagged.
    :param undecided_flips: images that the models tell apart and nobody decided about.
    """

    label: str
    level: int
    trained: bool
    threshold: float
    images: int
    positives: int
    base: Side
    adapter: Side
    became_right: int
    became_wrong: int
    p: float
    recall_change: tuple[float, float] | None
    false_alarm_change: tuple[float, float] | None
    undecided_flips: int
    outcome: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A comparison.

    :param aws: F1 and the numbers of images as AWS's summary tells them.
    :param disagreements: where AWS's own counts are others than ours.
    :param curves: by trained label, see :func:`moderation.adapters.curves.curve`.
    :param since: of :meth:`moderation.adapters.sets.since.Since.record`; {} where nobody looked.
    """

    version_arn: str
    images: int
    confidence: float
    labels: tuple[LabelResult, ...]
    levels: tuple[LabelResult, ...]
    flips: tuple[Flip, ...]
    aws: dict[str, Any] = field(default_factory=dict)
    disagreements: tuple[str, ...] = ()
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    since: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """All of it, as JSON gives it back."""
        found: dict[str, Any] = orjson.loads(orjson.dumps(asdict(self)))
        return found


def read_cases(
    lines: Iterable[bytes], trained: TrainingSet, *, places: Mapping[str, str] | None = None
) -> list[Case]:
    """Read AWS's testing output manifest.

    :param trained: tells what people decided about these images.
    :param places: where images were copied to for the training, by content.
    :raises EvaluationError: a line is none.
    """
    truths = {
        (places or {}).get(picture.content, picture.source_ref): picture.outcomes
        for picture in trained.part(TESTING)
    }
    found: dict[str, Case] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = orjson.loads(line)
            ref = entry["source-ref"]
            told = {name["Name"] for name in entry[TRUTH]["ModerationLabels"]}
            base, adapter = (_confidences(entry[key]) for key in (BASE, ADAPTER))
        except (KeyError, TypeError, ValueError) as error:
            raise EvaluationError(
                f"line {number} of the testing output manifest is not what AWS documents ({error!r}); look "
                "at it in the output folder of the training"
            ) from error
        known = truths.get(ref) or {label: label in told for label in trained.annotated}
        found[ref] = Case(source_ref=ref, truth=known, base=base, adapter=adapter)
    return list(found.values())


def evaluate(
    cases: Sequence[Case],
    *,
    version_arn: str,
    labels: Sequence[str],
    thresholds: Mapping[str, float],
    default_threshold: float,
    confidence: float,
    informative_needed: int,
    summary: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Compare the two models.

    :param labels: those the adapter was trained for.
    :param confidence: of tests and intervals, 0 to 1.
    :param informative_needed: images with a trained label, or wrongly flagged with it, below which nothing is
        shown.
    """
    trained = set(spelled(labels))
    flips: list[Flip] = []
    results = []
    for node in taxonomy():
        threshold = max(LISTED_FROM, thresholds.get(node.name, default_threshold))
        known = [
            (case.truth[node.name], _pair(case, node.name, threshold))
            for case in cases
            if node.name in case.truth
        ]
        mine = list(_flips(cases, node.name, threshold))
        if node.name not in trained and not mine and not any(truth for truth, _ in known):
            continue
        flips += mine
        judged = _judge(known, confidence)
        undecided = sum(flip.right is None for flip in mine)
        informative = sum(truth or pair[0] for truth, pair in known)
        outcome, reason = _outcome(
            judged,
            is_trained=node.name in trained,
            too_few=informative < informative_needed,
            informative=informative,
            needed=informative_needed,
            undecided=undecided,
            confidence=confidence,
        )
        results.append(
            LabelResult(
                label=node.name,
                level=node.level,
                trained=node.name in trained,
                threshold=threshold,
                undecided_flips=undecided,
                outcome=outcome,
                reason=reason,
                **judged,
            )
        )
    return Evaluation(
        version_arn=version_arn,
        images=len(cases),
        confidence=confidence,
        labels=tuple(sorted(results, key=lambda result: (not result.trained, result.label))),
        levels=tuple(_levels(cases, thresholds, default_threshold, confidence)),
        flips=tuple(flips),
        aws=_aws(summary or {}),
        disagreements=tuple(_disagreements(summary or {}, cases)),
        curves={label: curves.curve(_known(cases, label)) for label in sorted(trained)},
    )


def _known(cases: Iterable[Case], label: str) -> list[curves.Pair]:
    return [
        curves.Pair(case.truth[label], case.base.get(label, 0.0), case.adapter.get(label, 0.0))
        for case in cases
        if label in case.truth
    ]


def _confidences(answer: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for label in answer["ModerationLabels"]:
        node = taxonomy().lookup(label["Name"])
        name = node.name if node else str(label["Name"])
        found[name] = max(found.get(name, 0.0), float(label["Confidence"]))
    return found


def _pair(case: Case, label: str, threshold: float) -> tuple[bool, bool]:
    """Whether base and adapter flag it."""
    return case.base.get(label, 0.0) >= threshold, case.adapter.get(label, 0.0) >= threshold


def _flips(cases: Iterable[Case], label: str, threshold: float) -> Iterator[Flip]:
    for case in cases:
        base, adapter = _pair(case, label, threshold)
        if base == adapter:
            continue
        truth = case.truth.get(label)
        yield Flip(
            source_ref=case.source_ref,
            label=label,
            flagged_by="adapter" if adapter else "base",
            right=None if truth is None else ("adapter" if adapter is truth else "base"),
            base_confidence=case.base.get(label),
            adapter_confidence=case.adapter.get(label),
        )


def _judge(known: Sequence[tuple[bool, tuple[bool, bool]]], confidence: float) -> dict[str, Any]:
    counts = Counter((truth, *pair) for truth, pair in known)

    def total(*wanted: bool | None) -> int:
        return sum(
            number
            for key, number in counts.items()
            if all(want is None or want is got for want, got in zip(wanted, key, strict=True))
        )

    def side(place: int) -> Side:
        def at(truth: bool | None, flagged: bool) -> int:
            return total(truth, *((flagged, None) if place == 0 else (None, flagged)))

        return Side(
            precision=exact.wilson(at(True, True), at(None, True), confidence=confidence),
            recall=exact.wilson(at(True, True), total(True, None, None), confidence=confidence),
            false_alarms=exact.wilson(at(False, True), total(False, None, None), confidence=confidence),
        )

    found, lost = total(True, False, True), total(True, True, False)
    cleared, alarmed = total(False, True, False), total(False, False, True)
    change = exact.paired_difference(cleared, alarmed, total(False, None, None), confidence=confidence)
    return {
        "images": len(known),
        "positives": total(True, None, None),
        "base": side(0),
        "adapter": side(1),
        "became_right": found + cleared,
        "became_wrong": lost + alarmed,
        "p": exact.mcnemar(found + cleared, lost + alarmed),
        "recall_change": exact.paired_difference(found, lost, total(True, None, None), confidence=confidence),
        "false_alarm_change": None if change is None else (0.0 - change[1], 0.0 - change[0]),
    }


def _outcome(
    judged: Mapping[str, Any],
    *,
    is_trained: bool,
    too_few: bool,
    informative: int,
    needed: int,
    undecided: int,
    confidence: float,
) -> tuple[str, str]:
    shown = judged["p"] < 1 - confidence
    if why := _why_worse(judged, shown=shown):
        return WORSE, why
    if is_trained and too_few:
        return NOT_SHOWN, f"{informative} of {needed} test images that could show it"
    if undecided:
        return NOT_SHOWN, f"{undecided} images flip about which nobody decided"
    if shown:
        return BETTER, "more images became right than wrong"
    return SAME, f"{judged['became_right']} images became right and {judged['became_wrong']} wrong"


def _why_worse(judged: Mapping[str, Any], *, shown: bool) -> str:
    recall, alarms = judged["recall_change"], judged["false_alarm_change"]
    if recall is not None and recall[1] < 0:
        return "fewer of its images are found"
    if alarms is not None and alarms[0] > 0:
        return "more images without it are flagged"
    return "more images became wrong than right" if shown and _lost_more(judged) else ""


def _lost_more(judged: Mapping[str, Any]) -> bool:
    return bool(judged["became_wrong"] > judged["became_right"])


def _levels(
    cases: Sequence[Case], thresholds: Mapping[str, float], default: float, confidence: float
) -> Iterator[LabelResult]:
    for level in (1, 2, 3):
        names = [node.name for node in taxonomy() if node.level == level]
        known = [
            (case.truth[name], _pair(case, name, max(LISTED_FROM, thresholds.get(name, default))))
            for case in cases
            for name in names
            if name in case.truth
        ]
        if not known:
            continue
        yield LabelResult(
            label=f"level {level}",
            level=level,
            trained=False,
            threshold=default,
            undecided_flips=0,
            outcome="",
            reason="pairs of image and label, as if each were an image of its own",
            **_judge(known, confidence),
        )


def _aws(summary: Mapping[str, Any]) -> dict[str, Any]:
    details = summary.get("EvaluationDetails") or {}
    return {
        "f1": (summary.get("AggregatedEvaluationResults") or {}).get("F1Score"),
        "testing_images": details.get("NumberOfTestingImages"),
        "training_images": details.get("NumberOfTrainingImages"),
    }


def _disagreements(summary: Mapping[str, Any], cases: Sequence[Case]) -> Iterator[str]:
    """What AWS counts otherwise than we do at its own threshold."""
    told = (summary.get("EvaluationDetails") or {}).get("NumberOfTestingImages")
    if told is not None and told != len(cases):
        yield f"AWS counts {told} test images, its manifest lists {len(cases)}"
    results = (summary.get("ContentModeration") or {}).get("InputConfidenceThresholdEvalResults") or {}
    threshold = results.get("ConfidenceThreshold")
    for entry in results.get("LabelEvaluationResults") or ():
        node = taxonomy().lookup(str(entry.get("Label")))
        if threshold is None or node is None:
            continue
        for place, name in enumerate(("BaseModel", "Adapter")):
            pairs = [
                (case.truth[node.name], _pair(case, node.name, threshold)[place])
                for case in cases
                if node.name in case.truth
            ]
            ours = (pairs.count((True, True)), pairs.count((False, True)))
            counts = entry.get(name) or {}
            theirs = (counts.get("TruePositive"), counts.get("FalsePositive"))
            if None not in theirs and ours != theirs:
                yield (
                    f"{node.name}, {name} at {threshold:g}: AWS counts {theirs[0]} right and {theirs[1]} "
                    f"wrong of those flagged, its manifest says {ours[0]} and {ours[1]}"
                )
