"""The variables of Custom Moderation adapters: what a training set, a comparison and a promotion go by."""

from __future__ import annotations

from dataclasses import dataclass

from moderation.variables import values
from moderation.variables.row import WORK, Reader, setting
from moderation.variables.table import Table


@dataclass(frozen=True, kw_only=True)
class AdapterSettings(Table):
    """The rules by which adapters are trained, compared and used."""

    min_false_positives: int = setting(
        "MODERATION_ADAPTER_MIN_FALSE_POSITIVES",
        value=values.whole(at_most=10_000),
        default=20,
        unit="images",
        meaning="False positives of a label that are enough to train it (AWS: 20).",
        read_by=WORK,
    )
    min_false_negatives: int = setting(
        "MODERATION_ADAPTER_MIN_FALSE_NEGATIVES",
        value=values.whole(at_most=10_000),
        default=50,
        unit="images",
        meaning="False negatives of a label that are enough to train it (AWS: 50).",
        read_by=WORK,
    )
    minimum: str = setting(
        "MODERATION_ADAPTER_MINIMUM",
        value=values.one_of("either", "both"),
        default="either",
        meaning="Whether one of these two is enough; AWS writes both “or” and “and”.",
        read_by=WORK,
    )
    ancestors: bool = setting(
        "MODERATION_ADAPTER_ANCESTORS",
        value=values.FLAG,
        default=True,
        told="`1`",
        meaning="0: a training image is annotated with the deepest labels that are right alone.",
        read_by=WORK,
    )
    negatives_per_positive: float = setting(
        "MODERATION_ADAPTER_NEGATIVES_PER_POSITIVE",
        value=values.number(at_most=1_000),
        default=3.0,
        unit="images",
        meaning="Images without a trained label, false positives first, for each one with.",
        read_by=WORK,
    )
    near_bits: int = setting(
        "MODERATION_ADAPTER_NEAR_BITS",
        value=values.whole(at_most=64),
        default=24,
        unit="bits of 128",
        meaning="Images whose hashes differ by no more are near-duplicates, on one side of the split.",
        read_by=WORK,
    )
    test_positives: int = setting(
        "MODERATION_ADAPTER_TEST_POSITIVES",
        value=values.whole(at_most=10_000),
        default=20,
        unit="images",
        meaning="Test images with a trained label, or wrongly flagged with it, that a comparison needs.",
        read_by=WORK,
    )
    test_negatives: int = setting(
        "MODERATION_ADAPTER_TEST_NEGATIVES",
        value=values.whole(at_most=10_000),
        default=60,
        unit="images",
        meaning="Test images without: no new false alarm among 60 shows fewer than 5 % of them, at 95 %.",
        read_by=WORK,
    )
    copy_days: float = setting(
        "MODERATION_ADAPTER_COPY_DAYS",
        value=values.number(at_most=3_660),
        default=30.0,
        unit="days",
        meaning="How long copies of images live that a training set needed in one bucket.",
        read_by=WORK,
    )
    gate_unshown: str = setting(
        "MODERATION_ADAPTER_UNSHOWN",
        value=values.one_of("stop", "ask"),
        default="stop",
        meaning="What a label does to a promotion about which the test set is too small to tell.",
        read_by=WORK,
    )
    gate_confidence: float = setting(
        "MODERATION_ADAPTER_CONFIDENCE",
        value=values.number(at_most=99.99),
        default=95.0,
        unit="percent",
        meaning="Confidence of the intervals and tests by which adapter and base model are compared.",
        read_by=WORK,
    )
    remind_after: int = setting(
        "MODERATION_ADAPTER_REMIND_AFTER",
        value=values.whole(at_most=10_000_000),
        default=200,
        unit="images",
        meaning="Images decided about the newest adapter's labels since its training that suggest another.",
        read_by=WORK,
    )
    when_expired: str = setting(
        "MODERATION_ADAPTER_WHEN_EXPIRED",
        value=values.one_of("wait", "base"),
        default="wait",
        meaning="Of an adapter that expires in mid-run: `wait` leaves the rest to the next run, `base` lets "
        "the base model answer.",
        read_by=WORK,
    )
    sample_images: int = setting(
        "MODERATION_ADAPTER_SAMPLE",
        value=values.whole(at_least=0, at_most=100_000),
        default=100,
        unit="images",
        meaning="Of each publish, answers of the adapter in use that are drawn to be verified; 0: none.",
        read_by=WORK,
    )
    sample_verdicts: int = setting(
        "MODERATION_ADAPTER_SAMPLE_VERDICTS",
        value=values.whole(at_most=100_000),
        default=30,
        unit="images",
        meaning="Decided images from which a share in production is told, beside that of what was replaced.",
        read_by=WORK,
    )
    wait_hours: float = setting(
        "MODERATION_ADAPTER_WAIT_HOURS",
        value=values.number(at_most=1_000),
        default=24.0,
        unit="hours",
        meaning="For how long a training is waited for; it goes on, and can be waited for again.",
        read_by=(Reader.DAG, Reader.CLI),
    )
    training_usd_per_hour: float = setting(
        "MODERATION_ADAPTER_TRAINING_USD_PER_HOUR",
        value=values.number(at_most=100_000),
        default=1.0,
        unit="US dollars",
        meaning="Price of an hour of training; AWS publishes none for adapters that could be confirmed.",
        read_by=WORK,
    )
    training_hours: float = setting(
        "MODERATION_ADAPTER_TRAINING_HOURS",
        value=values.number(at_most=1_000),
        default=1.0,
        unit="hours",
        meaning="Assumed length of a training, for its price before it.",
        read_by=WORK,
    )
