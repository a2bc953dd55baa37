"""The tables that analysts query: the only place where their columns are written down.

Parquet writer, Iceberg catalog, warehouses and the data dictionary all read this module. Rules: lower_snake
names, fixed order, new columns only at the end (and nullable, so that old files stay readable), UTC
microseconds, no nested and no unsigned types. Partition values also stand as real columns.

Row forms of the label tables
-----------------------------
One row for each label that the answer *lists*, in the table of its level; nothing is invented and nothing
dropped. ``name`` is the label as answered; ``l1``/``l2``/``l3`` are its path.

- **Several L3, the same L2 above two L3s**: each listed label gives one row; an L2 listed once is one row.
- **L2 without L3**: a row of ``labels_l2``, none of ``labels_l3``.
- **Parent missing from the answer** (trimmed): the path is completed from ``ParentName`` and the taxonomy,
  ``path_derived`` is true, no row is made for the missing label. What the taxonomy does not know is null.
- **Label unknown to the taxonomy**: kept with the path it came with, ``unknown_label`` true. One without a
  level and without a known parent stands at level 2 below its ``ParentName``, or at level 1 when it has none.
- **Other case or spelling** ("weapons", "Drug & Tobacco"): the path has the taxonomy's spelling,
  ``respelled`` is true for the label and for every label below it; ``name`` and ``parent_name`` keep the
  original.
- **TaxonomyLevel missing** (before model 7.0): derived from the chain, else from the taxonomy;
  ``level_derived`` is true. A level below 1 is treated like a missing one, and so is one that the chain
  contradicts: nothing stands beside or above what the answer lists above it.
- **More than three levels** (a later model): a label below level 3 is a row of ``labels_l3``: ``name`` is the
  label, ``parent_name`` its parent, ``l1``/``l2``/``l3`` are its ancestors of these levels, ``l1`` the top of
  the answer's chain. One row of ``anomalies`` a manifest (``DeeperLevel``) tells the depth and the lines.
- **A circle of parents** (no AWS answer has one): its first listed label counts as trimmed above.
- **The same L2 name under two L1s in one answer**: the first listed after the child is its parent,
  ``ambiguous_parent`` is true.
- **Model 6.1**: ``l1``/``l2`` are 6.1's own names; ``v7_l1``/``v7_l2``/``v7_l3`` are AWS's mapping. Where
  that maps to several labels the columns hold what these have in common and ``v7_ambiguous`` is true.
- **Content types** are a set: both at once is ``illustrated_animated``, neither ``none``. ContentTypes null
  or missing is ``none`` with ``content_types_answered`` false in ``images``; ``[]`` is ``none`` with true.
  Names that are neither of the two are counted in ``other_content_types``.
- **A label listed twice** is two rows.
- **top_l1** is the L1 of the label with the highest confidence, the first listed of equals: all labels of a
  chain share one confidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

FORMAT_VERSION = 3
"""Raised when the same answers would give other rows or bytes; part of every file's name."""

MODERATED = "moderated"
FAILED = "failed"
NOT_ATTEMPTED = "not_attempted"

CONTENT_TYPES = ("none", "illustrated", "animated", "illustrated_animated")
"""Index: 1 for illustrated plus 2 for animated."""

_TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class TableSpec:
    """One table.

    :param name: as in the catalog, the folders and the warehouse.
    :param doc: what a row is.
    :param schema: columns in their fixed order; each field's metadata has ``doc``, ``unit``, ``example``.
    :param partition_by: identity partitions, outermost first.
    :param dictionary: columns worth a Parquet dictionary: few distinct values in a row group.
    """

    name: str
    doc: str
    schema: pa.Schema
    partition_by: tuple[str, ...]
    dictionary: tuple[str, ...]


def _field(  # noqa: PLR0917 - a table of columns reads best without keywords
    name: str, kind: pa.DataType, doc: str, example: str, unit: str = "", required: bool = False
) -> pa.Field:
    return pa.field(
        name, kind, nullable=not required, metadata={"doc": doc, "example": example, "unit": unit}
    )


def _text(name: str, doc: str, example: str, *, required: bool = False) -> pa.Field:
    return _field(name, pa.string(), doc, example, "", required)


def _count(name: str, doc: str, example: str, unit: str = "images", *, required: bool = True) -> pa.Field:
    return _field(name, pa.int64(), doc, example, unit, required)


def _flag(name: str, doc: str) -> pa.Field:
    return _field(name, pa.bool_(), doc, "false", "", True)


