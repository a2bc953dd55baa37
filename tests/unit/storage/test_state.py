"""Small files that a run goes by: one wrong byte of them is noticed; the error names file and remedy."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from moderation.analyse import backend
from moderation.analyse.backend import Choice
from moderation.analyse.detect.eligibility import Memory, Verdict
from moderation.analyse.record import AnalysisRecord, JobStatus, RecordError
from moderation.plan import claims, stop_note
from moderation.plan.plan import Plan, PlanError, Totals
from moderation.settings import Settings
from moderation.storage import s3_objects
from support.fake_s3 import FakeS3

SETTINGS = replace(Settings.from_env({}), work_uri="s3://work")
PLAN = Plan(
    uri="s3://work/runs/r/plan-001/plan.json",
    run_key="r",
    plan_number=1,
    load_id="20261122T020000Z-4f1c0a9b77de",
    dt="2026-11-22",
    source="s3://photos/",
    min_confidence=50.0,
    adapter=None,
    model_version="7.0",
    force=False,
    backend="auto",
    created_at="2026-11-22T02:00:00+00:00",
    inputs_uri="s3://work/runs/r/plan-001/inputs.parquet",
    inputs_sha256="0" * 64,
    totals=Totals(
        listed=1,
        ignored=0,
        already_moderated=0,
        claimed_elsewhere=0,
        postponed=0,
        rejected=0,
        to_analyse=1,
    ),
    expected_cost_usd=0.001,
    expected_seconds={},
    manifests=(),
)
RECORD = AnalysisRecord(
    manifest_id="m00000-0123456789ab",
    manifest_uri="s3://work/m.jsonl",
    lines=3,
    backend="bulk",
    status=JobStatus.SUCCEEDED,
    job_id="job",
    min_confidence=50.5,
    completed_at=datetime(2026, 11, 22, 2, 0, 0, 123456, tzinfo=UTC),
)
CHOICE = Choice(backend="bulk", reason="AWS said: „no“", detect=("m00001-0123456789ab",))


@pytest.fixture
def s3() -> FakeS3:
    return FakeS3()


def damaged(body: bytes) -> Any:
    """The body with each byte changed in three ways, and cut off at each place."""
    for position in range(len(body)):
        for mask in (0x01, 0x20, 0xFF):
            changed = bytearray(body)
            changed[position] ^= mask
            yield bytes(changed)
        yield body[:position]


def check(s3: FakeS3, uri: str, read: Callable[[], Any], error: type[Exception], remedy: str) -> None:
    whole = s3_objects.read(s3, uri).body
    read()
    for body in damaged(whole):
        s3_objects.put(s3, uri, body)
        with pytest.raises(error, match=f"(?s){re.escape(uri)}.*{remedy}"):
            read()


def test_damage_to_the_chosen_backend_is_named(s3: FakeS3) -> None:
    backend._write(PLAN, CHOICE, s3=s3)
    assert backend.read_choice(PLAN, s3=s3) == CHOICE
    uri = f"{PLAN.folder_uri}/backend.json"
    check(s3, uri, lambda: backend.read_choice(PLAN, s3=s3), PlanError, "delete it and clear the task plan")


def test_damage_to_the_record_of_a_manifest_is_named(s3: FakeS3) -> None:
    uri = PLAN.analysis_record_uri(RECORD.manifest_id)
    s3_objects.put(s3, uri, RECORD.to_json())

    def read() -> AnalysisRecord:
        return AnalysisRecord.from_json(s3_objects.read(s3, uri).body, where=uri)

    assert read() == RECORD
    check(s3, uri, read, RecordError, "delete it and clear the publish task")


def test_damage_to_the_note_why_a_run_stopped_is_named(s3: FakeS3) -> None:
    stop_note.note_stop(PLAN, "too expensive: 9 €", s3=s3)
    assert stop_note.stop_reason(PLAN, s3=s3) == "too expensive: 9 €"
    uri = f"{PLAN.folder_uri}/stopped.json"
    check(s3, uri, lambda: stop_note.stop_reason(PLAN, s3=s3), PlanError, "delete it")


def test_damage_to_a_claim_is_named(s3: FakeS3) -> None:
    claims.write(s3, SETTINGS, PLAN)
    assert claims.is_held(s3, SETTINGS, PLAN)
    uri = claims.uri_of(SETTINGS, PLAN)
    check(s3, uri, lambda: claims.is_held(s3, SETTINGS, PLAN), PlanError, "delete it if no run is under way")


def test_a_damaged_memory_of_the_account_is_told_and_forgotten(
    s3: FakeS3, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory(s3, "s3://work/account", "eu-west-1")
    verdict = memory.learn(Verdict(eligible=False, reason="closed to new customers"))
    assert memory.recall() == verdict
    whole = s3_objects.read(s3, memory.uri).body
    for body in damaged(whole):
        s3_objects.put(s3, memory.uri, body)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert memory.recall() is None
        assert memory.uri in caplog.text
