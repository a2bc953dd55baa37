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
from moderation.plan.plan import PlanError
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.state import parse_state, read_state, seal
from support.fake_s3 import FakeS3
from support.planned_runs import make_plan

SETTINGS = replace(Settings.from_env({}), work_uri="s3://work")
PLAN = make_plan(backend="auto")
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


def test_a_state_file_that_is_not_there_says_nothing(s3: FakeS3) -> None:
    assert read_state(s3, "s3://work/a.json", parse=dict, error=PlanError, remedy="delete it") is None


@pytest.mark.parametrize(
    ("content", "fault"), [({}, "it has no 'at'"), ({"at": 3}, "must be str"), ({"at": "soon"}, "soon")]
)
def test_a_state_file_of_another_content_is_named_with_what_it_lacks(
    content: dict[str, Any], fault: str
) -> None:
    with pytest.raises(PlanError, match=f"s3://work/a.json is damaged: .*{fault}.*; delete it"):
        parse_state(
            seal(content),
            "s3://work/a.json",
            parse=lambda found: datetime.fromisoformat(found["at"]),
            error=PlanError,
            remedy="delete it",
        )
