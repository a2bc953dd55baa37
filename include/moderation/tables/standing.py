"""Tables that belong to no load: what people say, and what is worked out from it.

`moderation.schema` has the tables of a load, whose rows come and go with it. These stand beside them: no
rebuild from raw answers gives their rows, so a sealed list in the work place names their files
(`publish.standing`), and a warehouse takes them whole. The same rules hold for their columns.
"""

from __future__ import annotations

import pyarrow as pa

from moderation.schema import TABLES, TableSpec

_TIME = pa.timestamp("us", tz="UTC")


def column(  # noqa: PLR0917 - a table of columns reads best without keywords
    name: str, kind: pa.DataType, doc: str, example: str, unit: str = "", required: bool = False
) -> pa.Field:
    """A column with what the data dictionary says of it."""
    return pa.field(
        name, kind, nullable=not required, metadata={"doc": doc, "example": example, "unit": unit}
    )


def _text(name: str, doc: str, example: str, *, required: bool = False) -> pa.Field:
    return column(name, pa.string(), doc, example, "", required)


def _percent(name: str, doc: str, example: str) -> pa.Field:
    return column(name, pa.float64(), doc, example, "percent, 0 to 100")


_SUBJECT = "label, content_type or image: what the verdict is about."
_WORD = (
    "Of a label or content type: present, absent, unsure, skipped; of an image: nothing (nothing to flag), "
    "complete (what is marked is all there is), severe, not_severe, unsure, skipped, note; withdrawn takes "
    "back the row that replaces names."
)

VERDICTS = TableSpec(
    name="verdicts",
    doc="One row a decision of a person, in the order they came; nothing is changed, undo is a row. What "
    "counts of several is in the view `verdicts_current`.",
    partition_by=("dt",),
    dictionary=(
        *("dt", "reviewer", "subject", "label", "l1", "l2", "l3", "verdict", "load_id", "manifest_id"),
        *(
            "model_version",
            "adapter",
            "policy_decision",
            "queue_id",
            "design",
            "stratum",
            "purpose",
            "origin",
        ),
    ),
    schema=pa.schema(
        [
            _text("verdict_id", "Chosen by the sender; the same id twice is one.", "5f0c…", required=True),
            column("dt", pa.date32(), "UTC day of decided_at; partition.", "2026-11-22", "", True),
            column("decided_at", _TIME, "When it was decided.", "2026-11-22 09:30:00.000000", "UTC", True),
            _text("reviewer", "Who decided.", "ana", required=True),
            _text(
                "content",
                "The content: ETag and size, else a digest of key, ETag and size (k-…); null once erased.",
                "9e107d9d372bb6826bd81d3542a419d6-183204",
            ),
            _text("source_ref", "The key that was on the screen; null once erased.", "s3://archive/a.jpg"),
            _text("etag", "Its ETag; null once erased.", "9e107d9d372bb6826bd81d3542a419d6"),
            column("size_bytes", pa.int64(), "Its size; null once erased.", "183204", "bytes"),
            _text("subject", _SUBJECT, "label", required=True),
            _text("label", "Name in taxonomy 7.0, or of the content type; null for an image.", "Weapons"),
            column("level", pa.int32(), "Level of the label, 1 to 3.", "2"),
            _text("l1", "Top category of the label.", "Violence"),
            _text("l2", "Its second level.", "Weapons"),
            _text("l3", "Its third level.", "Firearms"),
            _text("verdict", _WORD, "absent", required=True),
            _text("replaces", "The verdict_id that this row undoes or changes.", "77ab…"),
            column("blind", pa.bool_(), "The answer was not shown.", "false", "", True),
            _text(
                "load_id",
                "Load of the answer seen; null without.",
                "20261122T020000Z-4f1c0a9b77de",
            ),
            _text("manifest_id", "Its manifest.", "m00012-9f86d081884c"),
            column("line_number", pa.int64(), "Its line there.", "4711", "1-based"),
            _text("model_version", "Model of that answer.", "7.0"),
            _text("adapter", "Adapter of that answer; null for the base model.", "arn:aws:rekognition:…"),
            _percent("min_confidence", "MinConfidence of its request.", "50.0"),
            _percent("confidence", "Of this label in that answer; null if it is not listed.", "83.1"),
            _percent("threshold", "Threshold in use when the person decided.", "80.0"),
            _text("policy_decision", "allow, review or block by the policy then.", "review"),
            _text("queue_id", "The queue it came from; null: met by browsing.", "q-3f"),
            _text("item_id", "Its item there.", "i-000042"),
            _text("design", "How it was drawn; null: not by chance, so it enters no rate.", "stratified"),
            _text("stratum", "Its stratum.", "20-50"),
            column(
                "inclusion_probability",
                pa.float64(),
                "Probability of having been drawn, as stored then.",
                "0.0125",
                "0 to 1",
            ),
            column("seed", pa.int64(), "Seed of the draw.", "42"),
            _text("purpose", "rate, training, golden, benign, second or dispute.", "rate"),
            _text("origin", "console or import.", "console", required=True),
            _text("note", "What the person wrote; null once erased.", "toy gun"),
            column(
                "erased",
                pa.bool_(),
                "An erasure request took away what tells the image; the decision still counts.",
                "false",
                "",
                True,
            ),
        ]
    ),
)  # fmt: skip - one line a column