def _time(name: str, doc: str) -> pa.Field:
    return _field(name, _TIME, doc, "2026-11-22 02:00:00.000000", "UTC")


def _percent(name: str, doc: str, *, required: bool = False) -> pa.Field:
    return _field(name, pa.float64(), doc, "99.86129760742188", "percent, 0 to 100", required)


def _usd(name: str, doc: str) -> pa.Field:
    return _field(name, pa.float64(), doc, "9.874", "US dollars", True)


_LOAD_ID = _text(
    "load_id", "The publish that this row belongs to.", "20261122T020000Z-4f1c0a9b77de", required=True
)
_DT = _field("dt", pa.date32(), "Logical day of the run; partition.", "2026-11-22", "", True)
_SOURCE_REF = _text("source_ref", "The image.", "s3://archive/2019/a.jpg", required=True)
_JOB_ID = _text("job_id", "Id of the job that analysed the image.", "c3a1…")
_MANIFEST_ID = _text("manifest_id", "The manifest that listed the image, or copies.", "m00012-9f86d081884c")
_LINE_NUMBER = _field(
    "line_number",
    pa.int64(),
    "Line of the image in its manifest; with manifest_id the key.",
    "4711",
    "1-based",
)
_MODEL = _text("model_version", "ModerationModelVersion as answered, else as asked.", "7.0")
_ADAPTER = _text(
    "adapter",
    "ARN of the adapter that answered, null for the base model; without an answer: the one asked for.",
    "arn:aws:rekognition:…",
)
_MIN_CONFIDENCE = _field(
    "min_confidence", pa.float64(), "MinConfidence of the request.", "50.0", "percent, 0 to 100"
)

_ANSWER_OF = "Load of the answer, where that of another image of the same content stands here; else null."

IMAGES = TableSpec(
    name="images",
    doc="One row an input image and load: moderated, failed or not attempted.",
    partition_by=("dt",),
    dictionary=(
        "load_id",
        "dt",
        "bucket",
        "status",
        "error_code",
        "error_message",
        "content_type",
        "top_l1",
        "backend",
        "model_version",
        "adapter",
        "job_id",
        "manifest_id",
        "label_count",
        "moderated_at",
        "min_confidence",
        "answer_of_load_id",
        "answer_of_manifest_id",
        "base_model_version",
    ),
    schema=pa.schema(
        [
            _LOAD_ID,
            _DT,
            _SOURCE_REF,
            _text("bucket", "Bucket of the image.", "archive"),
            _text("key", "Key of the image, any character.", "2019/a.jpg"),
            _text("etag", "ETag of the content that was planned.", "9e107d9d372bb6826bd81d3542a419d6"),
            _text("status", "moderated, failed or not_attempted.", "moderated", required=True),
            _text("error_code", "Why the image is not moderated; null when it is.", "ImageTooLarge"),
            _text("error_message", "The error in words.", "The image has 16,000,000 bytes."),
            _text("content_type", "As in the label tables; null where no answer is.", "none"),
            _percent("illustrated_confidence", "Confidence of the content type Illustrated; null if absent."),
            _percent("animated_confidence", "Confidence of the content type Animated; null if absent."),
            _field(
                "label_count", pa.int32(), "Labels in the answer, ancestors included.", "3", "labels", True
            ),
            _text("top_l1", "L1 of the label with the highest confidence, the first of equals.", "Violence"),
            _percent("max_confidence", "The highest confidence of all labels; null without labels."),
            _text("backend", "bulk or detect; null when the image was never sent.", "bulk"),
            _MODEL,
            _ADAPTER,
            _JOB_ID,
            _time("moderated_at", "When the image's job ended; null unless moderated or failed in a job."),
            _MIN_CONFIDENCE,
            _field("size_bytes", pa.int64(), "Size of the object when planned.", "183204", "bytes"),
            _time("last_modified", "Last change of the object when planned."),
            _MANIFEST_ID,
            _LINE_NUMBER,
            _field(
                "content_types_answered",
                pa.bool_(),
                "Whether the answer had ContentTypes at all; null if not moderated.",
                "true",
            ),
            _field(
                "other_content_types",
                pa.int32(),
                "Content types other than Illustrated and Animated; null if not moderated.",
                "0",
                "items",
            ),
            _field("unknown_labels", pa.int32(), "Labels unknown to the taxonomy.", "0", "labels", True),
            _text("origin", "Path or key as the person knows it; null where source_ref says it.", "/a.jpg"),
            _text("answer_of_load_id", _ANSWER_OF, "20261121T020000Z-0b7c2e91a4d3"),
            _text("answer_of_manifest_id", "With it: the manifest.", "m00003-1b4f0e985197"),
            _field("answer_of_line", pa.int64(), "With it: the line of the manifest.", "17", "1-based"),
            _text("base_model_version", "Base model behind the adapter when the run was planned.", "7.0"),
            _text("transcoded_from", "Format it had before it was sent as JPEG.", "GIF, first frame"),
        ]
    ),
)  # fmt: skip - one line a column

