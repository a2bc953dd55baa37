from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from moderation.console.index.selection import Selection, SelectionError

CHOSEN = [
    Selection(),
    Selection(shown="unflagged", at=62.5, node="Violence › Weapons", kind="animated", text="ü &=?/ b"),
    Selection(shown="failed", code="ImageTooLarge", order="name"),
    Selection(shown="all", at=0.0, order="doubtful", gone=True),
]


@pytest.mark.parametrize("chosen", CHOSEN)
def test_an_address_says_all_of_a_selection(chosen):
    assert Selection.parse(dict(parse_qsl(chosen.query()))) == chosen


def test_what_is_default_does_not_stand_in_the_address():
    assert Selection().query() == ""


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"show": "x"}, "show"),
        ({"at": "101"}, "at"),
        ({"at": "nan"}, "at"),
        ({"at": "x"}, "at"),
        ({"type": "photo"}, "type"),
        ({"order": "1; drop"}, "order"),
        ({"gone": "b.jpg"}, "gone"),
        ({"q": "a" * 401}, "q"),
    ],
)
def test_an_address_that_asks_for_what_cannot_be_is_refused_by_name(query, named):
    with pytest.raises(SelectionError, match=named):
        Selection.parse(query)


def test_unknown_parts_of_an_address_are_left_alone():
    assert Selection.parse({"part": "side", "utm": "x"}) == Selection()