_SLICE = "{}; null: the number is over all."

REVIEW_NUMBERS = TableSpec(
    name="review_numbers",
    doc="One row a number about the model's answers, told from verdicts; each day's are replaced by a later "
    "computation of that day. Shares are 0 to 1.",
    partition_by=("dt",),
    dictionary=(
        *(
            "dt",
            "label",
            "content_type",
            "model_version",
            "adapter",
            "population",
            "week",
            "measure",
            "method",
        ),
        *("reason", "load_id", "first_week", "last_week"),
    ),
    schema=pa.schema(
        [
            column("computed_at", _TIME, "When it was computed.", "2026-11-28 03:00:00.000000", "UTC", True),
            column("dt", pa.date32(), "UTC day of computed_at; partition.", "2026-11-28", "", True),
            _text("label", "Name in taxonomy 7.0; null: the image as a whole.", "Weapons"),
            column("level", pa.int32(), "Level of the label, 1 to 3; 0 for the image as a whole.", "2"),
            _text("content_type", _SLICE.format("Content type"), "none"),
            _text("model_version", "Model of the answers; never pooled.", "7.0"),
            _text(
                "adapter", "Their adapter; null for the base model; never pooled.", "arn:aws:rekognition:…"
            ),
            _percent("threshold", "Confidence from which a label counts as flagged; never pooled.", "80.0"),
            _text("population", "What the number is about, in words.", "30,000 images flagged"),
            _text("week", _SLICE.format("Monday of the loads' week"), "2026-11-23"),
            _text(
                "measure",
                "tp, fp, fn, tn, unsure, not_verified, precision, missed_share, missed, recall, "
                "precision_at, recall_at, aws_false_positive_rate, aws_false_negative_rate or alpha; "
                "docs/review-numbers.md defines each.",
                "precision",
                required=True,
            ),
            column("value", pa.float64(), "The number; null where reason says why.", "0.9", "count or share"),
            column("low", pa.float64(), "Lower end of its 95 % interval.", "0.829", "as value"),
            column("high", pa.float64(), "Upper end.", "0.948", "as value"),
            column("n", pa.int64(), "Decided items that it comes from.", "100", "items"),
            column("k", pa.int64(), "Of these that are so.", "90", "items"),
            _text("method", "How the interval was made.", "exact at mid-P"),
            _text("reason", "Why it is not measurable.", "nothing was flagged"),
            _text("load_id", _SLICE.format("Load"), "20261122T020000Z-4f1c0a9b77de"),
            _text("first_week", "Monday of the first week of the population.", "2026-11-02"),
            _text("last_week", "Monday of the last one.", "2026-11-23"),
        ]
    ),
)  # fmt: skip - one line a column

SHADOW_ANSWERS = TableSpec(
    name="shadow_answers",
    doc="One row an image and label that an adapter in the shadow, or the one in use, answered; and one an "
    "image with label null. Nothing of it is in `images`.",
    partition_by=("dt",),
    dictionary=(
        "dt",
        "shadow_id",
        "challenger",
        "champion",
        "label",
        "load_id",
        "manifest_id",
        "model_version",
    ),
    schema=pa.schema(
        [
            _text(
                "answer_id", "Shadow, content and label.", "9f86d081884c7d65:9e10…:Gambling", required=True
            ),
            column(
                "begun_at", _TIME, "When the shadow was begun.", "2026-11-28 03:00:00.000000", "UTC", True
            ),
            column("dt", pa.date32(), "UTC day of begun_at; partition.", "2026-11-28", "", True),
            _text("shadow_id", "The shadow.", "9f86d081884c7d65", required=True),
            _text("challenger", "The adapter in the shadow.", "arn:aws:rekognition:…", required=True),
            _text("champion", "The one in use then; null for the base model.", "arn:aws:rekognition:…"),
            _text("content", "The content, as in `verdicts`.", "9e107d9d…-183204", required=True),
            _text("load_id", "Load of the answer of the one in use.", "20261122T020000Z-4f1c0a9b77de"),
            _text("manifest_id", "Its manifest.", "m00012-9f86d081884c"),
            column("line_number", pa.int64(), "Its line there.", "4711", "1-based"),
            _text("model_version", "Model of the challenger's answer.", "7.0"),
            _percent("min_confidence", "MinConfidence of both.", "50.0"),
            _text("label", "Name in taxonomy 7.0 where it has it; null: the image.", "Gambling"),
            column("level", pa.int32(), "Level of the label, 1 to 3.", "1"),
            _percent("champion_confidence", "Of the one in use; null where it does not list it.", "12.5"),
            _percent("challenger_confidence", "Of the challenger; null where it does not list it.", "83.1"),
        ]
    ),
)  # fmt: skip - one line a column

