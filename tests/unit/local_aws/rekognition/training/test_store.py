"""Projects and versions as they are stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from local_aws.inference.adapters.learned import Head, LearnedAdapter
from local_aws.rekognition.adapters import AdapterBook
from local_aws.rekognition.jobs.store import LedgerEntry, Store
from local_aws.rekognition.training.store import LearnedDamaged, ProjectStore, Version
from local_aws.rekognition.wire.errors import ApiError

ACCOUNT = "123456789012"
ADAPTER = LearnedAdapter(np.zeros(4), np.ones(4), {"Gambling": Head(np.ones(4), 1.0, 0.5)})


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "rekognition.db")
    yield store
    store.close()


@pytest.fixture
def clock() -> list[float]:
    return [1_800_000_000.0]


@pytest.fixture
def projects(file: Store, clock: list[float]) -> ProjectStore:
    return ProjectStore(file, clock=lambda: clock[0])


def make(projects: ProjectStore, name: str = "v", region: str = "us-east-1") -> Version:
    known = [one.arn for one in projects.projects()]
    project = known[0] if known else projects.create_project(
        name="p", region=region, account=ACCOUNT, feature="CONTENT_MODERATION", auto_update="ENABLED",
        tags={}, limit=9,
    ).arn  # fmt: skip
    return projects.create_version(
        project, name=name, region=region, account=ACCOUNT, request={}, tags={},
        entry=LedgerEntry("training_started", region, "KEY"), base_model_version="offline", limit=9,
        running_limit=9,
    )  # fmt: skip


def test_each_version_is_of_a_time_of_its_own(projects: ProjectStore) -> None:
    born = [make(projects, name).born for name in ("a", "b", "c")]
    assert born == sorted(set(born))


def test_a_training_ends_once_and_is_billed_once(projects: ProjectStore, file: Store) -> None:
    version = make(projects)
    projects.complete(version.arn, result={"f1_score": 1.0}, billable_seconds=7, learned=b"x")
    projects.complete(version.arn, result={"f1_score": 0.0}, billable_seconds=9, learned=b"y")
    projects.fail(version.arn, "too late")
    found = projects.version(version.arn)
    assert (found.status, found.billable_seconds, found.result) == (
        "TRAINING_COMPLETED", 7, {"f1_score": 1.0},
    )  # fmt: skip
    assert file.ledger_totals()["training_billed"] == 1


@pytest.mark.parametrize("damage", ["lost", "truncated", "one bit"])
def test_what_was_learnt_and_then_damaged_answers_nothing(
    projects: ProjectStore, tmp_path: Path, damage: str
) -> None:
    """Never the base model's answer with the adapter's name on it."""
    version = make(projects)
    whole = ADAPTER.to_bytes()
    projects.complete(version.arn, result={}, billable_seconds=1, learned=whole)
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 1
    left = {"lost": None, "truncated": whole[:-9], "one bit": bytes(flipped)}[damage]
    with sqlite3.connect(tmp_path / "rekognition.db") as database:
        database.execute("UPDATE versions SET learned = ?", (left,))
    database.close()
    book = AdapterBook({}, projects)
    assert book.answering(version.arn) == version.arn
    with pytest.raises(LearnedDamaged, match="delete the version and train another"):
        book.learned(version.arn)
    projects.delete_version(version.arn, lasting=0.0)


def test_what_is_deleted_is_seen_for_a_while_and_its_name_is_free_after_it(
    projects: ProjectStore, clock: list[float]
) -> None:
    version = make(projects)
    projects.fail(version.arn, "why")
    projects.delete_version(version.arn, lasting=5.0)
    assert projects.status(version.arn) == "DELETING"
    with pytest.raises(ApiError, match="ResourceInUse"):
        make(projects)
    clock[0] += 5
    assert projects.find(version.arn) is None
    assert make(projects).name == "v"


def test_states_change_together_or_not_at_all(projects: ProjectStore) -> None:
    version, training = make(projects), make(projects, "other")
    projects.complete(version.arn, result={}, billable_seconds=1, learned=ADAPTER.to_bytes())
    with pytest.raises(ValueError, match="no version"):
        projects.set_statuses({version.arn: "EXPIRED", training.arn: "EXPIRED"})
    assert projects.status(version.arn) == "TRAINING_COMPLETED"
    projects.set_statuses({version.arn: "EXPIRED"})
    assert AdapterBook({}, projects).answering(version.arn) is None
