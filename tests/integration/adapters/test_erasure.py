"""What is left of a person who is to be forgotten, in a real S3, after a kill at any step too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from moderation.adapters import erasure, registry, stages
from moderation.adapters.registry import Version
from moderation.adapters.sets import images, store
from moderation.adapters.sets.decided import Decided
from moderation.adapters.sets.training_set import TESTING, TRAINING
from moderation.review.log import VerdictLog
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.variables.adapters import AdapterSettings
from support.decisions import seen

RULE = AdapterSettings(min_false_negatives=4, test_positives=2, test_negatives=2)
ARN = "arn:aws:rekognition:us-east-1:123456789012:project/cards/version/set-1/1700000000000"


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def settings(aws_env: pytest.MonkeyPatch, bucket: str) -> Settings:
    return Settings(work_uri=f"s3://{bucket}/work", region="us-east-1", inspect_threads=4)


@pytest.fixture
def decided(s3_client: Any, bucket: str) -> list[Decided]:
    """Of two buckets, so that there are copies; keys that JSON may write in two ways."""
    other = f"{bucket}-other"
    s3_client.create_bucket(Bucket=other)
    return [
        *(seen(s3_client, bucket, f'card-ä"{n}.png', "present") for n in range(7)),
        seen(s3_client, other, "card-x.png", "present"),
        *(seen(s3_client, bucket, f"tree-{n}.png", "absent") for n in range(8)),
        seen(s3_client, other, "unsure.png", "unsure"),
    ]


@pytest.fixture
def trained(settings: Settings, decided: list[Decided], s3_client: Any) -> store.StoredSet:
    """A set with all that AWS leaves behind beside it, a comparison, and a set whose making was killed."""
    made = store.make(settings, "cards", decided, labels=["Gambling"], rule=RULE)
    for part in (TRAINING, TESTING):
        s3_objects.put(
            s3_client, f"{made.uri}/output/a/{part}.jsonl", made.contents.manifest(part, made.places)
        )
    refs = sorted(made.source_refs)
    first = json.dumps({"source-ref": refs[0], "content-moderation-groundtruth": {"ModerationLabels": []}})
    s3_objects.put(s3_client, f"{made.uri}/output-g2/one-line.jsonl", first.encode())
    summary = {"statistics": {"bad": 1}, "errors": [{"line": n, "source-ref": r} for n, r in enumerate(refs)]}
    s3_objects.put(
        s3_client, f"{made.uri}/output/a/manifest-summary.json", json.dumps(summary, indent=1).encode()
    )
    flips = [{"source_ref": ref, "label": "Gambling", "right": "base"} for ref in refs]
    version = Version(
        arn=ARN, project="cards", labels=("Gambling",), set_uri=made.uri, evaluation={"flips": flips}
    )
    registry.note(settings, version)
    half = store.set_uri(settings, "cards", "0" * 64)
    s3_objects.put(
        s3_client, f"{half}/training.jsonl", b"".join(p.line(p.source_ref) for p in made.contents.pictures)
    )
    s3_objects.put(s3_client, f"{images.copies_uri(settings)}/{decided[0].content}", b"of a killed making")
    return made


def everything(s3: Any, settings: Settings) -> str:
    """All names and all bytes below the folder of adapters."""
    bucket, _ = s3_objects.split_uri(settings.work_uri)
    found = []
    for entry in s3_objects.list_objects(s3, f"{settings.work_uri}/adapters/"):
        body = s3_objects.read(s3, f"s3://{bucket}/{entry['Key']}").body
        found.append(f"{entry['Key']}\n{body.decode(errors='replace')}")
    return "\n".join(found)


def forgotten(decided: list[Decided], made: store.StoredSet) -> list[Decided]:
    """One that tests, one that trains, the copied one, one that was left out."""
    parts = {picture.content: picture.part for picture in made.contents.pictures}
    here = [entry for entry in decided if entry.content not in made.places]
    some = [next(e for e in here if parts.get(e.content) == part) for part in (TESTING, TRAINING)]
    copied = next(entry for entry in decided if entry.content in made.places)
    return [*some, copied, decided[-1], decided[0]]


def named(gone: list[Decided], told: str) -> list[str]:
    """Those of whom anything is left."""
    texts = {text for entry in gone for text in (entry.content, entry.source_ref)}
    return sorted(t for t in texts if t in told or json.dumps(t)[1:-1] in told)


def test_nothing_that_adapters_keep_names_an_image_after_its_erasure(
    settings: Settings, decided: list[Decided], trained: store.StoredSet, s3_client: Any
) -> None:
    gone = forgotten(decided, trained)
    assert len(named(gone, everything(s3_client, settings))) == 2 * len({entry.content for entry in gone}) - 1
    wanted = ({entry.content for entry in gone}, {entry.source_ref for entry in gone})
    told = erasure.forget(settings, *wanted)
    assert (told.sets, told.adapters, told.left, told.later) == ((trained.digest,), (ARN,), (), ())
    assert named(gone, everything(s3_client, settings)) == []
    before = everything(s3_client, settings)
    assert erasure.forget(settings, *wanted) == told
    assert everything(s3_client, settings) == before

    kept = store.load(settings, trained.uri)  # which compares what it holds with its name
    lost = {picture.content for picture in trained.contents.pictures} & {entry.content for entry in gone}
    assert len(kept.contents.erased) == len(lost)
    assert "more testing images were erased since it was made" in kept.contents.text()
    for part in (TRAINING, TESTING):
        expected = kept.contents.manifest(part, kept.places)
        for place in (f"{part}.jsonl", f"output/a/{part}.jsonl"):
            assert s3_objects.read(s3_client, f"{trained.uri}/{place}").body == expected
    summary = json.loads(s3_objects.read(s3_client, f"{trained.uri}/output/a/manifest-summary.json").body)
    assert summary["statistics"] == {"bad": 1}
    assert {entry["source-ref"] for entry in summary["errors"]} == kept.source_refs
    flips = (registry.load(settings).versions[ARN].evaluation or {})["flips"]
    assert {flip["source_ref"] for flip in flips} == kept.source_refs


def test_an_erasure_that_is_killed_at_any_step_is_finished_by_the_next_one(
    settings: Settings,
    decided: list[Decided],
    trained: store.StoredSet,
    s3_client: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each try dies at its first write, at its second, and so on, until one comes to its end."""
    gone = forgotten(decided, trained)
    left = 0
    for name in ("put", "delete", "put_if_match"):
        real = getattr(s3_objects, name)

        def mortal(*args: Any, _real: Any = real, **given: Any) -> Any:
            nonlocal left
            if "/locks/" not in args[1]:
                left -= 1
                if left < 0:
                    raise Killed
            return _real(*args, **given)

        monkeypatch.setattr(s3_objects, name, mortal)
    for number in range(60):
        left = number
        try:
            erasure.forget(settings, {entry.content for entry in gone}, {entry.source_ref for entry in gone})
        except Killed:
            continue
        break
    else:
        pytest.fail("it never ended")
    assert number > 4
    assert named(gone, everything(s3_client, settings)) == []
    store.load(settings, trained.uri)


