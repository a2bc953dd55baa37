"""The columns of the image and label tables for one manifest.

Text columns of few values are built as Arrow dictionaries: cheap to make, and `moderation.tables` writes them
as plain strings.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from moderation import arrays, codes, schema
from moderation.answers import Answers
from moderation.chains import Place
from moderation.parse import Outcome
from moderation.reconcile import OUTCOME_TEXT, Reconciliation
from moderation.results import AnalysisRecord, JobStatus, SummaryError

NOT_STARTED = "NotStarted"
"""Code of images whose manifest has no job and no other reason."""


@dataclass(frozen=True, kw_only=True)
class LoadContext:
    """What every row of a load has in common.

    :param load_id: chosen by the plan, before any effect.
    :param dt: logical day of the run.
    :param min_confidence: asked for, percent.
    :param adapter: ARN asked for, None for the base model.
    :param model_version: stands where neither an answer nor the job names one.
    """

    load_id: str
    dt: dt.date
    min_confidence: float | None
    adapter: str | None
    model_version: str | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that is known about one manifest.

    :param inputs: the images in manifest order, `moderation.schema.INPUTS_SCHEMA`.
    :param answers: the results file.
    :param state: the outcome of each input.
    :param errors: those of the summary; ``state.error`` points into them.
    """

    context: LoadContext
    record: AnalysisRecord
    inputs: pa.Table
    answers: Answers
    state: Reconciliation
    errors: tuple[SummaryError, ...]


def rejected_rows(context: LoadContext, inputs: pa.Table) -> pa.Table:
    """`schema.IMAGES` of images that were refused before anything was sent."""
    size = inputs.num_rows
    columns = _input_columns(context, inputs) | {
        "status": arrays.constant(schema.FAILED, size),
        "error_code": inputs.column("error_code"),
        "error_message": inputs.column("error_message"),
        "label_count": _zeros(size),
        "unknown_labels": _zeros(size),
    }
    return _table(schema.IMAGES, columns, size)


def image_rows(manifest: Manifest) -> pa.Table:
    """`schema.IMAGES`, one row an input, in the order of the inputs."""
    context, record, inputs = manifest.context, manifest.record, manifest.inputs
    answers, state = manifest.answers, manifest.state
    size = inputs.num_rows
    unanswered = ~state.moderated
    lines = _answering_lines(answers, state)
    error_code, error_message = _errors(manifest)
    label_count = arrays.to_numpy(lines.column("label_count"))
    columns = _input_columns(context, inputs) | {
        "status": arrays.pick(
            np.where(state.moderated, 0, np.where(state.failed, 1, 2)),
            [schema.MODERATED, schema.FAILED, schema.NOT_ATTEMPTED],
        ),
        "error_code": error_code,
        "error_message": error_message,
        "content_type": arrays.pick(np.where(unanswered, -1, _content_type(lines)), schema.CONTENT_TYPES),
        "illustrated_confidence": lines.column("illustrated"),
        "animated_confidence": lines.column("animated"),
        "label_count": arrays.from_numpy(np.where(unanswered, 0, label_count)),
        "top_l1": _top_l1(answers, lines),
        "max_confidence": _max_confidence(answers, lines),
        "backend": arrays.constant(None if record.status is JobStatus.NOT_STARTED else record.backend, size),
        "model_version": _model_version(manifest, lines),
        "adapter": _adapter(manifest, lines),
        "job_id": arrays.constant(record.job_id, size),
        "moderated_at": _time(record.completed_at, null=unanswered & ~state.failed),
        "manifest_id": arrays.constant(record.manifest_id, size),
        "content_types_answered": arrays.from_numpy(
            arrays.is_valid(lines.column("content_types")), null=unanswered
        ),
        "other_content_types": lines.column("other_content_types"),
        "unknown_labels": _unknown_labels(answers, state),
    }
    if record.min_confidence is not None:
        columns["min_confidence"] = _number(record.min_confidence, size)
    return _table(schema.IMAGES, columns, size)


_LINE_COLUMNS = (
    "model_version",
    "adapter",
    "content_types",
    "illustrated",
    "animated",
    "other_content_types",
    "label_count",
    "top_label",
)


def _answering_lines(answers: Answers, state: Reconciliation) -> pa.Table:
    """The line that answers each input, null where there is none; only the columns needed here."""
    lines = answers.lines.select(_LINE_COLUMNS)
    if len(state.answer) == lines.num_rows and np.array_equal(state.answer, np.arange(lines.num_rows)):
        return lines
    return arrays.take(lines, state.answer, null=state.answer < 0)


def _model_version(manifest: Manifest, lines: pa.Table) -> pa.Array:
    """As answered, else as the job or the plan says."""
    known = manifest.record.model_version or manifest.context.model_version
    answered, versions = _numbered(lines.column("model_version"))
    return _or_else(answered, versions, known, where=answered < 0)


