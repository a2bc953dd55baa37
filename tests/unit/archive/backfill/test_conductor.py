from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from moderation.archive.backfill import conductor
from moderation.archive.backfill.conductor import Means
from moderation.archive.backfill.spend import Spent
from moderation.archive.backfill.state import (
    ASKED,
    DONE,
    GOES_ON,
    PARKED,
    PAUSED,
    RUNNING,
    STOPPED,
    WAITING,
    Archive,
    Chunk,
    Options,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FREE = Means(Spent(0.0, 0.0, 0.0), 1.0)


def archive(chunks: int = 3, name: str = "old", **options: object) -> Archive:
    return Archive(
        name=name,
        source="s3://archive/photos",
        options=Options(**options),  # type: ignore[arg-type]
        chunks=tuple(
            Chunk(number=number, uri=f"s3://work/{number}", images=10, first="a", last="b")
            for number in range(1, chunks + 1)
        ),
    )


def statuses(found: Archive) -> list[str]:
    return [chunk.status for chunk in found.chunks]


@dataclass
class Airflow:
    """Runs that take one look each; of the chunks in `failing`, all fail."""

    failing: set[str] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)

    def begin(self, asks: list[conductor.Ask]) -> None:
        for ask in asks:
            run_id = ask.archive.run_id(ask.chunk)
            if run_id not in self.states or ask.again:
                self.states[run_id] = "running"
                self.begun.append(run_id)

    def end(self) -> None:
        for run_id, state in self.states.items():
            if state == "running":
                self.states[run_id] = "failed" if run_id in self.failing else "success"


def work_off(found: Archive, airflow: Airflow, *, killed_after: str = "", looks: int = 200) -> Archive:
    """Look until all is over; every fifth look is killed after one of its writes."""
    now = NOW
    for number in range(looks):
        dies = killed_after if number % 5 == 1 else ""
        now += timedelta(minutes=5)
        found = conductor.observe(found, airflow.states, now=now)
        if dies == "observe":
            continue
        (found,), asks = conductor.choose(
            [found], {found.name: FREE}, others=0, asker=f"look-{number}", now=now
        )
        if dies == "choose":
            continue
        airflow.begin(asks)
        if dies != "begin":
            found = conductor.begun(found, {ask.archive.run_id(ask.chunk) for ask in asks})
        if number % 4 == 3:
            airflow.end()
        if conductor.is_over(found):
            return found
    raise AssertionError(f"not over: {found}")


@pytest.mark.parametrize("killed_after", ["", "observe", "choose", "begin"])
def test_a_conductor_that_is_killed_after_any_write_begins_each_chunk_once(killed_after: str) -> None:
    airflow = Airflow()
    found = work_off(archive(7), airflow, killed_after=killed_after)
    assert statuses(found) == [DONE] * 7
    assert sorted(airflow.begun) == sorted({found.run_id(chunk) for chunk in found.chunks})


@pytest.mark.parametrize("killed_after", ["", "observe", "choose", "begin"])
def test_a_chunk_that_keeps_failing_is_parked_and_the_rest_goes_on(killed_after: str) -> None:
    airflow = Airflow(failing={"archive__old__00002"})
    found = work_off(archive(4, tries=3), airflow, killed_after=killed_after)
    assert statuses(found) == [DONE, PARKED, DONE, DONE]
    assert airflow.begun.count("archive__old__00002") >= 3
    again = conductor.retried(found, None)
    assert statuses(again) == [DONE, WAITING, DONE, DONE]
    airflow.failing.clear()
    assert statuses(work_off(again, airflow)) == [DONE] * 4


def test_what_failed_waits_each_time_twice_as_long() -> None:
    found = archive(1, tries=9)
    chunk = replace(found.chunks[0], status=RUNNING, tries=2, asked_at=NOW.isoformat())
    found = conductor.observe(found.with_chunk(chunk), {found.run_id(chunk): "failed"}, now=NOW)
    for minutes, asked in ((59, 0), (60, 1)):
        _, asks = conductor.choose(
            [found], {"old": FREE}, others=0, asker="look", now=NOW + timedelta(minutes=minutes)
        )
        assert len(asks) == asked
    assert asks[0].again


