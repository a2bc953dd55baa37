"""Who promoted which adapter, and that a promotion pays for nothing that was answered before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from moderation.adapters import champion, registry
from moderation.adapters.registry import RegistryError, Version
from moderation.adapters.status import AdapterUnusableError
from moderation.plan import ledger
from moderation.plan.plan import run_key
from moderation.plan.planner import make_plan
from moderation.plan.request import PlanRequest
from moderation.plan.store import read_inputs
from moderation.settings import Settings
from moderation.storage import s3_objects

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PASSES = {"verdict": "passes", "reasons": []}


def arn(name: str) -> str:
    return f"arn:aws:rekognition:us-east-1:123456789012:project/cards/version/{name}/1700000000000"


@pytest.fixture
def settings(aws_env: pytest.MonkeyPatch, bucket: str) -> Settings:
    return Settings(work_uri=f"s3://{bucket}/work", region="us-east-1")


def trained(settings: Settings, name: str, gate: dict[str, Any] | None = PASSES, **told: Any) -> str:
    version = Version(
        arn=arn(name), project="cards", labels=("Gambling",), set_uri=f"s3://w/{name}", gate=gate, **told
    )
    return registry.note(settings, version).arn


def promote(settings: Settings, name: str, *, at: datetime = NOW, **given: Any) -> registry.Registry:
    return registry.promote(settings, arn(name), person="anna", now=at, **given)


def test_promotions_are_logged_with_the_person_and_can_be_taken_back(settings: Settings) -> None:
    for name in ("v1", "v2"):
        trained(settings, name)
        promote(settings, name)
    assert registry.load(settings).champion == arn("v2")
    assert registry.roll_back(settings, person="ben", now=NOW, reason="too strict").champion == arn("v1")
    assert registry.roll_back(settings, person="ben", now=NOW).champion is None
    with pytest.raises(RegistryError, match="no champion"):
        registry.roll_back(settings, person="ben", now=NOW)
    events = registry.load(settings).events
    assert [(event.person, event.action) for event in events] == [
        ("anna", "promoted"),
        ("anna", "promoted"),
        ("ben", "rolled back"),
        ("ben", "rolled back"),
    ]
    assert events[2].reason == "too strict"


def test_a_roll_back_never_leads_to_a_retired_adapter(settings: Settings) -> None:
    for name in ("v1", "v2"):
        trained(settings, name)
        promote(settings, name)
    registry.retire(settings, arn("v1"), person="ben", now=NOW)
    assert registry.load(settings).champion == arn("v2")
    assert registry.roll_back(settings, person="ben", now=NOW).champion is None
    with pytest.raises(RegistryError, match="was retired"):
        promote(settings, "v1")


def test_a_champion_that_is_retired_gives_way_to_the_base_model(settings: Settings) -> None:
    trained(settings, "v1")
    promote(settings, "v1")
    assert registry.retire(settings, arn("v1"), person="ben", now=NOW).champion is None
    assert champion.resolve(settings, "champion", now=NOW) == champion.Chosen(None, 0.0)


@pytest.mark.parametrize(
    ("gate", "given", "why"),
    [
        (None, {}, "was not compared"),
        ({"verdict": "stops", "reasons": ["Weapons is worse"]}, {"knowingly": True}, "Weapons is worse"),
        ({"verdict": "asks", "reasons": ["Gambling is not shown"]}, {}, "--knowingly"),
        (PASSES, {"older_share": 1.5}, "a share from 0 to 1"),
    ],
)
def test_what_the_gate_does_not_let_through_is_not_promoted(
    gate: dict[str, Any] | None, given: dict[str, Any], why: str, settings: Settings
) -> None:
    trained(settings, "v1", gate)
    with pytest.raises(RegistryError, match=why):
        promote(settings, "v1", **given)
    assert registry.load(settings).champion is None


def test_what_the_gate_asks_about_is_promoted_knowingly_and_by_somebody(settings: Settings) -> None:
    trained(settings, "v1", {"verdict": "asks", "reasons": ["Gambling is not shown"]})
    with pytest.raises(RegistryError, match="give a name"):
        registry.promote(settings, arn("v1"), person=" ", now=NOW, knowingly=True)
    assert promote(settings, "v1", knowingly=True).champion == arn("v1")
    with pytest.raises(RegistryError, match=r"no adapter .*v9.* was trained here"):
        promote(settings, "v9")


def test_people_who_promote_at_once_are_all_logged(settings: Settings) -> None:
    trained(settings, "v1")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda share: promote(settings, "v1", older_share=share), (0.1, 0.2, 0.3, 0.4)))
    assert {event.older_share for event in registry.load(settings).events} == {0.1, 0.2, 0.3, 0.4}


@pytest.mark.parametrize("damage", ["truncated", "one bit", "nothing in it"])
def test_a_damaged_registry_stops_a_run_of_the_champion(
    damage: str, settings: Settings, s3_client: Any
) -> None:
    trained(settings, "v1")
    uri = f"{settings.work_uri}/adapters/registry.json"
    body = s3_objects.read(s3_client, uri).body
    damaged = {"truncated": body[:-9], "one bit": body.replace(b"cards", b"cardr", 1), "nothing in it": b""}
    s3_objects.put(s3_client, uri, damaged[damage])
    with pytest.raises(RegistryError, match=r"registry\.json is damaged"):
        champion.resolve(settings, "champion", now=NOW)
    assert champion.resolve(settings, arn("v1"), now=NOW) == champion.Chosen(arn("v1"), None)


class Rekognition:
    """Says of each version what AWS would."""

    meta = SimpleNamespace(region_name="us-east-1")

    def __init__(self, status: str, base: str) -> None:
        self.found = {"ProjectVersionArn": arn("v1"), "Status": status, "BaseModelVersion": base}

    def describe_projects(self, **_: Any) -> dict[str, Any]:
        return {"ProjectDescriptions": [{"ProjectArn": arn("v1").partition("/version")[0]}]}

    def describe_project_versions(self, **_: Any) -> dict[str, Any]:
        return {"ProjectVersionDescriptions": [self.found] if self.found["Status"] != "gone" else []}


@pytest.mark.parametrize(
    ("status", "base", "why"),
    [
        ("TRAINING_COMPLETED", "7.0", None),
        ("DEPRECATED", "7.0", None),
        ("EXPIRED", "7.0", "is EXPIRED"),
        ("DELETING", "7.0", "is DELETING"),
        ("gone", "7.0", "there is no adapter"),
        ("TRAINING_COMPLETED", "7.1", r"is 7\.1, and it was 7\.0 .* adapter rollback"),
    ],
)
def test_a_champion_that_is_not_what_was_promoted_is_noticed_before_a_run_pays(
    status: str, base: str, why: str | None, settings: Settings
) -> None:
    trained(settings, "v1", base_model_version="7.0")
    if why is None:
        assert champion.check(settings, Rekognition(status, base), arn("v1")) == status
        return
    with pytest.raises(AdapterUnusableError, match=why):
        champion.check(settings, Rekognition(status, base), arn("v1"))


@pytest.mark.parametrize("asked", ["champion", arn("v1")])
@pytest.mark.parametrize(
    ("status", "told"), [("TRAINING_COMPLETED", "7.1"), ("EXPIRED", "7.1"), ("gone", "")]
)
def test_a_run_knows_the_base_model_behind_its_adapter_however_that_is_named(
    asked: str, status: str, told: str, settings: Settings
) -> None:
    trained(settings, "v1")
    promote(settings, "v1")
    chosen = champion.resolve(settings, asked, now=NOW, rekognition=lambda: Rekognition(status, "7.1"))
    assert (chosen.adapter, chosen.base_model_version) == (arn("v1"), told)


def test_a_run_without_an_adapter_asks_for_no_base_model(settings: Settings) -> None:
    for asked in ("champion", None, ""):
        chosen = champion.resolve(settings, asked, now=NOW, rekognition=lambda: pytest.fail("asked"))
        assert (chosen.adapter, chosen.base_model_version) == (None, "")


def plan_of_champion(settings: Settings, source: str, known: pa.Table, *, at: datetime) -> list[str]:
    """The images that a run of the champion asks for."""
    chosen = champion.resolve(settings, "champion", now=at)
    request = PlanRequest(
        run_key=run_key("dag", at.isoformat()),
        source=source,
        logical_time=at,
        adapter=chosen.adapter,
        older_share=chosen.older_share,
        inspect=False,
    )
    plan = make_plan(settings, request, published=lambda *_, **__: known)
    assert plan.adapter == arn("v1")
    return [] if plan.is_empty else read_inputs(plan, settings=settings)["source_ref"].to_pylist()


@pytest.mark.slow
def test_a_promotion_over_a_thousand_known_images_pays_for_none_of_them(
    settings: Settings, s3_client: Any, bucket: str
) -> None:
    with ThreadPoolExecutor(16) as pool:
        etags = list(
            pool.map(
                lambda n: s3_client.put_object(Bucket=bucket, Key=f"photos/{n}.jpg", Body=b"%d" % n)["ETag"],
                range(1_000),
            )
        )
    fields = [(name, pa.string()) for name in ledger.COLUMNS[:-1]] + [("min_confidence", pa.float64())]
    rows = [
        {
            "source_ref": f"s3://{bucket}/photos/{n}.jpg",
            "etag": etag.strip('"'),
            "status": "moderated",
            "model_version": "7.0",
            "adapter": None,
            "min_confidence": 50.0,
        }
        for n, etag in enumerate(etags)
    ]
    known = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    source = f"s3://{bucket}/photos"
    trained(settings, "v1")
    promote(settings, "v1")
    assert plan_of_champion(settings, source, known, at=NOW) == []
    s3_client.put_object(Bucket=bucket, Key="photos/new.jpg", Body=b"new")
    assert plan_of_champion(settings, source, known, at=NOW + timedelta(days=1)) == [f"{source}/new.jpg"]


@pytest.mark.parametrize(
    ("nights", "least", "most"), [(0, 0, 0), (1, 70, 130), (5, 440, 560), (30, 1000, 1000)]
)
def test_older_images_get_the_share_a_night_that_was_promised(
    nights: int, least: int, most: int, settings: Settings
) -> None:
    trained(settings, "v1")
    promote(settings, "v1", older_share=0.1)
    chosen = champion.resolve(settings, "champion", now=NOW + timedelta(days=nights))
    fields = [(name, pa.string()) for name in ledger.COLUMNS[:-1]] + [("min_confidence", pa.float64())]
    rows = [
        {
            "source_ref": f"s3://photos/{n}",
            "etag": "e",
            "status": "moderated",
            "model_version": "7.0",
            "min_confidence": 50.0,
        }
        for n in range(1_000)
    ]
    known = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    question = ledger.Question("7.0", chosen.adapter, 50.0, older_share=chosen.older_share)
    answered = ledger.already_moderated(known, known, question=question)
    assert least <= answered.to_pylist().count(False) <= most
    done = known.set_column(5, "adapter", pa.array([arn("v1")] * 1_000))
    assert all(ledger.already_moderated(known, done, question=question).to_pylist())
