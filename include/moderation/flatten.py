"""The answers to one manifest as rows of every table, with all inputs accounted for.

A manifest is the unit of memory: AWS limits it to 10,000 images, so an archive of any size is flattened in
the memory of one manifest. Row order is the inputs' order, whatever order the results file has, and depends
on nothing else: equal inputs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from moderation.answers import Answers, read_answers
from moderation.parse import Outcome
from moderation.plan_files import INPUTS_SCHEMA
from moderation.reconcile import (
    ADAPTER_IGNORED,
    MALFORMED_SUMMARY,
    Anomaly,
    Reconciliation,
    reconcile,
)
from moderation.results import AnalysisRecord, ManifestSummary
from moderation.rows import LoadContext, Manifest, image_rows, label_rows, rejected_rows


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of a manifest's images, and what its files held.

    ``images = moderated + failed + not_attempted + superseded``.

    :param billed: answers in the results file, repeated and unexpected ones included: AWS bills each.
    :param result_lines: lines that are not blank.
    """

    images: int = 0
    moderated: int = 0
    failed: int = 0
    not_attempted: int = 0
    superseded: int = 0
    billed: int = 0
    result_lines: int = 0
    malformed_lines: int = 0


@dataclass(frozen=True, kw_only=True)
class Flattened:
    """The rows of one manifest, ready to be written.

    Text columns of few values are Arrow dictionaries; `moderation.tables` writes them as plain strings.

    :param images: `schema.IMAGES`.
    :param labels: by level and content type, `schema.LABELS`; empty tables are left out.
    :param anomalies: to become rows of `schema.ANOMALIES`.
    """

    images: pa.Table
    labels: dict[tuple[int, str], pa.Table] = field(default_factory=dict)
    anomalies: tuple[Anomaly, ...] = ()
    counts: Counts = Counts()


def flatten_manifest(
    context: LoadContext,
    record: AnalysisRecord,
    inputs: pa.Table,
    *,
    blocks: Iterable[tuple[bytes, int]] = (),
    summary: ManifestSummary | None = None,
    superseded: pa.Array | None = None,
) -> Flattened:
    """All rows of one manifest.

    :param record: the manifest's job.
    :param inputs: its images in manifest order, `moderation.plan_files.INPUTS_SCHEMA`.
    :param blocks: the results file as `moderation.blocks.iter_blocks` cuts it; nothing when there is none.
    :param summary: the manifest summary; None when there is none.
    :param superseded: boolean, one an input: another load has published this image meanwhile, so it gets no
        row here; None for no such input.
    """
    answers = read_answers(blocks)
    errors = summary.errors if summary else ()
    refs = inputs.column("source_ref").combine_chunks()
    state = reconcile(refs, inputs.column("line_number").combine_chunks(), answers, errors)
    keep = (
        np.ones(len(refs), dtype=bool)
        if superseded is None
        else ~superseded.to_numpy(zero_copy_only=False).astype(bool)
    )
    manifest = Manifest(context, record, inputs, answers, state, errors)
    images = image_rows(manifest)
    lines_outcome = answers.lines.column("outcome").to_numpy()
    anomalies = [*state.anomalies, *_whole_file_anomalies(record, answers, state, summary)]
    return Flattened(
        images=images if keep.all() else images.filter(pa.array(keep)),
        labels=label_rows(manifest, keep),
        anomalies=tuple(anomalies),
        counts=Counts(
            images=len(refs),
            moderated=int((state.moderated & keep).sum()),
            failed=int((state.failed & keep).sum()),
            not_attempted=int((~state.moderated & ~state.failed & keep).sum()),
            superseded=int((~keep).sum()),
            billed=int((lines_outcome == Outcome.ANSWERED).sum()),
            result_lines=len(lines_outcome),
            malformed_lines=int((lines_outcome > Outcome.NO_ANSWER).sum()),
        ),
    )


def flatten_rejected(context: LoadContext, inputs: pa.Table) -> Flattened:
    """Rows of images that were refused before anything was sent; they are failed and cost nothing.

    :param inputs: `moderation.plan_files.INPUTS_SCHEMA` with ``error_code`` set.
    """
    size = inputs.num_rows
    return Flattened(images=rejected_rows(context, inputs), counts=Counts(images=size, failed=size))


def flatten_unplanned(
    context: LoadContext, record: AnalysisRecord, blocks: Iterable[tuple[bytes, int]]
) -> Iterator[Flattened]:
    """Rows of a results file without a plan, block by block: of a job that somebody else started.

    There is nothing to reconcile with, so each line that names an image is its own input, under its own line
    number. Memory is that of one block, however long the file is.
    """
    for block in blocks:
        lines = read_answers([block]).lines
        named = lines.filter(pc.is_valid(lines.column("source_ref")))
        refs = named.column("source_ref")
        parts = pc.extract_regex(refs, r"^s3://(?P<bucket>[^/]+)/(?P<key>(?s:.*))$").combine_chunks()
        columns = {
            "source_ref": refs,
            "bucket": parts.field("bucket"),
            "key": parts.field("key"),
            "line_number": named.column("line_number"),
        }
        inputs = pa.table(
            [columns.get(entry.name, pa.nulls(named.num_rows, entry.type)) for entry in INPUTS_SCHEMA],
            schema=INPUTS_SCHEMA,
        )
        yield flatten_manifest(context, record, inputs, blocks=[block])


def _whole_file_anomalies(
    record: AnalysisRecord, answers: Answers, state: Reconciliation, summary: ManifestSummary | None
) -> Iterator[Anomaly]:
    if summary is not None and summary.fault is not None:
        yield Anomaly(kind=MALFORMED_SUMMARY, message=summary.fault, in_summary=True)
    if record.adapter is not None:
        used = answers.lines.column("adapter").take(pa.array(state.answer[state.moderated]))
        ignored = len(used) - (pc.sum(pc.equal(used, record.adapter)).as_py() or 0)
        if ignored:
            yield Anomaly(
                kind=ADAPTER_IGNORED,
                message=f"{ignored:,} of {len(used):,} answers do not come from {record.adapter}: "
                "an expired adapter is silently replaced by the base model",
            )