ADAPTERS = TableSpec(
    name="adapters",
    doc="One row an adapter that was trained here, as it stands now: on what, how it compares with the base "
    "model on the same test images, and who put it to use. Counts of test images hold on these alone.",
    partition_by=("dt",),
    dictionary=(
        "dt",
        "project",
        "labels",
        "state",
        "base_model_version",
        "gate",
        "promoted_by",
        "retired_by",
    ),
    schema=pa.schema(
        [
            column("dt", pa.date32(), "UTC day on which it was created; partition.", "2026-11-28", "", True),
            _text("adapter", "ARN of the version; that of images.", "arn:aws:rekognition:…", required=True),
            _text("version_name", "Its name in the project.", "set-5c35a1c560abc061", required=True),
            _text("project", "Its project.", "moderation", required=True),
            _text("labels", "Labels that it was trained for, with | between.", "Gambling", required=True),
            _text(
                "state", "in training, compared, in use (the champion) or retired.", "in use", required=True
            ),
            _text("base_model_version", "Base model behind it when it was compared.", "7.0"),
            _text("training_set", "Digest that names the training set.", "5c35a1c560abc061…", required=True),
            column("training_images", pa.int64(), "Images that it was trained on.", "241", "images"),
            column("testing_images", pa.int64(), "Images of its frozen test set.", "112", "images"),
            column("erased_images", pa.int64(), "Of both, erased since on request.", "0", "images"),
            column("trained_at", _TIME, "When its training ended.", "2026-11-28 03:00:00.000000", "UTC"),
            column("f1", pa.float64(), "F1 score as AWS gives it.", "0.83", "0 to 1"),
            column("billable_seconds", pa.int64(), "Training time that AWS bills.", "5400", "seconds"),
            column("cost_usd", pa.float64(), "Of that, at the price set.", "1.5", "US dollars"),
            _text("gate", "What the gate says: passes, asks or stops.", "passes"),
            _text("gate_reasons", "Why, a sentence each.", "Gambling is not shown: 3 of 20 test images…"),
            column(
                "became_right",
                pa.int64(),
                "Pairs of test image and trained label that it alone has right.",
                "21",
            ),
            column("became_wrong", pa.int64(), "Pairs that the base model alone has right.", "1"),
            _text(
                "evaluation",
                "JSON: by trained label outcome, p by McNemar, and of both models recall, precision and "
                "false alarms with k, n and limits.",
                '[{"label":"Gambling","outcome":"better",…}]',
            ),
            column("promoted_at", _TIME, "When it was last put to use.", "2026-11-28 09:00:00.000000", "UTC"),
            _text("promoted_by", "By whom.", "ana"),
            column(
                "older_share",
                pa.float64(),
                "Share of older images that this asks for anew a night.",
                "0",
                "0 to 1",
            ),
            column(
                "rolled_back_at", _TIME, "When it was last taken back.", "2026-11-29 09:00:00.000000", "UTC"
            ),
            _text("rolled_back_by", "By whom.", "ben"),
            column("retired_at", _TIME, "When it was retired.", "2026-11-30 09:00:00.000000", "UTC"),
            _text("retired_by", "By whom.", "ben"),
            _text("reason", "What was said at the last roll-back or retirement.", "too strict"),
            _text("asked_by", "Who asked for its training; null where that is not known.", "ana"),
        ]
    ),
)  # fmt: skip - one line a column

GONE = TableSpec(
    name="gone",
    doc="One row an image that was answered or refused and is no longer at its source, as a whole listing "
    "showed. One that comes back loses its row.",
    partition_by=("dt",),
    dictionary=("dt", "gone_at", "source"),
    schema=pa.schema(
        [
            column("dt", pa.date32(), "UTC day of gone_at; partition.", "2026-11-28", "", True),
            _text("source_ref", "The image, as in `images`; once here.", "s3://archive/a.jpg", required=True),
            column(
                "gone_at",
                _TIME,
                "When the first listing that did not show it was begun.",
                "2026-11-28 02:00:00.000000",
                "UTC",
                True,
            ),
            _text("source", "What was listed.", "s3://archive/2019", required=True),
        ]
    ),
)  # fmt: skip - one line a column

STANDING = {table.name: table for table in (VERDICTS, REVIEW_NUMBERS, SHADOW_ANSWERS, ADAPTERS, GONE)}
"""The tables of no load, by name."""

ALL_TABLES = {**TABLES, **STANDING}
"""Every table by name, those of a load first."""
