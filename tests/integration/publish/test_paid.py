"""Runs that die between their first payment and their publish, before the offline Rekognition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from moderation.plan import claims
from moderation.plan.plan import Plan
from moderation.sources import positions
from moderation.storage import s3_objects
from support import rekognition_server as offline
from support.hand_runs import Runs, hand_made_runs  # noqa: F401 - a fixture

FIRST, SECOND = ("a", "b"), ("c", "d")


@pytest.fixture
def runs(hand_made_runs: Runs) -> Runs:  # noqa: F811 - a fixture
    hand_made_runs.put(*FIRST, *SECOND)
    return hand_made_runs


def names(plan: Plan, runs: Runs) -> list[str]:
    bodies = [s3_objects.read(runs.s3, manifest.uri).body.decode() for manifest in plan.manifests]
    return sorted(name for body in bodies for name in "abcd" if f"/{name}.jpg" in body)


def by_calls(runs: Runs) -> Plan:
    dead = runs.discover("dead", backend="detect")
    runs.call(dead, 0)
    return dead


def by_jobs(runs: Runs) -> Plan:
    dead = runs.discover("dead", backend="bulk")
    offline.wait_for_job(runs.rekognition, runs.start_job(dead, 0)["JobId"])
    return dead


def refused(*_: object) -> Any:
    raise RuntimeError("AccessDeniedException")


@pytest.mark.slow
@pytest.mark.parametrize("pay", [pytest.param(by_calls, marks=pytest.mark.long), by_jobs])
def test_what_a_dead_run_paid_for_is_published_by_the_next_which_asks_for_the_rest_alone(
    runs: Runs, pay: Callable[[Runs], Plan]
) -> None:
    dead = pay(runs)
    heir = runs.discover("heir", backend="detect")
    assert runs.loads() == {dead.load_id: (2, 2)}
    assert names(heir, runs) == list(SECOND)
    assert "published or given up" in str(runs.may_pay(dead, 1)), "the dead one that wakes up pays no more"
    runs.call(heir, 0)
    runs.publish(heir)
    assert runs.paid() == Counter([*FIRST, *SECOND])
    again = runs.discover("dead", backend="detect")
    assert (again.plan_number, again.totals.already_moderated) == (2, 4)


@pytest.mark.long
@pytest.mark.parametrize(
    "reason", ["its job runs", "it lives", "nobody can list jobs", "its job is forgotten"]
)
def test_what_cannot_be_published_yet_keeps_its_images(runs: Runs, reason: str) -> None:
    dead, real = by_jobs(runs), runs.list_jobs
    if reason == "it lives":
        runs.living.add("dead")
    elif reason == "its job runs":
        runs.list_jobs = lambda since: (job | {"Status": "IN_PROGRESS"} for job in real(since))
    elif reason == "its job is forgotten":
        runs.list_jobs = lambda since: ()
    else:
        runs.list_jobs = refused
    heir = runs.discover("heir", backend="bulk")
    assert (heir.is_empty, heir.totals.claimed_elsewhere, runs.loads()) == (True, 4, {})
    runs.living.clear()
    runs.list_jobs = real
    assert names(runs.discover("later", backend="bulk"), runs) == list(SECOND)
    assert runs.loads() == {dead.load_id: (2, 2)}
    assert runs.paid() == Counter(FIRST)


@pytest.mark.long
def test_a_run_that_died_before_it_paid_frees_its_images_and_leaves_no_load(runs: Runs) -> None:
    dead = runs.discover("dead", backend="bulk")
    assert runs.may_pay(dead, 0) is None
    assert names(runs.discover("heir", backend="bulk"), runs) == [*FIRST, *SECOND]
    assert runs.loads() == {}


@pytest.mark.long
def test_a_run_that_comes_back_with_another_question_publishes_what_it_paid_for_first(runs: Runs) -> None:
    dead = by_calls(runs)
    again = runs.discover("dead", backend="detect", min_confidence=20.0)
    assert runs.loads() == {dead.load_id: (2, 2)}
    assert (again.plan_number, names(again, runs)) == (2, [*FIRST, *SECOND])
    assert not s3_objects.exists(runs.s3, claims.uri_of(runs.settings, dead))


@pytest.mark.long
def test_a_journal_is_read_on_from_where_it_was_published_and_what_was_seen_twice_is_paid_once(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.journal(monkeypatch)
    runs.tell("a", "b", "c")
    first = runs.discover("first", backend="detect")
    runs.call(first, 0)
    runs.publish(first)  # the other manifest is owed: the position stays
    second = runs.discover("second", backend="detect")
    assert (second.totals.listed, names(second, runs)) == (3, ["c"])
    runs.call(second, 0)
    with monkeypatch.context() as killed:
        killed.setattr(positions, "advance", refused)
        with pytest.raises(RuntimeError):
            runs.publish(second)
    assert runs.discover("third", backend="detect").totals.listed == 3
    runs.publish(second)
    runs.tell("d")
    fourth = runs.discover("fourth", backend="detect")
    assert (fourth.totals.listed, names(fourth, runs)) == (1, ["d"])
    assert runs.discover("asks for more", backend="detect", min_confidence=20.0).totals.listed == 4
    assert runs.paid() == Counter("abc")
