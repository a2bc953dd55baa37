"""What the suite leaves to its long version is told by combinations, never by values."""

from __future__ import annotations

import itertools

from support.each_once import each_once


def test_the_suite_tries_each_value_and_the_long_suite_every_combination() -> None:
    _, made = each_once("number, letter, sign", [1, 2, 3], {"ten": 10, "twenty": 20}, [True]).args
    short = [param.values for param in made if not param.marks]
    assert [set(values) for values in zip(*short, strict=True)] == [{1, 2, 3}, {10, 20}, {True}]
    assert len(short) == 3
    assert [param.values for param in made] == [*itertools.product([1, 2, 3], [10, 20], [True])]
    assert made[0].id == "1-ten-True"
    assert {mark.name for param in made for mark in param.marks} == {"long"}