_PATH = {
    1: _text("l1", "Top category.", "Violence"),
    2: _text("l2", "Second level.", "Graphic Violence"),
    3: _text("l3", "Third level; of a deeper label its ancestor there.", "Weapon Violence"),
}


def _labels(level: int) -> TableSpec:
    return TableSpec(
        name=f"labels_l{level}",
        doc=f"One row a level-{level} label that an answer lists, its ancestors spelled out."
        + (" Deeper labels too." if level == len(_PATH) else ""),
        partition_by=("content_type", "dt"),
        dictionary=(
            "load_id",
            "dt",
            "content_type",
            "job_id",
            "manifest_id",
            *(f"l{n}" for n in range(1, level + 1)),
            "name",
            "parent_name",
            "v7_l1",
            "v7_l2",
            "v7_l3",
            "model_version",
        ),
        schema=pa.schema(
            [
                _LOAD_ID,
                _DT,
                _text(
                    "content_type",
                    "none, illustrated, animated, illustrated_animated; partition.",
                    "none",
                    required=True,
                ),
                _SOURCE_REF,
                _JOB_ID,
                _MANIFEST_ID,
                _LINE_NUMBER,
                *(_PATH[n] for n in range(1, level + 1)),
                _percent("confidence", "Exactly as answered, bit for bit.", required=True),
                _text("name", "The label as answered.", "Weapon Violence", required=True),
                _text(
                    "parent_name", "ParentName as answered; null when empty or missing.", "Graphic Violence"
                ),
                _flag("unknown_label", "The taxonomy does not know the label."),
                _flag("respelled", "The path spells the label, or one above it, another way."),
                _flag("path_derived", "An ancestor is not listed in the answer."),
                _flag("level_derived", "The answer gave no usable TaxonomyLevel."),
                _flag("ambiguous_parent", "The answer listed several parents of that name."),
                _text("v7_l1", "L1 in taxonomy 7.0.", "Violence"),
                _text("v7_l2", "L2 in taxonomy 7.0; null when there is none.", "Graphic Violence"),
                _text("v7_l3", "L3 in taxonomy 7.0; null when there is none.", "Weapon Violence"),
                _flag("v7_ambiguous", "AWS maps this older label to several labels of 7.0."),
                _MODEL,
            ]
        ),
    )  # fmt: skip - one line a column


LABELS = {level: _labels(level) for level in (1, 2, 3)}

JOBS = TableSpec(
    name="jobs",
    doc="One row a manifest and load: what ran, when, with what result and price.",
    partition_by=("dt",),
    dictionary=(),
    schema=pa.schema(
        [
            _LOAD_ID,
            _DT,
            _text("manifest_id", "The manifest.", "m00012-9f86d081884c", required=True),
            _text("manifest_uri", "Where the manifest is.", "s3://moderation-work/runs/…"),
            _text("job_id", "Id of the job; null when none started.", "c3a1…"),
            _text("backend", "bulk or detect.", "bulk"),
            _text("status", "SUCCEEDED, FAILED or NOT_STARTED.", "SUCCEEDED", required=True),
            _text("failure_code", "Why the job failed.", "INVALID_MANIFEST"),
            _text("failure_message", "The failure in words.", "The manifest is empty."),
            _text("model_version", "Moderation model of the job.", "7.0"),
            _text("adapter", "ARN of the adapter asked for.", "arn:aws:rekognition:…"),
            _MIN_CONFIDENCE,
            _time("started_at", "When the job was created."),
            _time("completed_at", "When the job ended."),
            _text("results_uri", "The raw answers; the tables can be rebuilt from them.", "s3://…"),
            _text("summary_uri", "The manifest summary.", "s3://…"),
            _count("images", "Images in the manifest.", "10000"),
            _count("moderated", "Images with an answer.", "9998"),
            _count("failed", "Images with an error.", "2"),
            _count("not_attempted", "Images with neither.", "0"),
            _count("superseded", "Answers left out: another load published the same image meanwhile.", "0"),
            _count("billed", "Images analysed successfully, each repetition counted.", "9998"),
            _usd("cost_usd", "Price of the billed images by the configured tiers."),
            _count("result_lines", "Lines of the results file that are not blank.", "9998", "lines"),
            _count("malformed_lines", "Lines that could not be read.", "0", "lines"),
            _count("anomalies", "Rows of `anomalies` that this manifest gave.", "0", "rows"),
        ]
    ),
)

