"""What publishing is told of each manifest, whatever became of its task."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from moderation.analyse.detect.errors import DetectDenied
from moderation.analyse.detect.records import collect_records, request_of
from moderation.analyse.detect.run import settle_manifest
from moderation.analyse.record import JobStatus
from support.detect import Workbench
from support.rekognition_server import faults

EXPIRED = {
    "kind": "error",
    "operation": "DetectModerationLabels",
    "code": "ExpiredTokenException",
    "message": "over",
    "skip": 6,
}


def plan_of(bench: Workbench, count: int) -> Any:
    """As much of a plan as records are made from."""
    manifests = []
    for n in range(count):
        bench.request(bench.upload(10, prefix=f"p{n}"), name=f"m{n}")
        manifests.append(
            SimpleNamespace(
                manifest_id=f"m{n:05d}-abc",
                uri=f"s3://{bench.bucket}/m{n}.jsonl",
                lines=10,
                output_bucket=bench.bucket,
                output_prefix=f"out/m{n}/",
            )
        )
    return SimpleNamespace(manifests=manifests, min_confidence=50, adapter=None)


def test_done_half_done_and_untouched_manifests_each_get_their_record(bench: Workbench) -> None:
    plan = plan_of(bench, 3)
    bench.run(request_of(plan, plan.manifests[0]))
    with faults(bench.server, EXPIRED), pytest.raises(DetectDenied):
        bench.run(request_of(plan, plan.manifests[1]), max_in_flight=1)
    paid = bench.paid()

    done, half, untouched = collect_records(plan, s3=bench.s3, options=bench.options())

    assert [record.status for record in (done, half, untouched)] == [
        JobStatus.SUCCEEDED,
        JobStatus.SUCCEEDED,
        JobStatus.NOT_STARTED,
    ]
    assert {record.backend for record in (done, half, untouched)} == {"detect"}
    outcome = settle_manifest(request_of(plan, plan.manifests[1]), s3=bench.s3, options=bench.options())
    assert outcome is not None
    assert (outcome.billed, outcome.failed, outcome.failed_transient) == (6, 4, 4)
    assert {entry["code"] for entry in bench.summary(outcome)["errors"]} == {"NotAttempted"}
    assert bench.paid() == paid, "settling calls nothing"
    assert not list(bench.spool.glob("*.spool"))


def test_an_untouched_manifest_can_still_be_run_after_it_was_looked_at(bench: Workbench) -> None:
    plan = plan_of(bench, 1)
    collect_records(plan, s3=bench.s3, options=bench.options())
    assert bench.run(request_of(plan, plan.manifests[0])).billed == 10
    assert collect_records(plan, s3=bench.s3, options=bench.options())[0].status is JobStatus.SUCCEEDED
