"""Plans with answered jobs, laid into S3 as plan and backends leave them, and the rows they must become."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moderation.analyse.record import AnalysisRecord, JobStatus
from moderation.flatten.rows import LoadContext
from moderation.plan.plan import INPUTS_SCHEMA, ManifestRef, Plan, Totals
from moderation.settings import Settings

CREATED = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
COMPLETED = datetime(2026, 11, 22, 2, 30, tzinfo=UTC)


CONTEXT = LoadContext(
    load_id="20261122T020000Z-4f1c0a9b77de",
    dt=date(2026, 11, 22),
    min_confidence=50.0,
    adapter=None,
    model_version="7.0",
)
RECORD = AnalysisRecord(
    manifest_id="m00000-0123456789ab",
    manifest_uri="s3://work/m",
    lines=1,
    backend="bulk",
    status=JobStatus.SUCCEEDED,
    job_id="job-1",
    model_version="7.0",
    min_confidence=50.0,
    completed_at=COMPLETED,
)


def make_manifest(manifest_id: str, uri: str, lines: int = 1) -> ManifestRef:
    """A manifest as a plan names it."""
    return ManifestRef(
        manifest_id=manifest_id,
        uri=uri,
        lines=lines,
        bytes=1,
        job_name="job",
        output_bucket="work",
        output_prefix=f"out/{manifest_id}/",
    )


def make_plan(manifests: Sequence[ManifestRef] = (), *, rejected: int = 0, **changes: Any) -> Plan:
    """A plan of these manifests; ``changes`` replaces fields."""
    to_analyse = sum(manifest.lines for manifest in manifests)
    listed = to_analyse + rejected
    made = Plan(
        uri="s3://work/runs/r/plan-001/plan.json",
        run_key="r",
        plan_number=1,
        load_id=CONTEXT.load_id,
        dt="2026-11-22",
        source="s3://archive/",
        min_confidence=50.0,
        adapter=None,
        model_version="7.0",
        force=False,
        backend="bulk",
        created_at=CREATED.isoformat(),
        inputs_uri="s3://work/runs/r/plan-001/inputs.parquet",
        inputs_sha256="0" * 64,
        totals=Totals(
            listed=listed,
            ignored=0,
            already_moderated=0,
            claimed_elsewhere=0,
            postponed=0,
            rejected=rejected,
            to_analyse=to_analyse,
        ),
        expected_cost_usd=0.001 * listed,
        expected_seconds={},
        manifests=tuple(manifests),
    )
    return replace(made, **changes)


def label(name: str, parent: str = "", level: int | None = 1, confidence: float = 90.0) -> dict[str, Any]:
    """One entry of ModerationLabels; without TaxonomyLevel when ``level`` is None."""
    entry: dict[str, Any] = {"Name": name, "ParentName": parent, "Confidence": confidence}
    return entry if level is None else entry | {"TaxonomyLevel": level}


def weapon_violence(confidence: float = 99.86129760742188) -> list[dict[str, Any]]:
    """A whole chain, child first, as Rekognition lists it."""
    return [
        label("Weapon Violence", "Graphic Violence", 3, confidence),
        label("Graphic Violence", "Violence", 2, confidence),
        label("Violence", "", 1, confidence),
    ]


def content_types(**confidences: float) -> list[dict[str, Any]]:
    """ContentTypes from keywords such as ``Animated=72.5``."""
    return [{"Name": name, "Confidence": value} for name, value in confidences.items()]


def answer(labels: Sequence[Mapping[str, Any]] = (), *, model: str = "7.0", **more: Any) -> dict[str, Any]:
    """An answer of DetectModerationLabels; ``more`` adds or replaces members."""
    return {"ModerationLabels": list(labels), "ModerationModelVersion": model, "ContentTypes": []} | more


def line(source_ref: str, body: Any) -> bytes:
    """A results line."""
    return json.dumps({"source-ref": source_ref, "detect-moderation-labels": body}).encode()


def inputs_table(
    source_refs: Sequence[str],
    *,
    manifest: int | None = 0,
    etag: str = "e1",
    code: str | None = None,
    origins: Mapping[str, str] = MappingProxyType({}),
) -> pa.Table:
    """Inputs of one manifest, or rejected ones when ``manifest`` is None.

    :param origins: the paths of images, by source ref; those without are known by that.
    """
    rows = [
        {
            "source_ref": ref,
            "bucket": ref.removeprefix("s3://").partition("/")[0],
            "key": ref.removeprefix("s3://").partition("/")[2],
            "etag": etag,
            "size": 1000 + number,
            "last_modified": datetime(2026, 1, 1, tzinfo=UTC),
            "manifest": manifest,
            "line_number": None if manifest is None else number,
            "error_code": code,
            "error_message": None if code is None else f"{code} in words",
            "origin": origins.get(ref),
        }
        for number, ref in enumerate(source_refs, start=1)
    ]
    return pa.Table.from_pylist(rows, INPUTS_SCHEMA)


@dataclass
class Run:
    """A plan under construction: give it manifests, then `store` it.

    :param name: makes load id and run key; two runs need two names.
    """

    settings: Settings
    s3: Any
    name: str = "run-a"
    adapter: str | None = None
    force: bool = False
    created_at: datetime = CREATED
    tables: list[pa.Table] = field(default_factory=list)
    records: list[AnalysisRecord] = field(default_factory=list)

    @property
    def load_id(self) -> str:
        """As the plan has it."""
        return f"20261122T020000Z-{hashlib.sha256(self.name.encode()).hexdigest()[:12]}"

    def manifest(
        self,
        source_refs: Sequence[str],
        results: bytes | None = None,
        *,
        summary: Any = None,
        etag: str = "e1",
        origins: Mapping[str, str] = MappingProxyType({}),
        **record: Any,
    ) -> AnalysisRecord:
        """Add a manifest and what its job left; ``record`` replaces fields of the record."""
        number = len(self.records)
        manifest_id = f"m{number:05d}-{hashlib.sha256(repr(source_refs).encode()).hexdigest()[:12]}"
        self.tables.append(inputs_table(source_refs, manifest=number, etag=etag, origins=origins))
        made = AnalysisRecord(
            manifest_id=manifest_id,
            manifest_uri=f"{self._folder}/manifests/{manifest_id}.jsonl",
            lines=len(source_refs),
            backend="bulk",
            status=JobStatus.SUCCEEDED,
            job_id=f"job-{self.name}-{number}",
            results_uri=None if results is None else self._put(f"{manifest_id}/results.jsonl", results),
            summary_uri=None
            if summary is None
            else self._put(f"{manifest_id}/summary.json", json.dumps(summary).encode()),
            model_version="7.0",
            adapter=self.adapter,
            min_confidence=50.0,
            started_at=CREATED,
            completed_at=COMPLETED,
        )
        self.records.append(replace(made, **record))
        return self.records[-1]

    def reject(self, source_refs: Sequence[str], code: str) -> None:
        """Add inputs that the plan refused."""
        self.tables.append(inputs_table(source_refs, manifest=None, code=code))

    def store(self) -> Plan:
        """Write inputs and ``plan.json``."""
        inputs = pa.concat_tables([INPUTS_SCHEMA.empty_table(), *self.tables])
        file = io.BytesIO()
        pq.write_table(inputs, file, row_group_size=10_000)  # as a plan writes it
        rejected = inputs.column("manifest").null_count
        plan = make_plan(
            [make_manifest(record.manifest_id, record.manifest_uri, record.lines) for record in self.records],
            rejected=rejected,
            uri=f"{self._folder}/plan.json",
            run_key=self.name,
            load_id=self.load_id,
            adapter=self.adapter,
            force=self.force,
            created_at=self.created_at.isoformat(),
            inputs_uri=self._put("inputs.parquet", file.getvalue()),
            inputs_sha256=hashlib.sha256(file.getvalue()).hexdigest(),
        )
        self._put("plan.json", plan.to_json())
        return plan

    @property
    def _folder(self) -> str:
        return f"{self.settings.work_uri}/runs/{self.name}/plan-001"

    def _put(self, name: str, body: bytes) -> str:
        uri = f"{self._folder}/{name}"
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.s3.put_object(Bucket=bucket, Key=key, Body=body)
        return uri


def make_settings(folder: Path, bucket: str, *, tables: str) -> Settings:
    """Settings whose work lies in the bucket and whose tables are ``s3`` or ``local``."""
    return Settings(
        work_uri=f"s3://{bucket}/work",
        tables_uri=f"s3://{bucket}/tables" if tables == "s3" else str(folder / "tables"),
        catalog_uri=f"sqlite:///{folder / 'catalog.db'}",
        warehouse_path=folder / "warehouse.duckdb",
    )
