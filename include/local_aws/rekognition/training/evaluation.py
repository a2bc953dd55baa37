"""How base model and adapter did on the test images, and the files that say so, in AWS's layout.

The layout is the developer guide's ("Evaluating and improving your adapter"): counts of true and false
positives and negatives for each label, at the caller's threshold and at 5, 10 … 100. A label counts as
present in an image when it or one below it is annotated; as predicted when an answer has it at the threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from local_aws.inference import rules
from local_aws.inference.adapters.learned import ancestors
from local_aws.rekognition.training.ground_truth import GROUND_TRUTH, Example

THRESHOLDS: Final = tuple(range(5, 101, 5))
LEAST_CONFIDENCE: Final = 5.0
_OUTCOMES: Final = ("TruePositive", "TrueNegative", "FalsePositive", "FalseNegative")


@dataclass(frozen=True)
class Judged:
    """One test image: what is true of it, and the scores of both models, 0..1 by label."""

    example: Example
    base: Mapping[str, float]
    adapter: Mapping[str, float]


def outcome_counts(
    judged: Sequence[Judged], labels: Iterable[str], threshold: float
) -> dict[str, dict[str, dict[str, int]]]:
    """Counts by label, model (``BaseModel``, ``Adapter``) and outcome."""
    counts = {
        label: {model: dict.fromkeys(_OUTCOMES, 0) for model in ("BaseModel", "Adapter")} for label in labels
    }
    for one in judged:
        true = {name for label in one.example.labels for name in (label, *ancestors(label))}
        for model, scores in (("BaseModel", one.base), ("Adapter", one.adapter)):
            said = {label.name for label in rules.labels(scores, threshold)}
            for label, of_models in counts.items():
                of_models[model][_outcome(label in true, label in said)] += 1
    return counts


def summary(
    judged: Sequence[Judged],
    labels: Sequence[str],
    *,
    threshold: float,
    training_images: int,
    arn: str,
    ended_at: float,
) -> dict[str, Any]:
    """The evaluation summary.

    :param labels: those that any training or test image is annotated with, or that were learnt.
    :param threshold: the request's ConfidenceThreshold.
    """
    at_threshold = _at(judged, labels, threshold)
    return {
        "AggregatedEvaluationResults": {"F1Score": f1_score(at_threshold)},
        "ContentModeration": {
            "InputConfidenceThresholdEvalResults": at_threshold,
            "AllConfidenceThresholdsEvalResults": [_at(judged, labels, float(each)) for each in THRESHOLDS],
        },
        "EvaluationDetails": {
            "EvaluationEndTimestamp": datetime.fromtimestamp(ended_at, UTC).isoformat(),
            "Labels": list(labels),
            "NumberOfTestingImages": len(judged),
            "NumberOfTrainingImages": training_images,
            "ProjectVersionArn": arn,
        },
    }


def f1_score(at_threshold: Mapping[str, Any]) -> float:
    """The adapter's F1 over all labels together; 0 when nothing is true and nothing was said."""
    counts = at_threshold["AggregatedEvaluationResults"]["Adapter"]
    hits = 2 * counts["TruePositive"]
    whole = hits + counts["FalsePositive"] + counts["FalseNegative"]
    return hits / whole if whole else 0.0


def training_line(example: Example) -> dict[str, Any]:
    """A line of the training set's output manifest: the ground truth only."""
    return {"source-ref": example.source_ref, GROUND_TRUTH: example.annotation}


def testing_line(judged: Judged, *, model_version: str, arn: str) -> dict[str, Any]:
    """A line of the testing set's output manifest: ground truth and both answers from confidence 5 up."""
    return {
        **training_line(judged.example),
        "detect-moderation-labels": {
            "ModerationLabels": _said(judged.adapter),
            "ModerationModelVersion": model_version,
            "ProjectVersion": arn,
        },
        "detect-moderation-labels-base-model": {
            "ModerationLabels": _said(judged.base),
            "ModerationModelVersion": model_version,
            "ProjectVersion": arn,
        },
    }


def _at(judged: Sequence[Judged], labels: Sequence[str], threshold: float) -> dict[str, Any]:
    counts = outcome_counts(judged, labels, threshold)
    total = {
        model: {name: sum(counts[label][model][name] for label in labels) for name in _OUTCOMES}
        for model in ("BaseModel", "Adapter")
    }
    return {
        "ConfidenceThreshold": threshold,
        "AggregatedEvaluationResults": total,
        "LabelEvaluationResults": [{"Label": label, **counts[label]} for label in labels],
    }


def _outcome(true: bool, said: bool) -> str:
    if true:
        return "TruePositive" if said else "FalseNegative"
    return "FalsePositive" if said else "TrueNegative"


def _said(scores: Mapping[str, float]) -> list[dict[str, Any]]:
    return [
        {"Confidence": label.confidence, "Name": label.name, "ParentName": label.parent_name}
        for label in rules.labels(scores, LEAST_CONFIDENCE)
    ]
