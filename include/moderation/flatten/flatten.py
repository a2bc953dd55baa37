"""The answers to one manifest as rows of every table, with all inputs accounted for.

A manifest is the unit of memory: AWS limits it to 10,000 images, so an archive of any size is flattened in
the memory of one manifest. Row order is the inputs' order, whatever order the results file has, and depends
on nothing else: equal inputs give equal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from moderation.analyse.record import AnalysisRecord, JobStatus
from moderation.flatten import arrays
from moderation.flatten.answers import Answers
from moderation.flatten.label_paths import DEEPEST
from moderation.flatten.parsed_block import Outcome
from moderation.flatten.read_answers import read_answers
from moderation.flatten.reconcile import (
    ADAPTER_IGNORED,
    DEEPER_LEVEL,
    MALFORMED_SUMMARY,
    OTHER_ADAPTER,
    Anomaly,
    Reconciliation,
    reconcile,
    report_lines,
)
from moderation.flatten.rows import LoadContext, Manifest, Places, image_rows, label_rows, rejected_rows
from moderation.flatten.summary import ManifestSummary
from moderation.plan.plan import INPUTS_SCHEMA


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of a manifest's images, and what its files held.

    ``images = moderated + failed + not_attempted + superseded``.

    :param billed: answers in the results file, unexpected ones included, but not the copies of a line: AWS
        bills each image that a manifest names, and plans name none twice.
    :param result_lines: lines that are not blank.
    :param lost: images of a job that succeeded, with neither an error nor a line about them that can be read:
        for an image that it cannot take, Rekognition gives an error.
    """

    images: int = 0
    moderated: int = 0
    failed: int = 0
    not_attempted: int = 0
    superseded: int = 0
    billed: int = 0
    result_lines: int = 0
    malformed_lines: int = 0
    lost: int = 0


@dataclass(frozen=True, kw_only=True)
class Copied:
    """The rows of images that have copies, superseded or not.

    :param images: `schema.IMAGES`.
    :param labels: as in `Flattened`.
    """

    images: pa.Table
    labels: dict[tuple[int, str], pa.Table]


@dataclass(frozen=True, kw_only=True)
class Flattened:
    """The rows of one manifest, ready to be written.

    Text columns of few values are Arrow dictionaries; `tables.writer` writes them as plain strings.

    :param images: `schema.IMAGES`.
    :param labels: by level and content type, `schema.LABELS`; empty tables are left out.
    :param anomalies: to become rows of `schema.ANOMALIES`.
    :param copied: what copies get; None when there are none.
    """

    images: pa.Table
    labels: dict[tuple[int, str], pa.Table] = field(default_factory=dict)
    anomalies: tuple[Anomaly, ...] = ()
    counts: Counts = Counts()
    copied: Copied | None = None


def flatten_manifest(
    context: LoadContext,
    record: AnalysisRecord,
    inputs: pa.Table,
    *,
    blocks: Iterable[tuple[bytes | memoryview, int]] = (),
    summary: ManifestSummary | None = None,
    superseded: pa.Array | None = None,
) -> Flattened:
    """All rows of one manifest.

    :param record: the manifest's job.
    :param inputs: its images in manifest order, `plan.plan.INPUTS_SCHEMA`.
    :param blocks: the results file as `blocks.iter_blocks` cuts it; nothing when there is none.
    :param summary: the manifest summary; None when there is none.
    :param superseded: boolean, one an input: another load has published this image meanwhile, so it gets no
        row here; None for no such input.
    """
    answers = read_answers(blocks)
    errors = summary.errors if summary else ()
    sent = [arrays.joined(inputs.column(name)) for name in ("sent_as", "source_ref")]
    refs = arrays.kernels.call_function("coalesce", sent)
    state = reconcile(refs, arrays.joined(inputs.column("line_number")), answers, errors)
    keep = np.ones(len(refs), dtype=bool) if superseded is None else ~arrays.to_numpy(superseded)
    state.anomalies += _whole_file_anomalies(record, answers, state, summary)
    return _flattened(Manifest(context, record, inputs, answers, state, errors), keep)


