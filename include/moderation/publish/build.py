"""A plan and its jobs' answers to finished Parquet files on the local disk; nothing is published here."""

from __future__ import annotations

import datetime as dt
import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from moderation import schema
from moderation.analyse.record import AnalysisRecord, JobStatus
from moderation.errors import NeedsAPersonError
from moderation.flatten.blocks import iter_blocks
from moderation.flatten.flatten import Counts, Flattened, flatten_manifest, flatten_rejected
from moderation.flatten.reconcile import Anomaly
from moderation.flatten.rows import LoadContext
from moderation.flatten.summary import parse_summary
from moderation.plan import ledger
from moderation.plan.inputs import COPY, iter_manifests
from moderation.plan.ledger import Question
from moderation.plan.plan import Plan
from moderation.plan.price import tiers_of
from moderation.plan.store import check_file
from moderation.publish.copies import Copies, count_contents
from moderation.publish.raw_answers import RawAnswers, read_raw_answers
from moderation.reference import prices
from moderation.settings import Settings
from moderation.storage.files import Storage
from moderation.tables.outcomes import count_owed
from moderation.tables.writer import DataFile, LoadWriter

_LOAD_COUNTS = ("moderated", "failed", "not_attempted", "superseded", "billed", "manifests")


class RecordMismatchError(NeedsAPersonError, ValueError):
    """The job records are not those of the plan's manifests; the message names the manifest."""


@dataclass(frozen=True, kw_only=True)
class BuiltLoad:
    """The files of a load and what is in them.

    :param files: every table's but that of `loads`.
    :param digest: of plan, records, what was left out, and format; part of the file names, so that the same
        names always stand for the same bytes.
    :param totals: of the load's rows, by the names of the count columns of `schema.LOADS`.
    :param cost_usd: price of the billed images.
    :param mismatches: answers that are not those to the question, with the file they stand in: the first
        few, for messages.
    :param mismatch_count: all of them.
    :param owed: images that another run may still bring in.
    """

    files: tuple[DataFile, ...]
    digest: str
    totals: dict[str, int]
    cost_usd: float
    mismatches: tuple[tuple[str, Anomaly], ...]
    mismatch_count: int
    owed: int
    raw: RawAnswers
    lost: dict[str, int]


def complete_records(plan: Plan, records: Sequence[AnalysisRecord]) -> tuple[AnalysisRecord, ...]:
    """One record a manifest, in the plan's order; a manifest without record was not started.

    :raises RecordMismatchError: a record of no manifest, two of one, or another number of lines.
    """
    by_id = {record.manifest_id: record for record in records}
    if len(by_id) < len(records):
        twice = Counter(record.manifest_id for record in records).most_common(1)[0][0]
        raise RecordMismatchError(f"there are two job records of manifest {twice}; pass one of them")
    complete = []
    for manifest in plan.manifests:
        record = by_id.pop(manifest.manifest_id, None)
        if record is None:
            record = AnalysisRecord(
                manifest_id=manifest.manifest_id,
                manifest_uri=manifest.uri,
                lines=manifest.lines,
                backend=plan.backend,
                status=JobStatus.NOT_STARTED,
            )
        elif record.lines != manifest.lines:
            raise RecordMismatchError(
                f"the job record of manifest {manifest.manifest_id} speaks of {record.lines:,} lines and the "
                f"plan of {manifest.lines:,}; delete the record and run the analyse task again"
            )
        complete.append(record)
    if by_id:
        raise RecordMismatchError(
            f"the plan {plan.uri} has no manifest {min(by_id)}; pass the records of this plan"
        )
    return tuple(complete)


