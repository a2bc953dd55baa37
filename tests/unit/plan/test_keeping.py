"""Images of runs that live, over days of a clock that the test hands in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from moderation.plan import claims, keeping, ledger
from moderation.plan.keeping import Keeper
from moderation.plan.ledger import Question
from moderation.plan.plan import INPUTS_SCHEMA, Plan, PlanError
from moderation.plan.store import close, is_closed, write_inputs
from moderation.settings import Settings
from moderation.storage import s3_objects
from support.fake_s3 import FakeS3
from support.planned_runs import make_plan

SETTINGS = replace(Settings.from_env({}), work_uri="s3://work", claim_hours=24.0)
HOUR = 3600.0
LOOK = HOUR / 12
QUESTION = Question("7.0", None, 50.0)
LISTED = pa.table({"source_ref": ["s3://archive/a.jpg", "s3://archive/b.jpg"], "etag": ["1", "2"]})


def nothing(*_: Any, **__: Any) -> Iterator[pa.RecordBatch]:
    fields = [(name, pa.string()) for name in ledger.COLUMNS[:-1]] + [("min_confidence", pa.float64())]
    return iter(pa.table({name: pa.array([], kind) for name, kind in fields}).to_batches())


class World:
    """Runs that share images, in a bucket whose time is moved."""

    def __init__(self) -> None:
        self.s3 = FakeS3()
        self.living: set[str] = set()
        self.asked: list[str] = []

    def plan(self, run: str) -> Plan:
        """A run that claims both images."""
        folder = f"s3://work/runs/{run}/plan-001"
        rows = [
            LISTED[name] if name in LISTED.column_names else pa.nulls(2, kind)
            for name, kind in zip(INPUTS_SCHEMA.names, INPUTS_SCHEMA.types, strict=True)
        ]
        table = pa.Table.from_arrays(rows, schema=INPUTS_SCHEMA)
        uri, digest = write_inputs(self.s3, folder, [table])
        made = make_plan(
            run_key=run,
            load_id=f"load-{run}",
            uri=f"{folder}/plan.json",
            inputs_uri=uri,
            inputs_sha256=digest,
            dag_id="moderate_images",
            run_id=run,
        )
        s3_objects.put(self.s3, made.uri, made.to_json())
        claims.write(self.s3, SETTINGS, made)
        self.living.add(run)
        return made

    def lives(self, dag_id: str, run_id: str) -> bool:
        assert dag_id == "moderate_images"
        self.asked.append(run_id)
        return run_id in self.living

    def look(self) -> None:
        """What the conductor does every five minutes."""
        keeping.renew_of_living(self.s3, SETTINGS, self.lives, published=nothing)

    def another_plans(self, *, lives: bool = False) -> bool:
        """What a run that plans does before it takes images; returns whether it may take these."""
        keeper = Keeper(SETTINGS, self.s3, nothing, self.lives if lives else None)
        with keeper.lock_of_run("another"):
            keeper.renew_living(but="another")
            claims.drop_expired(self.s3, SETTINGS)
            with claims.of_others(self.s3, SETTINGS, run_key="another", question=QUESTION) as is_claimed:
                return not is_claimed(LISTED).to_pylist()[0]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def renew(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[Plan], None]:
    """What a task does before it pays for a manifest."""
    monkeypatch.setattr(s3_objects, "open_client", lambda *_, **__: nullcontext(world.s3))
    return lambda plan: keeping.renew_claim(plan, settings=SETTINGS, published=nothing, lives=world.lives)


def test_who_looks_every_five_minutes_keeps_a_run_s_images_for_days_and_frees_those_of_a_dead_one(
    world: World,
) -> None:
    world.plan("slow")
    for look in range(3 * 24 * 12):
        world.s3.now += LOOK
        world.look()
        if look % 12 == 0:
            assert not world.another_plans(), f"taken over after {look / 12} hours"
    assert len(world.asked) < 3 * 24, "nobody is asked of a claim that is young"
    world.living.clear()
    ended = world.s3.now
    while not world.another_plans():
        world.s3.now += HOUR
        world.look()
    assert 18 * HOUR <= world.s3.now - ended <= 24 * HOUR


def test_a_run_that_plans_asks_first_whether_those_live_whose_claims_ran_out(world: World) -> None:
    world.plan("waits for a slot")
    world.s3.now += 40 * HOUR
    assert not world.another_plans(lives=True)
    assert not world.another_plans(), "it is renewed for those who cannot ask"
    world.living.clear()
    world.s3.now += 23 * HOUR
    assert not world.another_plans(lives=True)
    world.s3.now += HOUR
    assert world.another_plans(lives=True)


@pytest.mark.parametrize("looks", [False, True], ids=["by its task", "by who looks"])
def test_a_claim_that_was_lost_meanwhile_is_not_renewed_and_stops_its_run_before_it_pays(
    world: World, renew: Callable[[Plan], None], looks: bool
) -> None:
    late = world.plan("late")
    world.s3.now += 25 * HOUR
    world.plan("quick")
    if looks:
        world.look()
    with pytest.raises(PlanError, match="other runs took some of its images; clear the task discover"):
        renew(late)


def test_of_two_whose_claims_both_ran_out_the_one_that_took_the_images_has_them(
    world: World, renew: Callable[[Plan], None]
) -> None:
    late = world.plan("late")
    world.s3.now += 25 * HOUR
    claims.drop_expired(world.s3, SETTINGS)
    quick = world.plan("quick")
    world.s3.now += 25 * HOUR  # nobody looks: Airflow is down
    with pytest.raises(PlanError):
        renew(late)
    renew(quick)


def test_each_manifest_s_start_renews_a_claim_that_is_old_and_writes_nothing_while_it_is_young(
    world: World, renew: Callable[[Plan], None]
) -> None:
    plan = world.plan("slow")
    renew(plan)  # from here on it is said that its run pays
    key = s3_objects.split_uri(claims.uri_of(SETTINGS, plan)).key
    for _ in range(12):
        begun = world.s3.objects[key][1]
        world.s3.now += 5 * HOUR
        renew(plan)
        assert world.s3.objects[key][1] == begun, "no write while it is young"
        world.s3.now += 2 * HOUR
        renew(plan)
        assert not world.another_plans()
    world.s3.now += 30 * HOUR
    renew(plan)
    assert not world.another_plans(), "nobody took them: it goes on"


def test_images_that_a_dead_run_began_to_pay_for_are_kept_until_one_run_takes_over_what_was_paid(
    world: World, renew: Callable[[Plan], None]
) -> None:
    dead = world.plan("parked")
    renew(dead)
    keeper = Keeper(SETTINGS, world.s3, nothing, world.lives)
    uri = claims.uri_of(SETTINGS, dead)
    world.s3.now += 90 * 24 * HOUR
    assert keeper.take_over(uri) is None, "it lives"
    world.living.clear()
    for _ in range(24):
        world.s3.now += HOUR
        assert not world.another_plans(lives=True)
    assert [found.uri for found in claims.lapsed_paying(world.s3, SETTINGS)] == [uri]
    assert keeper.take_over(uri) == dead
    assert keeper.take_over(uri) is None, "another is at it"
    assert is_closed(dead, s3=world.s3), "should its run wake up, it asks nothing any more"
    world.s3.now += 25 * HOUR
    assert not world.another_plans(lives=True), "who took it over was killed"
    assert keeper.take_over(uri) == dead


@pytest.mark.parametrize("how", ["published", "abandoned"])
def test_a_run_killed_between_its_end_and_its_claim_s_leaves_nothing_to_be_taken_over(
    world: World, renew: Callable[[Plan], None], how: str
) -> None:
    plan = world.plan("ended")
    renew(plan)
    close(plan, how, s3=world.s3)
    world.living.clear()
    world.s3.now += 25 * HOUR
    keeper = Keeper(SETTINGS, world.s3, nothing, world.lives)
    assert keeper.take_over(claims.uri_of(SETTINGS, plan)) is None
    assert world.another_plans()


def test_a_claim_of_an_earlier_release_says_nothing_of_payments_and_lapses_as_it_did(world: World) -> None:
    plan = world.plan("earlier")
    uri = claims.uri_of(SETTINGS, plan)
    found = claims.find(world.s3, SETTINGS, uri)
    assert found is not None
    without = {name: value for name, value in vars(found.claim).items() if name != "paying"}
    s3_objects.put(world.s3, uri, claims.seal(without))
    assert not world.another_plans()
    world.s3.now += 25 * HOUR
    assert world.another_plans()


@pytest.mark.parametrize("how", ["published", "given free", "never finished"])
def test_images_of_a_run_that_has_let_go_of_them_are_not_kept(world: World, how: str) -> None:
    plan = world.plan("done")
    if how == "published":
        close(plan, "published", s3=world.s3)
    elif how == "given free":
        claims.drop(world.s3, SETTINGS, plan)
    else:
        s3_objects.delete(world.s3, plan.uri)
    for _ in range(24):
        world.s3.now += HOUR
        world.look()
    assert world.another_plans(lives=True)


def test_a_claim_that_is_dropped_while_it_is_renewed_stays_dropped(world: World) -> None:
    plan = world.plan("done")
    found = claims.find(world.s3, SETTINGS, claims.uri_of(SETTINGS, plan))
    assert found is not None
    claims.drop(world.s3, SETTINGS, plan)
    claims.renew(world.s3, found)
    assert world.another_plans()


def test_one_damaged_claim_keeps_no_other_from_being_renewed(world: World) -> None:
    s3_objects.put(world.s3, "s3://work/claims/damaged.json", b"{")
    plan = world.plan("slow")
    world.s3.now += 23 * HOUR
    world.look()
    world.s3.now += 20 * HOUR
    assert claims.is_held(world.s3, SETTINGS, plan)


def test_a_claim_of_a_later_release_holds(world: World) -> None:
    plan = world.plan("later")
    uri = claims.uri_of(SETTINGS, plan)
    found = claims.find(world.s3, SETTINGS, uri)
    assert found is not None
    s3_objects.put(world.s3, uri, claims.seal(vars(found.claim) | {"more": 1}))
    assert not world.another_plans()