def _flattened(manifest: Manifest, keep: np.ndarray) -> Flattened:
    state = manifest.state
    places = Places.of(manifest.answers.places)
    images = image_rows(manifest, places)
    lines_outcome = arrays.to_numpy(manifest.answers.lines.column("outcome"))
    has_copies = arrays.is_valid(manifest.inputs.column("copies"))
    copied = None
    if has_copies.any():
        copied = Copied(
            images=arrays.take(images, np.flatnonzero(has_copies)),
            labels=label_rows(manifest, places, has_copies),
        )
    return Flattened(
        copied=copied,
        images=images if keep.all() else arrays.take(images, np.flatnonzero(keep)),
        labels=label_rows(manifest, places, keep),
        anomalies=tuple(state.anomalies),
        counts=Counts(
            images=len(keep),
            moderated=int((state.moderated & keep).sum()),
            failed=int((state.failed & keep).sum()),
            not_attempted=int((~state.moderated & ~state.failed & keep).sum()),
            superseded=int((~keep).sum()),
            billed=int((lines_outcome == Outcome.ANSWERED).sum())
            - sum(anomaly.repeats for anomaly in state.anomalies),
            result_lines=len(lines_outcome),
            malformed_lines=int((lines_outcome > Outcome.NO_ANSWER).sum()),
            lost=int((_lost(manifest, lines_outcome) & keep).sum()),
        ),
    )


def _lost(manifest: Manifest, lines_outcome: np.ndarray) -> np.ndarray:
    """Mask of the inputs of which a job that succeeded says nothing that can be read."""
    state = manifest.state
    if manifest.record.status is not JobStatus.SUCCEEDED:
        return np.zeros(len(state.answer), dtype=bool)
    told = np.append(lines_outcome, Outcome.NOT_JSON)[state.bad_line] == Outcome.NO_ANSWER
    return ~state.moderated & (state.error < 0) & ~told


def flatten_rejected(context: LoadContext, inputs: pa.Table) -> Flattened:
    """Rows of images that were refused before anything was sent; they are failed and cost nothing.

    :param inputs: `plan.plan.INPUTS_SCHEMA` with ``error_code`` set.
    """
    size = inputs.num_rows
    return Flattened(images=rejected_rows(context, inputs), counts=Counts(images=size, failed=size))


def flatten_unplanned(
    context: LoadContext, record: AnalysisRecord, blocks: Iterable[tuple[bytes | memoryview, int]]
) -> Iterator[Flattened]:
    """Rows of a results file without a plan, block by block: of a job that somebody else started.

    There is nothing to reconcile with, so each line that names an image is its own input, under its own line
    number. Memory is that of one block, however long the file is.
    """
    for block in blocks:
        answers = read_answers([block])
        lines = answers.lines
        named = np.flatnonzero(arrays.is_valid(lines.column("source_ref")))
        outcome = arrays.to_numpy(lines.column("outcome"))
        answered = outcome[named] == Outcome.ANSWERED
        state = Reconciliation(
            answer=np.where(answered, named, -1),
            bad_line=np.where(answered, -1, named),
            error=np.full(len(named), -1, dtype=np.int64),
        )
        inputs = _lines_as_inputs(lines, named)
        malformed = np.flatnonzero(outcome > Outcome.NO_ANSWER)
        report_lines(state, lines, malformed, None)
        state.anomalies += _whole_file_anomalies(record, answers, state, None)
        yield _flattened(
            Manifest(context, record, inputs, answers, state, ()), np.ones(len(named), dtype=bool)
        )


def _lines_as_inputs(lines: pa.Table, rows: np.ndarray) -> pa.Table:
    """`plan.plan.INPUTS_SCHEMA` of the images that these lines name; text may be dictionaries."""
    named = lines.select(["source_ref", "line_number"])
    if len(rows) < lines.num_rows:
        named = arrays.take(named, rows)
    bucket, key = _bucket_and_key(arrays.joined(named.column("source_ref")))
    columns = {
        "source_ref": named.column("source_ref"),
        "bucket": bucket,
        "key": key,
        "line_number": named.column("line_number"),
    }
    return pa.table(
        [columns.get(entry.name, pa.nulls(len(rows), entry.type)) for entry in INPUTS_SCHEMA],
        names=INPUTS_SCHEMA.names,
    )


