"""Training sets in a real S3: from the images as they are, once, until somebody is to be forgotten."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.client import BaseClient

from moderation.adapters.sets import images, store
from moderation.adapters.sets.decided import Decided
from moderation.adapters.sets.training_set import TESTING, TRAINING
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.variables.adapters import AdapterSettings
from support.decisions import picture, seen
from support.killed import Killed

RULE = AdapterSettings(min_false_negatives=4, test_positives=2, test_negatives=2)


@pytest.fixture
def settings(aws_env: pytest.MonkeyPatch, bucket: str) -> Settings:
    return Settings(work_uri=f"s3://{bucket}/work", region="us-east-1", inspect_threads=4)


@pytest.fixture
def decided(s3_client: Any, bucket: str) -> list[Decided]:
    return [
        *(seen(s3_client, bucket, f"card-{n}.png", "present") for n in range(8)),
        *(seen(s3_client, bucket, f"tree-{n}.png", "absent") for n in range(8)),
    ]


def lines(s3: Any, uri: str) -> list[str]:
    return [json.loads(line)["source-ref"] for line in s3_objects.iter_lines(s3, uri)]


def made(settings: Settings, decided: list[Decided]) -> store.StoredSet:
    return store.make(settings, "cards", decided, labels=["gambling"], rule=RULE)


def test_the_same_verdicts_find_the_set_that_is_there(
    settings: Settings, decided: list[Decided], s3_client: Any
) -> None:
    first, second = made(settings, decided), made(settings, decided[::-1])
    assert first.uri == second.uri
    assert store.load(settings, first.uri) == second
    assert sorted(lines(s3_client, first.training_uri) + lines(s3_client, first.testing_uri)) == sorted(
        {entry.source_ref for entry in decided}
        - {e.source_ref for e in decided if e.content in first.contents.left_out}
    )
    assert {v for p in first.contents.pictures for v in p.verdicts} <= {
        v for e in decided for v in e.verdicts
    }


def test_an_image_that_changed_or_is_gone_is_left_out_and_named(
    settings: Settings, decided: list[Decided], s3_client: Any, bucket: str
) -> None:
    s3_client.put_object(Bucket=bucket, Key="card-0.png", Body=picture("another"))
    s3_client.delete_object(Bucket=bucket, Key="tree-0.png")
    s3_client.put_object(Bucket=bucket, Key="card-1.png", Body=b"no image")
    changed = hashlib.md5(b"no image", usedforsecurity=False).hexdigest()
    decided[1] = Decided(**{**vars(decided[1]), "etag": changed})
    found = made(settings, decided).contents
    assert found.left_out[decided[0].content] == "changed since its verdict"
    assert found.left_out[decided[8].content] == "gone"
    assert "cannot be decoded" in found.left_out[decided[1].content]
    assert not {decided[0].content, decided[1].content, decided[8].content} & {
        picture.content for picture in found.pictures
    }


def test_what_has_tested_does_not_train_in_a_later_set(settings: Settings, decided: list[Decided]) -> None:
    first = made(settings, decided[:6] + decided[8:])
    later = made(settings, decided)
    assert first.uri != later.uri
    tested = {picture.content for picture in first.contents.part(TESTING)}
    assert not tested & {picture.content for picture in later.contents.part(TRAINING)}


def test_another_set_that_came_between_does_not_make_the_same_verdicts_a_second_training(
    settings: Settings, decided: list[Decided], s3_client: Any
) -> None:
    first = made(settings, decided[2:])
    other = made(settings, decided[:-2])
    tested = {picture.content for picture in other.contents.part(TESTING)}
    assert tested & {picture.content for picture in first.contents.part(TRAINING)}, "else this proves nothing"
    assert made(settings, decided[2:]) == first
    s3_objects.delete(s3_client, f"{settings.work_uri}/adapters/cards/frozen.json")
    assert made(settings, decided[2:]) == first, "the sets know it too"


def test_all_who_ask_at_once_get_one_set_also_while_another_freezes_its_tests(
    settings: Settings, decided: list[Decided], monkeypatch: pytest.MonkeyPatch
) -> None:
    quicker: list[store.StoredSet] = []
    real = store.write

    def overtaken(s3: Any, stored: store.StoredSet) -> None:
        monkeypatch.setattr(store, "write", real)
        made(settings, decided[:-2])
        quicker.append(made(settings, decided[2:]))
        assert quicker[0].digest != stored.digest, "else this proves nothing"
        real(s3, stored)

    monkeypatch.setattr(store, "write", overtaken)
    assert [made(settings, decided[2:]), made(settings, decided[2:])] == quicker * 2


def test_a_set_of_several_buckets_is_brought_into_one(
    settings: Settings, decided: list[Decided], s3_client: Any, bucket: str
) -> None:
    other = f"{bucket}-other"
    s3_client.create_bucket(Bucket=other)
    decided[3] = seen(s3_client, other, "card-x.png", "present")
    found = made(settings, decided)
    places = lines(s3_client, found.training_uri) + lines(s3_client, found.testing_uri)
    assert {s3_objects.split_uri(place).bucket for place in places} == {bucket}
    (copy,) = found.places.values()
    assert s3_objects.read(s3_client, copy).body == picture("card-x.png")
    day = datetime.now(UTC) + timedelta(days=29)
    assert images.sweep_copies(settings, now=day, days=30) == 0
    assert images.sweep_copies(settings, now=day + timedelta(days=2), days=30) == 1
    assert made(settings, decided).places == found.places
    assert s3_objects.exists(s3_client, copy)


def files(s3: Any, settings: Settings) -> dict[str, bytes]:
    """All that adapters keep, by its place."""
    bucket, _ = s3_objects.split_uri(settings.work_uri)
    keys = [entry["Key"] for entry in s3_objects.list_objects(s3, f"{settings.work_uri}/adapters/")]
    return {key: s3_objects.read(s3, f"s3://{bucket}/{key}").body for key in keys}


@contextmanager
def dies_before_write(number: int) -> Iterator[list[str]]:
    """Whoever writes to S3 dies before the write of this number; gives the writes."""
    real, done = BaseClient._make_api_call, []

    def mortal(client: Any, operation: str, given: Any) -> Any:
        if operation in {"PutObject", "CopyObject", "DeleteObject"}:
            if len(done) == number:
                raise Killed
            done.append(str(given["Key"]))
        return real(client, operation, given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", mortal)
        yield done


WRITES = ["frozen.json", "-", "training.jsonl", "testing.jsonl", "set.json", "frozen.json"]


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=() if n in {1, 5} else pytest.mark.long) for n in range(len(WRITES))]
)
def test_a_making_that_was_killed_at_any_write_ends_with_the_same_files_by_the_same_command(
    number: int, settings: Settings, decided: list[Decided], s3_client: Any, bucket: str
) -> None:
    other = f"{bucket}-other"
    s3_client.create_bucket(Bucket=other)
    decided[3] = seen(s3_client, other, "card-x.png", "present")
    with dies_before_write(-1) as writes:
        whole = made(settings, decided)
    assert [name in written for name, written in zip(WRITES, writes, strict=True)] == [True] * len(WRITES)
    before = files(s3_client, settings)
    for key in before:
        s3_client.delete_object(Bucket=bucket, Key=key)
    with pytest.raises(Killed), dies_before_write(number):
        made(settings, decided)
    again = made(settings, decided)
    assert (again.digest, files(s3_client, settings)) == (whole.digest, before)
    with dies_before_write(0):
        assert made(settings, decided) == again, "and then nothing is written any more"


def test_a_set_trains_on_nothing_that_another_tests_with_that_is_made_at_the_same_time(
    settings: Settings, decided: list[Decided], monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[store.StoredSet] = []
    real = store.build

    def meanwhile(*args: Any, **given: Any) -> Any:
        found = real(*args, **given)
        if not others:
            others.append(store.StoredSet(uri="", project="", contents=found, places={}))
            others[0] = made(settings, [entry for entry in decided if entry.content not in tests(found)])
        return found

    def tests(found: Any) -> set[str]:
        return {picture.content for picture in found.part(TESTING)}

    monkeypatch.setattr(store, "build", meanwhile)
    mine = made(settings, decided)
    tested = tests(others[0].contents)
    assert tested
    assert not tested & {picture.content for picture in mine.contents.part(TRAINING)}


@pytest.mark.parametrize("state", ["set.json", "frozen.json"])
@pytest.mark.parametrize("damage", ["truncated", "one bit", "nothing in it"])
def test_damaged_state_is_told_and_never_gone_by(
    state: str, damage: str, settings: Settings, decided: list[Decided], s3_client: Any
) -> None:
    found = made(settings, decided)
    uri = (
        f"{found.uri}/set.json" if state == "set.json" else f"{settings.work_uri}/adapters/cards/frozen.json"
    )
    body = s3_objects.read(s3_client, uri).body
    flipped = body.replace(b'"', b"#", 1)
    s3_objects.put(s3_client, uri, {"truncated": body[:-9], "one bit": flipped, "nothing in it": b""}[damage])
    with pytest.raises(store.TrainingSetError, match=f"{state} is damaged"):
        made(settings, decided)


@pytest.mark.parametrize("project", ["", "..", "a/b", "x" * 256, "ä", "images", "shadow"])
def test_a_name_that_aws_would_not_take_never_becomes_a_key(
    project: str, settings: Settings, decided: list[Decided]
) -> None:
    with pytest.raises(store.TrainingSetError, match="no name of a project"):
        store.make(settings, project, decided, labels=["Gambling"], rule=RULE)
