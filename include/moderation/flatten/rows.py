"""The columns of the image and label tables for one manifest.

Text columns of few values are built as Arrow dictionaries: cheap to make, and `tables.writer` writes them
as plain strings.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from moderation import schema
from moderation.analyse.record import AnalysisRecord, JobStatus
from moderation.flatten import arrays
from moderation.flatten.answers import Answers
from moderation.flatten.column_requests import (
    LEVELS,
    PLACE_FLAGS,
    PLACE_TEXTS,
    ImageRequest,
    LabelRequest,
    PlaceCodes,
)
from moderation.flatten.label_paths import Place
from moderation.flatten.parsed_block import Outcome
from moderation.flatten.reconcile import OUTCOME_TEXT, Reconciliation
from moderation.flatten.row_columns import image_columns, label_columns
from moderation.flatten.summary import SummaryError
from moderation.reference import error_codes

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
    :param base_model_version: of the base model behind ``adapter``, None where that is not known.
    """

    load_id: str
    dt: dt.date
    min_confidence: float | None
    adapter: str | None
    model_version: str | None
    base_model_version: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that is known about one manifest.

    :param inputs: the images in manifest order, `moderation.plan.plan.INPUTS_SCHEMA`.
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
    return table_of(schema.IMAGES, columns, size)


def image_rows(manifest: Manifest, places: Places) -> pa.Table:
    """`schema.IMAGES`, one row an input, in the order of the inputs."""
    context, record = manifest.context, manifest.record
    size = manifest.inputs.num_rows
    versions, instead_of_version = _model_versions(manifest)
    adapters, instead_of_adapter = _with(_dictionary(manifest, "adapter"), record.adapter or context.adapter)
    varying = image_columns(
        ImageRequest(
            answers=manifest.answers,
            places=places.codes,
            answer=manifest.state.answer,
            failed=manifest.state.failed,
            instead_of_version=instead_of_version,
            instead_of_adapter=instead_of_adapter,
            moderated_at=_microseconds(record.completed_at),
        )
    )
    error_code, error_message = _errors(manifest)
    columns = (
        _input_columns(context, manifest.inputs)
        | varying._asdict()
        | {
            "status": arrays.dictionary(
                varying.status, [schema.MODERATED, schema.FAILED, schema.NOT_ATTEMPTED]
            ),
            "error_code": error_code,
            "error_message": error_message,
            "content_type": arrays.dictionary(varying.content_type, schema.CONTENT_TYPES),
            "top_l1": arrays.dictionary(varying.top_l1, places.texts["l1"]),
            "backend": arrays.constant(
                None if record.status is JobStatus.NOT_STARTED else record.backend, size
            ),
            "model_version": arrays.dictionary(varying.model_version, versions),
            "adapter": arrays.dictionary(varying.adapter, adapters),
            "base_model_version": _base_model_versions(context, varying.adapter, adapters),
            "job_id": arrays.constant(record.job_id, size),
            "manifest_id": arrays.constant(record.manifest_id, size),
        }
    )
    if record.min_confidence is not None:
        columns["min_confidence"] = _number(record.min_confidence, size)
    return table_of(schema.IMAGES, columns, size)


def _base_model_versions(context: LoadContext, adapter: Any, adapters: list[str]) -> pa.Array:
    """Of the rows that name the adapter asked for; of no other one is it known.

    :param adapter: codes into ``adapters``, -1 for none.
    """
    if context.base_model_version is None:
        return arrays.constant(None, len(adapter))
    of_it = np.array([*(text == context.adapter for text in adapters), False])[arrays.codes(adapter)]
    return arrays.pick(np.where(of_it, 0, -1), [context.base_model_version])


def _model_versions(manifest: Manifest) -> tuple[list[str], int]:
    """The versions, and the number of the one that stands where no answer names one."""
    known = manifest.record.model_version or manifest.context.model_version
    return _with(_dictionary(manifest, "model_version"), known)


def _dictionary(manifest: Manifest, name: str) -> list[str]:
    texts: list[str] = arrays.joined(manifest.answers.lines.column(name)).dictionary.to_pylist()
    return texts


def _with(texts: list[str], text: str | None) -> tuple[list[str], int]:
    """The texts with this one among them, and its number; -1 for None."""
    if text is None:
        return texts, -1
    texts = texts if text in texts else [*texts, text]
    return texts, texts.index(text)