_ALREADY_MODERATED = (
    "Images left out: moderated before. Where refused_before is null, which is a load of an earlier release, "
    "those refused before are counted here too."
)
_CONTENTS = "Different contents among the images; one that nothing proves counts as its own."
_REFUSED_BEFORE = "Images left out: refused before for their own sake, never moderated, unchanged since."

LOADS = TableSpec(
    name="loads",
    doc="One row a publish. A load that is not in this table does not exist for readers.",
    partition_by=("dt",),
    dictionary=(),
    schema=pa.schema(
        [
            _LOAD_ID,
            _DT,
            _text("run_key", "The run that made the load.", "moderate-images-1f3a…", required=True),
            _field("plan_number", pa.int32(), "Plan within the run.", "1", "", True),
            _text("source", "What was listed.", "s3://archive/2019/"),
            _time("published_at", "When the load became visible."),
            _MIN_CONFIDENCE,
            _text("adapter", "ARN of the adapter asked for.", "arn:aws:rekognition:…"),
            _text("model_version", "The least model that counts as current.", "7.0"),
            _count("listed", "Objects that the source listed.", "12000"),
            _count("ignored", "Objects that are plainly no image.", "3", "objects"),
            _count("already_moderated", _ALREADY_MODERATED, "1990"),
            _count("images", "Rows of `images`.", "10007"),
            _count("moderated", "Of these with an answer.", "9998"),
            _count("failed", "Of these with an error.", "9"),
            _count("not_attempted", "Of these still owed.", "0"),
            _count("superseded", "Answers left out: another load published the same image meanwhile.", "0"),
            _count("labels_l1", "Rows of `labels_l1`.", "3100", "rows"),
            _count("labels_l2", "Rows of `labels_l2`.", "2950", "rows"),
            _count("labels_l3", "Rows of `labels_l3`.", "1800", "rows"),
            _count("anomalies", "Rows of `anomalies`.", "0", "rows"),
            _count("manifests", "Rows of `jobs`.", "2", "rows"),
            _count("billed", "Images analysed successfully.", "9998"),
            _usd("cost_usd", "Price of the billed images by the configured tiers."),
            _count("files", "Parquet files of the load, this table's own not counted.", "14", "files"),
            _count("bytes", "Their size.", "48211342", "bytes"),
            _text(
                "digest",
                "Digest of plan, job records and format; in file names.",
                "5e884898da28",
                required=True,
            ),
            _count("refused_before", _REFUSED_BEFORE, "7", required=False),
            _count("contents", _CONTENTS, "9120", "contents", required=False),
            _count("copies", "Images with the answer of another of the same content.", "887", required=False),
        ]
    ),
)  # fmt: skip - one line a column

ANOMALIES = TableSpec(
    name="anomalies",
    doc="One row for each thing in a job's answers that fits no input or no column: kept, with its place.",
    partition_by=("dt",),
    dictionary=(),
    schema=pa.schema(
        [
            _LOAD_ID,
            _DT,
            _MANIFEST_ID,
            _text("file_uri", "The file it stands in.", "s3://…/results.jsonl"),
            _field("line_number", pa.int64(), "Line of that file, or as the summary says.", "17", "1-based"),
            _text(
                "kind",
                "MalformedLine, UnexpectedResult, DuplicateResult, UnexpectedError, "
                "MalformedSummary, AdapterIgnored, OtherAdapter or DeeperLevel.",
                "UnexpectedResult",
                required=True,
            ),
            _text("source_ref", "The image it names, if it does.", "s3://archive/2019/a.jpg"),
            _text("message", "What is wrong, in words.", "The image was not asked for."),
            _text("raw", "The text itself, at most 2,000 characters.", "{…"),
        ]
    ),
)  # fmt: skip - one line a column

TABLES = {table.name: table for table in (IMAGES, LABELS[1], LABELS[2], LABELS[3], JOBS, ANOMALIES, LOADS)}
"""Every table by name, `loads` last: the order in which a load is published."""


def physical_schema(table: TableSpec) -> pa.Schema:
    """The schema as files carry it: without the field metadata, which belongs into the catalog."""
    return pa.schema([field.remove_metadata() for field in table.schema])