def build_load(
    settings: Settings,
    plan: Plan,
    records: Sequence[AnalysisRecord],
    *,
    storage: Storage,
    inputs_path: Path,
    spool: Path,
    meanwhile: pa.Table | None = None,
    costs: Mapping[str, float] | None = None,
) -> BuiltLoad:
    """Flatten every manifest and write all files of the load but the one of `loads`.

    :param records: as `complete_records` gives them.
    :param inputs_path: the plan's inputs, copied to the local disk.
    :param spool: empty local folder.
    :param meanwhile: rows (`ledger.COLUMNS`) of loads published since the plan was made, of images that are
        among the inputs: those that they answer get no row here.
    :param costs: US dollars that the manifests of these ids cost; the others go by the price list.
    """
    raw = read_raw_answers(storage.s3_client, plan)
    builder = _Builder(settings, plan, _digest(plan, records, meanwhile), meanwhile, costs or {}, raw)
    with (
        LoadWriter(spool, f"{plan.load_id}-{builder.digest}") as writer,
        _copies(plan, builder.context, storage, inputs_path) as copies,
    ):
        empty = [number for number, manifest in enumerate(plan.manifests) if not manifest.lines]
        manifests = iter_manifests(inputs_path, manifests=len(records), where=plan.inputs_uri, empty=empty)
        for number, inputs in manifests:
            if number is None:
                builder.add(writer, flatten_rejected(builder.context, inputs))
            elif number == COPY:
                builder.add_copies(copies, inputs)
            else:
                builder.add_manifest(writer, records[number], inputs, storage, copies)
        for flattened in copies.rows():
            builder.add(writer, flattened)
            builder.totals["copies"] += flattened.counts.moderated + flattened.counts.failed
        builder.write_jobs(writer)
        files = writer.finish()
    rows = Counter[str]()
    for data_file in files:
        rows[data_file.table] += data_file.rows
    tables = ("images", "labels_l1", "labels_l2", "labels_l3", "anomalies")
    return BuiltLoad(
        files=tuple(files),
        digest=builder.digest,
        totals={name: builder.totals[name] for name in (*_LOAD_COUNTS, "copies")}
        | {name: rows[name] for name in tables}
        | {"contents": count_contents([file.path for file in files if file.table == schema.IMAGES.name])},
        cost_usd=builder.cost_usd,
        mismatches=tuple(builder.mismatches),
        mismatch_count=builder.mismatch_count,
        owed=builder.owed,
        raw=raw,
        lost=dict(builder.lost),
    )


@contextmanager
def _copies(plan: Plan, context: LoadContext, storage: Storage, inputs_path: Path) -> Iterator[Copies]:
    """Where the plan's copies get their answers; those of earlier loads are there already."""
    with (
        tempfile.TemporaryDirectory(prefix="copies-", dir=inputs_path.parent) as folder,
        Copies(context, Path(folder)) as copies,
    ):
        paths = []
        for uri, digest in plan.known.items():
            path = Path(folder) / uri.rpartition("/")[2]
            storage.copy_to(uri, path)
            check_file(path, digest, uri)
            paths.append(path)
        if paths:
            copies.add_known(*paths)
        yield copies


def context_of(plan: Plan) -> LoadContext:
    """What all rows of the plan's load have in common."""
    return LoadContext(
        load_id=plan.load_id,
        dt=dt.date.fromisoformat(plan.dt),
        min_confidence=plan.min_confidence,
        adapter=plan.adapter,
        model_version=plan.model_version,
        base_model_version=plan.base_model_version or None,
    )


def load_row(plan: Plan, built: BuiltLoad) -> dict[str, Any]:
    """The load's row of `loads`, without the time of its publish."""
    totals = plan.totals
    return {
        "load_id": plan.load_id,
        "dt": dt.date.fromisoformat(plan.dt),
        "run_key": plan.run_key,
        "plan_number": plan.plan_number,
        "source": plan.source,
        "published_at": None,
        "min_confidence": plan.min_confidence,
        "adapter": plan.adapter,
        "model_version": plan.model_version,
        "listed": totals.listed,
        "ignored": totals.ignored,
        "already_moderated": totals.already_moderated,
        "cost_usd": built.cost_usd,
        "files": len(built.files),
        "bytes": sum(file.bytes for file in built.files),
        "digest": built.digest,
        "refused_before": totals.refused,
        **built.totals,
    }


def _digest(plan: Plan, records: Sequence[AnalysisRecord], meanwhile: pa.Table | None) -> str:
    digest = hashlib.sha256(f"{schema.FORMAT_VERSION}\n".encode())
    digest.update(plan.to_json())
    for record in records:
        digest.update(record.to_json())
    if meanwhile is not None and meanwhile.num_rows:
        digest.update(orjson.dumps(sorted(ledger.keys(meanwhile).drop_null().to_pylist())))
    return digest.hexdigest()[:12]


