from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition.jobs.store import Checkpoint, Job, LedgerEntry, Store
from local_aws.rekognition.wire.errors import ApiError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    yield made
    made.close()


def start(store: Store, job_id: str, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "entry": LedgerEntry("job_started", changes.pop("region", "us-east-1"), "AKID", job_id),
        "request": {"JobName": "n"},
        "token": None,
        "fingerprint": "f",
        "token_since": 0.0,
        "draw_faults": lambda: [],
        "open_limit": 100,
        "user_arn": "arn:aws:iam::123456789012:user/AKID",
        **changes,
    }
    return store.start_job(job_id=job_id, **values)


def test_the_same_token_and_request_give_the_same_job_and_one_ledger_entry(store: Store) -> None:
    first = start(store, "a", token="t")
    assert start(store, "b", token="t").job_id == first.job_id == "a"
    assert store.ledger_totals()["job_started"] == 1


def test_the_same_token_with_another_request_is_refused(store: Store) -> None:
    start(store, "a", token="t")
    with pytest.raises(ApiError, match="IdempotentParameterMismatchException"):
        start(store, "b", token="t", fingerprint="other")


def test_a_token_is_known_in_its_region_only_and_for_its_time(store: Store) -> None:
    first = start(store, "a", token="t")
    assert start(store, "b", token="t", region="eu-west-1").job_id == "b"
    assert start(store, "c", token="t", token_since=first.created_at + 1).job_id == "c"


def test_without_a_token_every_start_is_a_new_job(store: Store) -> None:
    assert {start(store, name).job_id for name in "abc"} == set("abc")


def test_the_limit_counts_open_jobs_of_the_region_and_a_known_token_passes_it(store: Store) -> None:
    start(store, "a", token="t", open_limit=1)
    with pytest.raises(ApiError, match="LimitExceededException"):
        start(store, "b", open_limit=1)
    assert start(store, "c", token="t", open_limit=1).job_id == "a"
    assert start(store, "d", open_limit=1, region="eu-west-1").job_id == "d"
    store.fail("a", "INTERNAL_ERROR", "m")
    assert start(store, "e", open_limit=1).job_id == "e"
    assert store.ledger_totals()["job_started"] == 3


def test_faults_are_drawn_only_for_a_job_that_is_really_new(store: Store) -> None:
    drawn: list[int] = []

    def draw() -> list[dict[str, Any]]:
        drawn.append(1)
        return [{"kind": "job_slow"}]

    assert start(store, "a", token="t", draw_faults=draw).faults == [{"kind": "job_slow"}]
    start(store, "b", token="t", draw_faults=draw)
    assert len(drawn) == 1


def test_a_checkpoint_and_what_it_bills_are_stored_together(tmp_path: Path, store: Store) -> None:
    start(store, "a")
    entries = [LedgerEntry("image_billed", "us-east-1", "AKID", "a", "n", f"s3://b/{n}", n) for n in range(3)]
    store.checkpoint("a", Checkpoint(line=3, offset=30, lines=3, valid=3, billed=3), entries)
    again = Store(tmp_path / "state.db")
    assert (again.job("a").offset, again.job("a").billed) == (30, 3)
    assert [entry["source_ref"] for entry in again.ledger(after=1, limit=10)] == [
        f"s3://b/{n}" for n in range(3)
    ]
    again.close()


def test_a_failed_transaction_leaves_nothing_behind(store: Store) -> None:
    start(store, "a")
    with pytest.raises(sqlite3.IntegrityError):
        start(store, "a")
    assert store.ledger_totals()["job_started"] == 1


@pytest.mark.parametrize("statement", ["UPDATE ledger SET event = 'x'", "DELETE FROM ledger"])
def test_the_ledger_cannot_be_changed(tmp_path: Path, store: Store, statement: str) -> None:
    start(store, "a")
    with (
        sqlite3.connect(tmp_path / "state.db") as other,
        pytest.raises(sqlite3.IntegrityError, match="append"),
    ):
        other.execute(statement)
    other.close()


def test_a_job_that_is_over_does_not_go_back_to_an_open_state(store: Store) -> None:
    start(store, "a")
    store.fail("a", "INTERNAL_ERROR", "m")
    store.advance("a", "IN_PROGRESS")
    assert store.job("a").status == "FAILED"


def test_jobs_are_listed_newest_first_a_page_at_a_time(store: Store) -> None:
    for name in "abcde":
        start(store, name)
    start(store, "x", region="eu-west-1")
    first = store.newest("us-east-1", before=None, limit=2)
    start(store, "f")
    second = store.newest("us-east-1", before=first[-1].seq, limit=2)
    assert [job.job_id for job in first + second] == ["e", "d", "c", "b"]
    assert len(store.newest(None, before=None, limit=10)) == 7
    assert store.newest("us-east-1", before=None, limit=10, since=first[0].created_at + 3600) == []


def test_a_job_is_found_in_its_region_only(store: Store) -> None:
    start(store, "a")
    assert store.find("us-east-1", "a", since=0) is not None
    assert store.find("eu-west-1", "a", since=0) is None
    with pytest.raises(KeyError):
        store.job("b")
