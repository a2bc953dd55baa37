from __future__ import annotations

from datetime import UTC, datetime

import pytest

from moderation.analyse.record import AnalysisRecord, JobStatus, RecordError
from moderation.storage.state import seal, unseal

RECORD = AnalysisRecord(
    manifest_id="m00000-0123456789ab",
    manifest_uri="s3://work/m.jsonl",
    lines=3,
    backend="bulk",
    status=JobStatus.FAILED,
    job_id="job",
    adapter="arn:aws:rekognition:x",
    min_confidence=50.5,
    started_at=datetime(2026, 11, 22, 2, 0, tzinfo=UTC),
    completed_at=datetime(2026, 11, 22, 2, 0, 0, 123456, tzinfo=UTC),
    failure_code="INVALID_MANIFEST",
    failure_message="empty",
)


def test_a_record_survives_storage():
    assert AnalysisRecord.from_json(RECORD.to_json(), where="x") == RECORD


def test_keys_of_a_later_release_are_ignored():
    data = seal(unseal(RECORD.to_json()) | {"new_in_2027": [1]})
    assert AnalysisRecord.from_json(data, where="x") == RECORD


@pytest.mark.parametrize(
    "change",
    [
        {"status": "DONE"},
        {"lines": -1},
        {"lines": "3"},
        {"manifest_id": None},
        {"job_id": 7},
        {"completed_at": "yesterday"},
        {"min_confidence": "50"},
    ],
    ids=str,
)
def test_a_damaged_record_is_named_with_its_remedy(change):
    data = seal(unseal(RECORD.to_json()) | change)
    with pytest.raises(RecordError, match=r"s3://work/r\.json is damaged: .*clear the publish task"):
        AnalysisRecord.from_json(data, where="s3://work/r.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"{}", b'"x"', b"\xff"])
def test_what_is_no_record_is_named(data):
    with pytest.raises(RecordError, match="is damaged"):
        AnalysisRecord.from_json(data, where="x")
