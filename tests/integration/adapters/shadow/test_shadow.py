"""A challenger on a sample: paid once, within its budget, and nothing of it in the tables of runs."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from moderation.adapters import erasure
from moderation.adapters.shadow import answers, budget, comparison, sample
from moderation.adapters.shadow.sample import ShadowError
from moderation.analyse.detect.budget import FixedBudget
from moderation.analyse.detect.errors import DetectDenied
from moderation.analyse.detect.request import DetectOptions
from moderation.maintenance.shadow_answers import forget_in_shadows
from moderation.publish.shadow_answers import publish_shadow
from moderation.query.published_views import open_published
from moderation.review.state.open import open_state
from moderation.settings import Settings
from moderation.storage import s3_objects
from support import rekognition_server as offline
from support.judged import publish_judged
from support.planned_runs import make_settings

ARN = "arn:aws:rekognition:us-east-1:123456789012:project/p/version/v/1700000000000"
IMAGES = 24


@pytest.fixture(scope="module")
def world(
    rekognition_server: Any,
    s3_server: Any,
    credentials: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Settings]:
    """Images that the base model has answered with nothing; each test begins a shadow of its own."""
    folder, bucket = tmp_path_factory.mktemp("shadow"), f"test-{uuid.uuid4().hex[:16]}"
    offline.local(rekognition_server, "/adapters", method="PUT", body={ARN: "TRAINING_COMPLETED"})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": s3_server.endpoint_url,
            "AWS_ENDPOINT_URL_REKOGNITION": rekognition_server.endpoint_url,
            "MODERATION_REVIEW_DB": str(folder / "review.db"),
        }.items():
            patch.setenv(name, value)
        made = dataclasses.replace(make_settings(folder, bucket, tables="local"), region="us-east-1")
        with s3_objects.open_client(made) as s3:
            s3.create_bucket(Bucket=bucket)
            publish_judged(made, s3, bucket, red=1, images=IMAGES)
        yield made
    offline.local(rekognition_server, "/adapters", method="PUT", body={})


@pytest.fixture
def server(rekognition_server: Any, world: Settings) -> Any:
    return rekognition_server


@pytest.fixture
def settings(world: Settings, server: Any, aws_env: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", server.endpoint_url)
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    return world


@pytest.fixture
def options(tmp_path: Path) -> DetectOptions:
    return DetectOptions(
        max_in_flight=budget.IN_FLIGHT, spool_dir=tmp_path / "spool", part_seconds=0.2, owner_seconds=1.0
    )


def ask(settings: Settings, shadow: sample.Shadow, options: DetectOptions) -> bool:
    return answers.ask(settings, shadow, options=options, budget=FixedBudget(1000.0), quota=1000.0)


def begin(settings: Settings, name: str, images: int = 20, max_cost_usd: float = 1.0) -> sample.Shadow:
    return sample.prepare(settings, ARN, images=images, max_cost_usd=max_cost_usd, name=name)


def paid(server: Any) -> int:
    return len([entry for entry in offline.ledger(server) if entry["event"] == "detect_billed"])


def compared(settings: Settings, shadow: sample.Shadow) -> comparison.ShadowComparison:
    found = comparison.of_challenger(settings, ARN)
    return next(one for one in found if one.shadow_id == shadow.shadow_id)


def counts(settings: Settings, *tables: str) -> list[int]:
    with open_published(settings) as connection:
        return [connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in tables]


@pytest.mark.slow
def test_a_shadow_is_paid_once_and_its_answers_stand_in_a_table_of_their_own(
    settings: Settings, server: Any, options: DetectOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "CHUNK", 8)
    before = counts(settings, "images", "labels", "loads")
    shadow, already = begin(settings, "once"), paid(server)
    assert (len(shadow.images), len(shadow.chunks)) == (20, 3)
    assert shadow.cost_usd == pytest.approx(20 * 0.0012)
    assert begin(settings, "once") == shadow
    for _ in range(2):
        assert ask(settings, shadow, options)
        publish_shadow(settings, shadow.shadow_id, options=options)
    assert paid(server) - already == 20
    assert counts(settings, "images", "labels", "loads") == before
    with open_published(settings) as connection:
        told = connection.execute(
            "SELECT count(*), count(DISTINCT content), count(DISTINCT answer_id) FROM shadow_answers "
            "WHERE shadow_id = $id",
            {"id": shadow.shadow_id},
        ).fetchall()[0]
    assert told[0] == told[2]
    found = compared(settings, shadow)
    assert (found.images, found.champion, told[1]) == (20, None, 20)
    assert found.differing == found.images - found.agreement.k
    assert 0 < found.differing <= sum(one.challenger for one in found.labels)
    assert sum(one.champion + one.both for one in found.labels) == 0, "the base model had said nothing"
    state = open_state()
    try:
        for new in (found.differing, 0):
            queue, added = comparison.differing_queue(settings, state.queues, shadow.shadow_id)
            assert added == new
        item, *_ = state.queues.next(queue.queue_id, "ann", 1)
        assert (item.design, item.source_ref.startswith("s3://")) == (None, True)
    finally:
        state.close()


def test_the_budget_holds_whoever_dies_whenever(
    settings: Settings, server: Any, options: DetectOptions
) -> None:
    shadow, already = begin(settings, "dies", max_cost_usd=12 * 0.0012 + 1e-9), paid(server)
    assert (shadow.affordable, len(shadow.images)) == (12, 11)
    dies = {"kind": "error", "operation": "DetectModerationLabels", "code": "ExpiredTokenException"}
    with offline.faults(server, dies | {"message": "over", "skip": 6}), pytest.raises(DetectDenied):
        ask(settings, shadow, options)
    assert not ask(settings, shadow, options), "four calls may be lost: eleven and four are more than twelve"
    assert not ask(settings, shadow, options)
    assert 6 <= paid(server) - already <= shadow.affordable
    publish_shadow(settings, shadow.shadow_id, options=options)
    assert compared(settings, shadow).images == paid(server) - already, "what was paid for is there"


def test_a_shadow_that_died_goes_on_where_the_budget_bears_it(
    settings: Settings, server: Any, options: DetectOptions
) -> None:
    shadow, already = begin(settings, "goes on"), paid(server)
    dies = {"kind": "error", "operation": "DetectModerationLabels", "code": "ExpiredTokenException"}
    with offline.faults(server, dies | {"message": "over", "skip": 6}), pytest.raises(DetectDenied):
        ask(settings, shadow, options)
    publish_shadow(settings, shadow.shadow_id, options=options)
    assert ask(settings, shadow, options)
    publish_shadow(settings, shadow.shadow_id, options=options)
    assert paid(server) - already == compared(settings, shadow).images == 20


def test_what_the_base_model_answers_in_its_place_is_no_answer_of_the_challenger(
    settings: Settings, server: Any, options: DetectOptions
) -> None:
    shadow, already = begin(settings, "expires"), paid(server)
    stops = dataclasses.replace(options, stops_without_adapter=True)
    with offline.faults(
        server, {"kind": "adapter_missing", "operation": "DetectModerationLabels", "skip": 5}
    ):
        ask(settings, shadow, stops)
    assert 5 <= paid(server) - already <= 5 + budget.IN_FLIGHT
    publish_shadow(settings, shadow.shadow_id, options=options)
    assert compared(settings, shadow).images == 5


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"images": 20, "max_cost_usd": 0.0001}, "pay for no image"),
        ({"images": 20_000, "max_cost_usd": 1.0}, "1 to 10,000"),
    ],
)
def test_what_cannot_be_begun_says_why(settings: Settings, given: Any, why: str) -> None:
    with pytest.raises(ShadowError, match=why):
        sample.prepare(settings, ARN, **given)


@pytest.mark.parametrize("name", ["shadow.json", "asked.json"])
def test_a_damaged_shadow_asks_nothing(
    settings: Settings, server: Any, options: DetectOptions, s3_client: Any, name: str
) -> None:
    shadow, already = begin(settings, name, images=4), paid(server)
    budget.may_ask(settings, shadow.shadow_id, 0)
    uri = f"{shadow.folder(settings)}/{name}"
    s3_objects.put(s3_client, uri, s3_objects.read(s3_client, uri).body[:-9])
    with pytest.raises(ShadowError, match=f"{name} is damaged"):
        ask(settings, shadow, options)
    assert paid(server) == already


def everything(settings: Settings, s3: Any, shadow: sample.Shadow) -> bytes:
    """All bytes of the shadow's folder, and of the table's files with those of older snapshots."""
    bucket = s3_objects.split_uri(settings.work_uri).bucket
    entries = s3_objects.list_objects(s3, f"{shadow.folder(settings)}/")
    found = [s3_objects.read(s3, f"s3://{bucket}/{entry['Key']}").body for entry in entries]
    for path in Path(settings.tables_uri).rglob("shadow_answers/**/*.parquet"):
        found += [str(row).encode() for row in pq.read_table(path).to_pylist()]
    return b"\n".join(found)


@pytest.mark.slow
def test_an_erasure_ends_the_shadow_and_leaves_what_others_were_answered(
    settings: Settings, server: Any, options: DetectOptions, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "CHUNK", 4)
    shadow = begin(settings, "erased", images=8)
    ask(settings, shadow, options)
    gone = shadow.images[1]
    assert gone.content.encode() in everything(settings, s3_client, shadow)
    for _ in range(2):
        forget_in_shadows(settings, {gone.content})
        erasure.forget(settings, {gone.content}, {gone.source_ref})
        told, already = everything(settings, s3_client, shadow), paid(server)
        assert gone.content.encode() not in told
        assert f'{gone.source_ref}"'.encode() not in told
        assert compared(settings, shadow).images == 7
        now = begin(settings, "erased", images=8)
        assert (now.shadow_id, now.images) == (shadow.shadow_id, ())
        assert not budget.may_ask(settings, shadow.shadow_id, 1)
        assert ask(settings, now, options)
        assert paid(server) == already
