"""The seeds by themselves: nothing is run."""

from __future__ import annotations

from collections import Counter

import pytest

from chaos import points
from chaos.scenarios import IN_SUITE, IN_SUITE_LONG, everything, scenario


def test_two_hundred_seeds_are_meant_to_meet_every_fault_several_times() -> None:
    met = Counter(name for seed in range(200) for name in scenario(seed).faults())
    assert {name: met[name] for name in everything() if met[name] < 3} == {}


@pytest.mark.parametrize("point", points.ALL.values(), ids=list(points.ALL))
def test_each_point_at_which_a_task_is_killed_is_still_there(point: points.Point) -> None:
    owner, name = points.held(point)
    assert callable(getattr(owner, name))


def test_a_seed_always_means_the_same() -> None:
    assert [scenario(seed) for seed in range(20)] == [scenario(seed) for seed in range(20)]


@pytest.mark.parametrize(
    ("seeds", "of_each"), [(IN_SUITE, 1), ((*IN_SUITE, *IN_SUITE_LONG), 2)], ids=["two", "twelve"]
)
def test_the_seeds_of_the_suite_meet_both_backends_a_dead_server_and_company(
    seeds: tuple[int, ...], of_each: int
) -> None:
    some = [scenario(seed) for seed in seeds]
    assert all(entry.kills for entry in some)
    assert {entry.backend for entry in some} == {"bulk", "detect"}
    assert {entry.tables for entry in some} == {"s3", "local"}
    assert len({victim for entry in some for _, victim in entry.servers}) == of_each
    assert len({entry.company for entry in some if entry.company}) == of_each


def test_the_seeds_of_the_long_suite_meet_every_kind_of_fault() -> None:
    some = [scenario(seed) for seed in (*IN_SUITE, *IN_SUITE_LONG)]
    assert any(entry.service for entry in some)
    assert any(entry.torn for entry in some)