@pytest.mark.parametrize(
    ("status", "chunk", "kept"),
    [
        (GOES_ON, {"status": WAITING, "tries": 1, "ended_at": NOW.isoformat()}, True),
        (
            "goes on",
            {"status": WAITING, "tries": 1, "ended_at": (NOW - timedelta(days=9)).isoformat()},
            False,
        ),
        (GOES_ON, {"status": WAITING, "tries": 0, "ended_at": ""}, False),
        (GOES_ON, {"status": PARKED, "tries": 3, "ended_at": NOW.isoformat()}, False),
        (PAUSED, {"status": WAITING, "tries": 1, "ended_at": NOW.isoformat()}, False),
    ],
    ids=["between two tries", "begun again by this look", "never tried", "parked", "of a paused archive"],
)
def test_what_a_failed_chunk_has_planned_is_kept_only_between_its_tries(
    status: str, chunk: dict[str, object], kept: bool
) -> None:
    one = archive(chunks=1)
    one = replace(one, status=status, chunks=(replace(one.chunks[0], **chunk),))  # type: ignore[arg-type]
    assert [found.number for found in conductor.tried_again_soon(one, NOW)] == ([1] if kept else [])


def test_the_same_look_asked_once_more_asks_for_the_same_run() -> None:
    (found,), first = conductor.choose([archive()], {"old": FREE}, others=0, asker="look", now=NOW)
    (again,), second = conductor.choose([found], {"old": FREE}, others=5, asker="look", now=NOW)
    assert [ask.archive.run_id(ask.chunk) for ask in first] == ["archive__old__00001"]
    assert [ask.chunk for ask in second] == [ask.chunk for ask in first]
    assert statuses(again) == [ASKED, WAITING, WAITING]


def test_nothing_is_begun_beside_a_run_of_the_night_and_the_archive_says_so() -> None:
    (found,), asks = conductor.choose([archive()], {"old": FREE}, others=1, asker="look", now=NOW)
    assert not asks
    assert "go first" in found.waits


@pytest.mark.parametrize(
    ("spent", "begins"),
    [
        (Spent(8.0, 8.0, 1.0), True),
        (Spent(8.0, 8.0, 1.5), False),
        (Spent(9.5, 9.5, 0.0), False),
        (Spent(0.0, 99.5, 0.0), False),
    ],
)
def test_the_budgets_of_day_and_month_hold_with_what_is_under_way(spent: Spent, begins: bool) -> None:
    limited = archive(day_usd=10, month_usd=100)
    (found,), asks = conductor.choose([limited], {"old": Means(spent, 1.0)}, others=0, asker="look", now=NOW)
    assert bool(asks) is begins
    assert begins or "budget of the" in found.waits


def test_two_archives_share_what_may_be_under_way_at_once() -> None:
    both = [archive(5, "new"), archive(5, "old")]
    means = {"new": FREE, "old": FREE}
    both, asks = conductor.choose(both, means, others=0, asker="look-1", now=NOW)
    assert [ask.archive.name for ask in asks] == ["new", "old"]
    both, asks = conductor.choose(both, means, others=0, asker="look-2", now=NOW)
    assert not asks, "two are under way"


def test_a_pause_ends_by_itself_and_a_stop_does_not() -> None:
    until = (NOW + timedelta(days=3)).isoformat()
    paused = replace(archive(), status=PAUSED, paused_until=until)
    for found, days, begins in ((paused, 2, 0), (paused, 3, 1), (replace(archive(), status=STOPPED), 99, 0)):
        seen = conductor.observe(found, {}, now=NOW + timedelta(days=days))
        _, asks = conductor.choose(
            [seen], {"old": FREE}, others=0, asker="look", now=NOW + timedelta(days=days)
        )
        assert len(asks) == begins


def test_a_run_that_airflow_has_forgotten_is_begun_again_under_its_own_id() -> None:
    found = archive(1)
    chunk = replace(found.chunks[0], status=RUNNING, tries=1, asked_at=NOW.isoformat())
    found = conductor.observe(found.with_chunk(chunk), {}, now=NOW + timedelta(days=40))
    _, asks = conductor.choose([found], {"old": FREE}, others=0, asker="look", now=NOW + timedelta(days=40))
    assert [(ask.archive.run_id(ask.chunk), ask.chunk.tries) for ask in asks] == [("archive__old__00001", 1)]


@pytest.mark.parametrize(
    ("under_way", "ahead", "begins"),
    [(0, 0, True), (1, 500, True), (2, 99, True), (2, 100, False), (7, 99, True), (8, 0, False)],
)
def test_a_chunk_is_begun_while_job_slots_would_run_out_of_manifests(
    under_way: int, ahead: int, begins: bool
) -> None:
    found = archive(12)
    for chunk in found.chunks[:under_way]:
        found = found.with_chunk(replace(chunk, status=RUNNING, asked_by="earlier"))
    work = conductor.Work(slots=5, ahead={"archive__old__00001": ahead})
    _, asks = conductor.choose([found], {"old": FREE}, others=0, asker="look", now=NOW, work=work)
    assert len(asks) == begins