_NAMED_LINES = 20
"""Lines that an anomaly about many of them names."""

_S3_URI = r"^s3://(?P<bucket>[^/]+)/(?P<key>(?s:.*))$"


def _bucket_and_key(refs: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The parts of S3 URIs; both null for what is none."""
    first = re.match(_S3_URI, refs[0].as_py()) if len(refs) else None
    if first is not None:
        prefix = f"s3://{first['bucket']}/"
        options = arrays.kernels.MatchSubstringOptions(prefix)
        if arrays.to_numpy(arrays.kernels.call_function("starts_with", [refs], options)).all():
            # One bucket, as good as always: ten times as fast.
            options = arrays.kernels.ReplaceSliceOptions(0, len(prefix.encode()), b"")
            key = arrays.kernels.call_function("binary_replace_slice", [refs.view(pa.binary())], options)
            return arrays.constant(first["bucket"], len(refs)), key.view(pa.string())
    parts = arrays.kernels.call_function("extract_regex", [refs], arrays.kernels.ExtractRegexOptions(_S3_URI))
    return parts.field("bucket"), parts.field("key")


def _whole_file_anomalies(
    record: AnalysisRecord, answers: Answers, state: Reconciliation, summary: ManifestSummary | None
) -> Iterator[Anomaly]:
    if summary is not None and summary.fault is not None:
        yield Anomaly(kind=MALFORMED_SUMMARY, message=summary.fault, in_summary=True)
    if record.adapter is not None:
        yield from _of_other_models(record.adapter, answers, state)
    yield from _deeper_levels(answers)


def _of_other_models(adapter: str, answers: Answers, state: Reconciliation) -> Iterator[Anomaly]:
    """Answers that are not of the adapter that was asked: of the base model, or of yet another one."""
    told = arrays.joined(answers.lines.column("adapter"))
    texts = told.dictionary.to_pylist()
    settled = state.answer[state.moderated]
    used = arrays.codes(told.indices)[settled]
    is_base = ~np.array([*map(bool, texts), False])[used]
    is_right = np.array([*(text == adapter for text in texts), False])[used]
    for kind, mask, why in (
        (
            ADAPTER_IGNORED,
            is_base,
            "are the base model's, and published as such: AWS replaces an expired adapter",
        ),
        (OTHER_ADAPTER, ~is_base & ~is_right, "are another adapter's"),
    ):
        if mask.any():
            yield Anomaly(
                kind=kind,
                message=f"{mask.sum():,} of {len(used):,} answers do not come from {adapter}, they {why} "
                f"({_named_lines(answers, settled[mask])})",
            )


def _deeper_levels(answers: Answers) -> Iterator[Anomaly]:
    """What the tables have no level for: a model with more of them than `label_paths.DEEPEST`."""
    depths = np.array([place.depth for place in answers.places], dtype=np.int64)
    if not (depths > DEEPEST).any():
        return
    below = np.flatnonzero(depths[answers.label_place] > DEEPEST)
    deepest = answers.places[int(depths.argmax())]
    lines = np.unique(answers.label_line[below])
    yield Anomaly(
        kind=DEEPER_LEVEL,
        message=f"{len(below):,} labels stand below level {DEEPEST}, the deepest at level {deepest.depth} "
        f"({deepest.name!r}), in {len(lines):,} answers ({_named_lines(answers, lines)}): rows of "
        f"labels_l{DEEPEST} whose name is the label and whose l1 to l{DEEPEST} are the ancestors",
    )


def _named_lines(answers: Answers, lines: np.ndarray) -> str:
    numbers = np.sort(arrays.to_numpy(answers.lines.column("line_number"))[lines])
    named = ", ".join(map(str, numbers[:_NAMED_LINES].tolist()))
    return f"lines {named}{', …' if len(numbers) > _NAMED_LINES else ''}"