def _adapter(manifest: Manifest, lines: pa.Table) -> pa.Array:
    """As answered; without an answer the one that was asked for."""
    asked = manifest.record.adapter or manifest.context.adapter
    answered, adapters = _numbered(lines.column("adapter"))
    return _or_else(answered, adapters, asked, where=~manifest.state.moderated)


def _or_else(
    numbers: np.ndarray, texts: list[str], instead: str | None, *, where: np.ndarray
) -> pa.DictionaryArray:
    """The text of each number, and ``instead`` in the rows of the mask ``where``."""
    if instead is not None and where.any():
        texts = texts if instead in texts else [*texts, instead]
        numbers = np.where(where, texts.index(instead), numbers)
    return arrays.pick(numbers, texts)


def _numbered(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """Numbers and texts of a dictionary column, -1 for null."""
    array = arrays.joined(column)
    return arrays.codes(array.indices), array.dictionary.to_pylist()


def _time(moment: dt.datetime | None, *, null: np.ndarray) -> pa.Array:
    kind = pa.timestamp("us", "UTC")
    if moment is None:
        return pa.nulls(len(null), kind)
    microseconds = (moment - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(microseconds=1)
    return arrays.from_numpy(np.full(len(null), microseconds, dtype=np.int64), kind, null=null)


def _number(value: float | None, size: int) -> pa.Array:
    return pa.nulls(size, pa.float64()) if value is None else arrays.from_numpy(np.full(size, float(value)))


def _errors(manifest: Manifest) -> tuple[pa.Array, pa.Array]:
    answers, state, errors = manifest.answers, manifest.state, manifest.errors
    numbers = np.full((2, len(state.answer)), -1)
    texts: tuple[dict[str, int], dict[str, int]] = ({}, {})
    missing = _missing_reason(manifest.record)
    lines = answers.lines
    for row in np.flatnonzero(~state.moderated).tolist():
        reason: tuple[str, str | None]
        if state.error[row] >= 0:
            error = errors[state.error[row]]
            reason = error.code, error.message
        elif state.bad_line[row] >= 0:
            line = int(state.bad_line[row])
            text = OUTCOME_TEXT[Outcome(lines.column("outcome")[line].as_py())]
            number = lines.column("line_number")[line]
            reason = codes.MALFORMED_RESULT, f"line {number} of the results: {text}"
        else:
            reason = missing
        for column, value in enumerate(reason):
            if value is not None:
                numbers[column, row] = texts[column].setdefault(value, len(texts[column]))
    return arrays.pick(numbers[0], list(texts[0])), arrays.pick(numbers[1], list(texts[1]))


def _missing_reason(record: AnalysisRecord) -> tuple[str, str | None]:
    if record.status is JobStatus.SUCCEEDED:
        return codes.RESULT_MISSING, "the job gave neither a result nor an error for this image"
    code = codes.canonical(record.failure_code) if record.failure_code else NOT_STARTED
    text = "the job failed" if record.status is JobStatus.FAILED else "no job was started for the manifest"
    return code, record.failure_message or text


def _content_type(lines: pa.Table) -> np.ndarray:
    """Index into `schema.CONTENT_TYPES` of each line."""
    return arrays.is_valid(lines.column("illustrated")) + 2 * arrays.is_valid(lines.column("animated"))


def _top_l1(answers: Answers, lines: pa.Table) -> pa.Array:
    top = arrays.codes(lines.column("top_label"))
    numbers = np.full(len(top), -1)
    labelled = top >= 0
    l1, texts = _distinct([place.l1 for place in answers.places])
    numbers[labelled] = l1[answers.label_place[top[labelled]]]
    return arrays.pick(numbers, texts)


def _max_confidence(answers: Answers, lines: pa.Table) -> pa.Array:
    top = arrays.codes(lines.column("top_label"))
    highest = np.zeros(len(top))
    highest[top >= 0] = answers.confidence[top[top >= 0]]
    return arrays.from_numpy(highest, null=top < 0)


def _unknown_labels(answers: Answers, state: Reconciliation) -> pa.Array:
    unknown = np.array([place.unknown_label for place in answers.places], dtype=bool)
    if not unknown.any():
        return _zeros(len(state.answer))
    strange = answers.label_line[unknown[answers.label_place]]
    per_line = np.bincount(strange, minlength=answers.lines.num_rows + 1)
    return arrays.from_numpy((per_line[state.answer] * state.moderated).astype(np.int32))


def label_rows(manifest: Manifest, keep: np.ndarray) -> dict[tuple[int, str], pa.Table]:
    """`schema.LABELS` by level and content type, in the order of the inputs and, within one, of the answer.

    :param keep: mask of the inputs that get rows.
    """
    answers, answer = manifest.answers, manifest.state.answer
    image = np.flatnonzero((answer >= 0) & keep)
    line = answer[image]
    counts = answers.label_start[line + 1] - answers.label_start[line]
    total = int(counts.sum())
    if total == 0:
        return {}
    first = np.repeat(answers.label_start[line] - (np.cumsum(counts) - counts), counts)
    label = first + np.arange(total)
    level = np.array([place.level for place in answers.places])[answers.label_place[label]]
    content_type = np.repeat(_content_type(answers.lines)[line], counts)
    kinds = len(schema.CONTENT_TYPES)
    group = (level - 1) * kinds + content_type
    order = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[order], np.arange(3 * kinds + 1)).tolist()
    labels = _label_columns(manifest, label[order], np.repeat(image, counts)[order], content_type[order])
    tables = {}
    for number, (start, end) in enumerate(pairwise(bounds)):
        if start < end:
            level_number = number // kinds + 1
            columns = labels.select(schema.LABELS[level_number].schema.names)
            tables[level_number, schema.CONTENT_TYPES[number % kinds]] = columns.slice(start, end - start)
    return tables


def _label_columns(
    manifest: Manifest, label: np.ndarray, owner: np.ndarray, content_type: np.ndarray
) -> pa.Table:
    """Labels of any level with the columns of the deepest, which are those of all."""
    context, record, answers = manifest.context, manifest.record, manifest.answers
    size = len(label)
    place = answers.label_place[label]
    owners = arrays.take(manifest.inputs.select(["source_ref", "line_number"]), owner)
    versions = arrays.take(answers.lines.select(["model_version"]), answers.label_line[label])
    columns = {
        "load_id": arrays.constant(context.load_id, size),
        "dt": _day(context.dt, size),
        "content_type": arrays.pick(content_type, schema.CONTENT_TYPES),
        "source_ref": owners.column("source_ref"),
        "job_id": arrays.constant(record.job_id, size),
        "manifest_id": arrays.constant(record.manifest_id, size),
        "line_number": owners.column("line_number"),
        "confidence": arrays.from_numpy(answers.confidence[label]),
        "ambiguous_parent": arrays.from_numpy(answers.label_ambiguous[label]),
        "model_version": _model_version(manifest, versions),
    }
    deepest = schema.LABELS[3]
    for name in Place._fields:
        if name in deepest.schema.names:
            columns[name] = _spread([getattr(entry, name) for entry in answers.places], place)
    return _table(deepest, columns, size)


def _spread(values: list[Any], place: np.ndarray) -> pa.Array:
    """One value a place, to one a label."""
    if isinstance(values[0], bool):
        return arrays.from_numpy(np.array(values)[place])
    numbers, texts = _distinct(values)
    return arrays.pick(numbers[place], texts)


def _distinct(values: list[str | None]) -> tuple[np.ndarray, list[str]]:
    """Numbers of the distinct texts, -1 for None, and the texts.

    Sorted, so that the bytes of a file do not depend on the order of the answers.
    """
    texts = sorted({value for value in values if value is not None})
    number = {value: index for index, value in enumerate(texts)} | {None: -1}
    return np.array([number[value] for value in values], dtype=np.int64), texts


def _day(day: dt.date, size: int) -> pa.Array:
    days = (day - dt.date(1970, 1, 1)).days
    return arrays.from_numpy(np.full(size, days, dtype=np.int32), pa.date32())


def _input_columns(context: LoadContext, inputs: pa.Table) -> dict[str, Any]:
    size = inputs.num_rows
    same = ("source_ref", "bucket", "key", "etag", "last_modified", "line_number")
    return {name: inputs.column(name) for name in same} | {
        "load_id": arrays.constant(context.load_id, size),
        "dt": _day(context.dt, size),
        "size_bytes": inputs.column("size"),
        "min_confidence": _number(context.min_confidence, size),
    }


def _zeros(size: int) -> pa.Array:
    return arrays.from_numpy(np.zeros(size, dtype=np.int32))


def _table(table: schema.TableSpec, columns: dict[str, Any], size: int) -> pa.Table:
    """The columns in the table's order and types, text of few values as dictionaries; absent ones null."""
    built = []
    for entry in table.schema:
        column = columns.get(entry.name)
        if column is None:
            column = pa.nulls(size, entry.type)
        column = arrays.joined(column)
        as_dictionary = pa.types.is_string(entry.type) and entry.name in table.dictionary
        if as_dictionary and not pa.types.is_dictionary(column.type):
            column = arrays.encoded(column)
        elif not as_dictionary and column.type != entry.type:
            column = column.cast(entry.type)
        built.append(column)
    return pa.Table.from_arrays(built, names=table.schema.names)