def test_what_cannot_be_read_is_named_and_the_rest_is_erased(
    settings: Settings, decided: list[Decided], trained: store.StoredSet, s3_client: Any
) -> None:
    damaged = f"{trained.uri.replace(trained.digest, '1' * 64)}/set.json"
    body = s3_objects.read(s3_client, f"{trained.uri}/set.json").body
    s3_objects.put(s3_client, damaged, body[:-9])
    gone = forgotten(decided, trained)
    told = erasure.forget(settings, {entry.content for entry in gone}, {entry.source_ref for entry in gone})
    assert [text.split()[0] for text in told.left] == [damaged, damaged]
    assert "still names an image" in told.left[1]
    s3_objects.delete(s3_client, damaged)
    assert named(gone, everything(s3_client, settings)) == []


def test_a_set_that_was_made_while_somebody_was_forgotten_forgets_too(
    settings: Settings, decided: list[Decided], s3_client: Any, aws_env: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    for name, value in (("MIN_FALSE_NEGATIVES", "4"), ("TEST_POSITIVES", "2"), ("TEST_NEGATIVES", "2")):
        aws_env.setenv(f"MODERATION_ADAPTER_{name}", value)
    erased = type("Said", (), {"verdict_id": decided[0].verdicts[0], "erased": True})()
    aws_env.setattr(VerdictLog, "of_ids", lambda *_: [erased])
    with pytest.raises(stages.ErasedMeanwhileError):
        stages.make_set(settings, decided, labels=["Gambling"], project="cards")
    assert named(decided[:1], everything(s3_client, settings)) == []
