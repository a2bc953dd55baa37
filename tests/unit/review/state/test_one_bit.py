from __future__ import annotations

import struct
from typing import Any

import pytest

from moderation.review.state.one_bit import turned


@pytest.mark.parametrize(
    ("value", "among"),
    [
        (5, [4, 7, 5 - 128, 5 + (1 << 40), 5 - (1 << 63)]),
        (-1, [-2, 127, -129, (1 << 63) - 1, 32767]),
        (0.5, [-0.5, 0.75]),
        ("ann", ["inn", "anl"]),
        (b"ann", ["inn", "anl"]),
        (b"\xe1nn", ["ann"]),
        (True, [False]),
        (None, []),
    ],
    ids=repr,
)
def test_every_value_that_one_bit_makes_of_it_is_tried(value: Any, among: list[Any]) -> None:
    found = list(turned(value))
    assert set(among) <= set(found)
    assert value not in found


def test_a_number_has_as_many_neighbours_as_bits_and_a_text_none_that_is_no_text() -> None:
    assert len({struct.pack(">d", other) for other in turned(0.1)}) == 64
    assert all(isinstance(other, str) and "\0" not in other for other in turned("\x01é"))
