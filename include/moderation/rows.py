"""The columns of the image and label tables for one manifest.

Text columns of few values are built as Arrow dictionaries: cheap to make, and `moderation.tables` writes them
as plain strings.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from moderation import codes, schema
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

    :param inputs: the images in manifest order, `moderation.plan_files.INPUTS_SCHEMA`.
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
        "status": _constant(schema.FAILED, size),
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
    answer = pa.array(state.answer, mask=~state.moderated)
    lines = answers.lines.take(answer)
    reached = pa.array(state.moderated | state.failed)
    model = record.model_version or context.model_version
    error_code, error_message = _errors(manifest)
    started = record.status is not JobStatus.NOT_STARTED
    columns = _input_columns(context, inputs) | {
        "status": _pick(
            np.where(state.moderated, 0, np.where(state.failed, 1, 2)),
            [schema.MODERATED, schema.FAILED, schema.NOT_ATTEMPTED],
        ),
        "error_code": error_code,
        "error_message": error_message,
        "content_type": _pick(
            np.where(state.moderated, _content_type(lines), -1), list(schema.CONTENT_TYPES)
        ),
        "illustrated_confidence": lines.column("illustrated"),
        "animated_confidence": lines.column("animated"),
        "label_count": pc.fill_null(lines.column("label_count"), 0),
        "top_l1": _top_l1(answers, lines),
        "max_confidence": _max_confidence(answers, lines),
        "backend": _constant(record.backend if started else None, size),
        "model_version": pc.coalesce(lines.column("model_version"), pa.scalar(model, pa.string())),
        "adapter": pc.if_else(
            pa.array(state.moderated),
            lines.column("adapter"),
            pa.scalar(record.adapter or context.adapter, pa.string()),
        ),
        "job_id": _constant(record.job_id, size),
        "moderated_at": pc.if_else(reached, pa.scalar(record.completed_at, pa.timestamp("us", "UTC")), None),
        "manifest_id": _constant(record.manifest_id, size),
        "content_types_answered": pc.if_else(
            pa.array(state.moderated), pc.is_valid(lines.column("content_types")), None
        ),
        "other_content_types": lines.column("other_content_types"),
        "unknown_labels": _unknown_labels(answers, state),
    }
    if record.min_confidence is not None:
        columns["min_confidence"] = pa.array(np.full(size, record.min_confidence))
    return _table(schema.IMAGES, columns, size)


def _errors(manifest: Manifest) -> tuple[pa.Array, pa.Array]:
    answers, state, errors = manifest.answers, manifest.state, manifest.errors
    size = len(state.answer)
    code: list[str | None] = [None] * size
    message: list[str | None] = [None] * size
    missing = _missing_reason(manifest.record)
    lines = answers.lines
    for row in np.flatnonzero(~state.moderated).tolist():
        if state.error[row] >= 0:
            error = errors[state.error[row]]
            code[row], message[row] = error.code, error.message
        elif state.bad_line[row] >= 0:
            line = int(state.bad_line[row])
            text = OUTCOME_TEXT[Outcome(lines.column("outcome")[line].as_py())]
            code[row] = codes.MALFORMED_RESULT
            message[row] = f"line {lines.column('line_number')[line]} of the results: {text}"
        else:
            code[row], message[row] = missing
    return pa.array(code, pa.string()), pa.array(message, pa.string())


def _missing_reason(record: AnalysisRecord) -> tuple[str, str | None]:
    if record.status is JobStatus.SUCCEEDED:
        return codes.RESULT_MISSING, "the job gave neither a result nor an error for this image"
    code = codes.canonical(record.failure_code) if record.failure_code else NOT_STARTED
    text = "the job failed" if record.status is JobStatus.FAILED else "no job was started for the manifest"
    return code, record.failure_message or text


def _content_type(lines: pa.Table) -> np.ndarray:
    """Index into `schema.CONTENT_TYPES` of each line."""
    illustrated = pc.is_valid(lines.column("illustrated")).to_numpy()
    animated = pc.is_valid(lines.column("animated")).to_numpy()
    return illustrated.astype(np.int64) + 2 * animated.astype(np.int64)


def _top_l1(answers: Answers, lines: pa.Table) -> pa.Array:
    top = lines.column("top_label")
    if not answers.places or top.null_count == len(top):
        return pa.nulls(len(top), pa.string())
    place = pa.array(answers.label_place).take(top)
    return pa.array([place.l1 for place in answers.places], pa.string()).take(place)


def _max_confidence(answers: Answers, lines: pa.Table) -> pa.Array:
    return pa.array(answers.confidence, pa.float64()).take(lines.column("top_label"))


def _unknown_labels(answers: Answers, state: Reconciliation) -> pa.Array:
    unknown = np.array([place.unknown_label for place in answers.places], dtype=bool)
    strange = answers.label_line[unknown[answers.label_place]] if unknown.any() else []
    per_line = np.bincount(np.asarray(strange, dtype=np.int64), minlength=answers.lines.num_rows + 1)
    return pa.array(per_line[state.answer] * state.moderated, pa.int32())


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
    owner = np.repeat(image, counts)
    level = np.array([place.level for place in answers.places])[answers.label_place[label]]
    content_type = np.repeat(_content_type(answers.lines)[line], counts)
    kinds = len(schema.CONTENT_TYPES)
    group = (level - 1) * kinds + content_type
    order = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[order], np.arange(3 * kinds + 1))
    tables = {}
    for number in range(3 * kinds):
        rows = order[bounds[number] : bounds[number + 1]]
        if len(rows):
            key = (number // kinds + 1, schema.CONTENT_TYPES[number % kinds])
            tables[key] = _label_table(manifest, key, label[rows], owner[rows])
    return tables


def _label_table(manifest: Manifest, key: tuple[int, str], label: np.ndarray, owner: np.ndarray) -> pa.Table:
    context, record, answers = manifest.context, manifest.record, manifest.answers
    size = len(label)
    place = answers.label_place[label]
    version = answers.lines.column("model_version").take(pa.array(answers.label_line[label]))
    owners = manifest.inputs.select(["source_ref", "line_number"]).take(pa.array(owner))
    columns = {
        "load_id": _constant(context.load_id, size),
        "dt": pa.repeat(pa.scalar(context.dt, pa.date32()), size),
        "content_type": _constant(key[1], size),
        "source_ref": owners.column("source_ref"),
        "job_id": _constant(record.job_id, size),
        "manifest_id": _constant(record.manifest_id, size),
        "line_number": owners.column("line_number"),
        "confidence": pa.array(answers.confidence[label]),
        "ambiguous_parent": pa.array(answers.label_ambiguous[label]),
        "model_version": pc.coalesce(
            version, pa.scalar(record.model_version or context.model_version, pa.string())
        ),
    }
    table = schema.LABELS[key[0]]
    for name in Place._fields:
        if name != "level" and name in table.schema.names:
            columns[name] = _spread(answers.places, name, place)
    return _table(table, columns, size)


def _spread(places: tuple[Place, ...], name: str, place: np.ndarray) -> pa.Array:
    values = [getattr(entry, name) for entry in places]
    if isinstance(values[0], bool):
        return pa.array(np.array(values)[place])
    distinct = list(dict.fromkeys(value for value in values if value is not None))
    number = {value: index for index, value in enumerate(distinct)} | {None: -1}
    return _pick(np.array([number[value] for value in values])[place], distinct)


def _input_columns(context: LoadContext, inputs: pa.Table) -> dict[str, Any]:
    size = inputs.num_rows
    same = ("source_ref", "bucket", "key", "etag", "last_modified", "line_number")
    return {name: inputs.column(name) for name in same} | {
        "load_id": _constant(context.load_id, size),
        "dt": pa.repeat(pa.scalar(context.dt, pa.date32()), size),
        "size_bytes": inputs.column("size"),
        "min_confidence": pa.repeat(pa.scalar(context.min_confidence, pa.float64()), size),
    }


def _pick(numbers: np.ndarray, values: list[str]) -> pa.DictionaryArray:
    """The value of each number; null for -1."""
    indices = pa.array(numbers.astype(np.int32), mask=numbers < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string()))


def _constant(value: str | None, size: int) -> pa.Array:
    if value is None:
        return pa.nulls(size, pa.string())
    return _pick(np.zeros(size, dtype=np.int32), [value])


def _zeros(size: int) -> pa.Array:
    return pa.array(np.zeros(size, dtype=np.int32))


def _table(table: schema.TableSpec, columns: dict[str, Any], size: int) -> pa.Table:
    """The columns in the table's order and types, text of few values as dictionaries; absent ones null."""
    arrays = []
    for entry in table.schema:
        column = columns.get(entry.name)
        if column is None:
            column = pa.nulls(size, entry.type)
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        as_dictionary = pa.types.is_string(entry.type) and entry.name in table.dictionary
        if as_dictionary and not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        elif not as_dictionary and column.type != entry.type:
            column = column.cast(entry.type)
        arrays.append(column)
    return pa.Table.from_arrays(arrays, names=table.schema.names)