@dataclass
class _Builder:
    settings: Settings
    plan: Plan
    digest: str
    meanwhile: pa.Table | None
    costs: Mapping[str, float]
    raw: RawAnswers
    totals: Counter[str] = field(default_factory=Counter)
    mismatches: list[tuple[str, Anomaly]] = field(default_factory=list)
    mismatch_count: int = 0
    owed: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    cost_usd: float = 0.0

    def __post_init__(self) -> None:
        self.context = context_of(self.plan)
        self.question = Question(
            model_version=self.plan.model_version,
            adapter=self.plan.adapter,
            min_confidence=self.plan.min_confidence,
            retry_refused=self.plan.retries_refused,
        )

    def add_copies(self, copies: Copies, inputs: pa.Table) -> None:
        copies.add(inputs, self._superseded(inputs))

    def add_manifest(
        self, writer: LoadWriter, record: AnalysisRecord, inputs: pa.Table, storage: Storage, copies: Copies
    ) -> None:
        if inputs.num_rows != record.lines:
            raise RecordMismatchError(
                f"{self.plan.inputs_uri} has {inputs.num_rows:,} inputs of {record.manifest_id}, its "
                f"job record {record.lines:,}; plan the run again"
            )
        summary = parse_summary(storage.read(record.summary_uri)) if record.summary_uri else None
        superseded = self._superseded(inputs)
        if record.results_uri:
            with storage.open(record.results_uri) as stream:
                if stream.etag is not None:
                    self.raw.check(record, stream.etag)
                flattened = flatten_manifest(
                    self.context,
                    record,
                    inputs,
                    blocks=iter_blocks(stream),
                    summary=summary,
                    superseded=superseded,
                )
        else:
            flattened = flatten_manifest(self.context, record, inputs, summary=summary, superseded=superseded)
        if record.billed is not None:
            flattened = replace(flattened, counts=replace(flattened.counts, billed=record.billed))
        self.add(writer, flattened)
        if flattened.counts.lost:
            self.lost[record.results_uri or record.manifest_uri] = flattened.counts.lost
        if flattened.copied:
            copies.add_answers(flattened.copied.images, flattened.copied.labels)
        self._add_anomalies(writer, record, flattened.anomalies)
        self._add_job(record, flattened)

    def add(self, writer: LoadWriter, flattened: Flattened) -> None:
        writer.write(schema.IMAGES, flattened.images)
        for (level, _), rows in sorted(flattened.labels.items()):
            writer.write(schema.LABELS[level], rows)
        for name in _LOAD_COUNTS[:-1]:
            self.totals[name] += getattr(flattened.counts, name)
        self.owed += count_owed(flattened.images)

    def write_jobs(self, writer: LoadWriter) -> None:
        self.totals["manifests"] = len(self.jobs)
        if self.jobs:
            writer.write(schema.JOBS, pa.Table.from_pylist(self.jobs, schema.physical_schema(schema.JOBS)))

    def _superseded(self, inputs: pa.Table) -> pa.Array | None:
        if self.meanwhile is None or self.meanwhile.num_rows == 0:
            return None
        return ledger.already_moderated(inputs, self.meanwhile, question=self.question)

    def _add_anomalies(
        self, writer: LoadWriter, record: AnalysisRecord, anomalies: Sequence[Anomaly]
    ) -> None:
        for anomaly in anomalies:
            if anomaly.is_mismatch:
                self.mismatch_count += 1
                if len(self.mismatches) < _NAMED:
                    where = record.summary_uri if anomaly.in_summary else record.results_uri
                    self.mismatches.append((where or record.manifest_uri, anomaly))
        rows = [
            {
                "load_id": self.context.load_id,
                "dt": self.context.dt,
                "manifest_id": record.manifest_id,
                "file_uri": record.summary_uri if anomaly.in_summary else record.results_uri,
                **{name: getattr(anomaly, name) for name in _ANOMALY_FIELDS},
            }
            for anomaly in anomalies
        ]
        if rows:
            table = pa.Table.from_pylist(rows, schema.physical_schema(schema.ANOMALIES))
            writer.write(schema.ANOMALIES, table)

    def _add_job(self, record: AnalysisRecord, flattened: Flattened) -> None:
        counts: Counts = flattened.counts
        cost = self.costs.get(record.manifest_id)
        if cost is None:
            tiers = tiers_of(self.settings, record.adapter)
            before = self.totals["billed"] - counts.billed
            cost = float(prices.cost_usd(counts.billed, tiers=tiers, already_this_month=before))
        self.cost_usd += cost
        known = asdict(record) | asdict(counts)
        values = {name: known.get(name) for name in schema.JOBS.schema.names}
        self.jobs.append(
            values
            | {
                "load_id": self.context.load_id,
                "dt": self.context.dt,
                "status": str(record.status),
                "cost_usd": cost,
                "anomalies": len(flattened.anomalies),
            }
        )


_NAMED = 20
"""Mismatches that an error message names."""

_ANOMALY_FIELDS = ("line_number", "kind", "source_ref", "message", "raw")
