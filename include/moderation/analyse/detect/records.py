"""The detect backend's side of an analysis record: what became of each manifest of a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from moderation.analyse.bulk import record_without_job
from moderation.analyse.detect.request import DetectOptions, DetectRequest
from moderation.analyse.detect.run import settle_manifest
from moderation.analyse.record import AnalysisRecord
from moderation.plan.plan import ManifestRef, Plan

BACKEND = "detect"


def request_of(plan: Plan, manifest: ManifestRef) -> DetectRequest:
    """What the analyse task of a manifest asks for."""
    return DetectRequest(
        manifest_uri=manifest.uri,
        output_uri=f"s3://{manifest.output_bucket}/{manifest.output_prefix}",
        min_confidence=plan.min_confidence,
        project_version=plan.adapter,
    )


def collect_records(plan: Plan, *, s3: Any, options: DetectOptions | None = None) -> list[AnalysisRecord]:
    """Return one record a manifest, in the plan's order; needs nothing that the tasks returned.

    A manifest whose task failed half-way is settled: its answers are paid for and are published, its other
    images are left to the next run.

    :raises OwnedElsewhere: a task still works on a manifest; publish again when it has ended.
    """
    records = []
    for manifest in plan.manifests:
        outcome = settle_manifest(request_of(plan, manifest), s3=s3, options=options)
        if outcome:
            records.append(outcome.to_record(manifest.manifest_id))
        else:
            reason = "no image was answered; clear the analyse task to try again"
            records.append(replace(record_without_job(plan, manifest, reason), backend=BACKEND))
    return records