def _microseconds(moment: dt.datetime | None) -> int | None:
    if moment is None:
        return None
    return (moment - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(microseconds=1)


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
            reason = error_codes.MALFORMED_RESULT, f"line {number} of the results: {text}"
        else:
            reason = missing
        for column, value in enumerate(reason):
            if value is not None:
                numbers[column, row] = texts[column].setdefault(value, len(texts[column]))
    return arrays.pick(numbers[0], list(texts[0])), arrays.pick(numbers[1], list(texts[1]))


def _missing_reason(record: AnalysisRecord) -> tuple[str, str | None]:
    if record.status is JobStatus.SUCCEEDED:
        return error_codes.RESULT_MISSING, "the job gave neither a result nor an error for this image"
    code = error_codes.canonical(record.failure_code) if record.failure_code else NOT_STARTED
    text = "the job failed" if record.status is JobStatus.FAILED else "no job was started for the manifest"
    return code, record.failure_message or text


@dataclass(frozen=True, slots=True)
class Places:
    """`Answers.places` by columns.

    :param texts: what the codes of each text column stand for.
    """

    codes: PlaceCodes
    texts: dict[str, list[str]]

    @classmethod
    def of(cls, places: Sequence[Place]) -> Places:
        """Of these places."""
        by_name = dict(zip(Place._fields, zip(*places, strict=True), strict=True)) if places else {}
        numbered = {name: _distinct(by_name.get(name, ())) for name in PLACE_TEXTS}
        return cls(
            PlaceCodes(
                level=np.array(by_name.get("level", ()), dtype=np.int8),
                texts=np.array([numbers for numbers, _ in numbered.values()], dtype=np.int32),
                flags=np.array([by_name.get(name, ()) for name in PLACE_FLAGS], dtype=bool),
            ),
            {name: texts for name, (_, texts) in numbered.items()},
        )


def label_rows(manifest: Manifest, places: Places, keep: np.ndarray) -> dict[tuple[int, str], pa.Table]:
    """`schema.LABELS` by level and content type, in the order of the inputs and, within one, of the answer.

    :param keep: mask of the inputs that get rows.
    """
    answer = manifest.state.answer
    image = np.flatnonzero((answer >= 0) & keep)
    if not manifest.answers.places or not len(image):
        return {}
    versions, instead_of_version = _model_versions(manifest)
    bounds, varying = label_columns(
        LabelRequest(
            answers=manifest.answers,
            places=places.codes,
            image=image,
            line=answer[image],
            source_refs=arrays.joined(manifest.inputs.column("source_ref")),
            line_numbers=arrays.to_numpy(manifest.inputs.column("line_number")),
            instead_of_version=instead_of_version,
        )
    )
    texts = places.texts | {"content_type": list(schema.CONTENT_TYPES), "model_version": versions}
    for name, values in texts.items():
        varying[name] = arrays.dictionary(varying[name], values)
    context, record, size = manifest.context, manifest.record, bounds[-1]
    labels = varying | {
        "load_id": arrays.constant(context.load_id, size),
        "dt": _day(context.dt, size),
        "job_id": arrays.constant(record.job_id, size),
        "manifest_id": arrays.constant(record.manifest_id, size),
    }
    return _by_group(table_of(schema.LABELS[LEVELS], labels, size), bounds)


def _by_group(labels: pa.Table, bounds: list[int]) -> dict[tuple[int, str], pa.Table]:
    """The labels of each group with the columns of its table; those of the deepest are the columns of all."""
    kinds = len(schema.CONTENT_TYPES)
    columns = {level: labels.select(table.schema.names) for level, table in schema.LABELS.items()}
    return {
        (number // kinds + 1, schema.CONTENT_TYPES[number % kinds]): columns[number // kinds + 1].slice(
            start, end - start
        )
        for number, (start, end) in enumerate(pairwise(bounds))
        if start < end
    }


def _distinct(values: Sequence[str | None]) -> tuple[list[int], list[str]]:
    """Numbers of the distinct texts, -1 for None, and the texts.

    Sorted, so that the bytes of a file do not depend on the order of the answers.
    """
    texts = sorted({value for value in values if value is not None})
    number = {value: index for index, value in enumerate(texts)} | {None: -1}
    return [number[value] for value in values], texts


def _day(day: dt.date, size: int) -> pa.Array:
    days = (day - dt.date(1970, 1, 1)).days
    return arrays.from_numpy(np.full(size, days, dtype=np.int32), pa.date32())


def _input_columns(context: LoadContext, inputs: pa.Table) -> dict[str, Any]:
    size = inputs.num_rows
    same = (
        "source_ref",
        "bucket",
        "key",
        "etag",
        "last_modified",
        "line_number",
        "origin",
        "transcoded_from",
    )
    return {name: inputs.column(name) for name in same} | {
        "load_id": arrays.constant(context.load_id, size),
        "dt": _day(context.dt, size),
        "size_bytes": inputs.column("size"),
        "min_confidence": _number(context.min_confidence, size),
    }


def _zeros(size: int) -> pa.Array:
    return arrays.from_numpy(np.zeros(size, dtype=np.int32))


def table_of(table: schema.TableSpec, columns: dict[str, Any], size: int) -> pa.Table:
    """The columns in the table's order and types, text of few values as dictionaries; absent ones null."""
    built = []
    for entry in table.schema:
        as_dictionary = pa.types.is_string(entry.type) and entry.name in table.dictionary
        column = columns.get(entry.name)
        if column is None:
            column = arrays.constant(None, size) if as_dictionary else pa.nulls(size, entry.type)
        column = arrays.joined(column)
        if as_dictionary and not pa.types.is_dictionary(column.type):
            column = arrays.encoded(column)
        elif not as_dictionary and column.type != entry.type:
            column = column.cast(entry.type)
        built.append(column)
    return pa.Table.from_arrays(built, names=table.schema.names)
