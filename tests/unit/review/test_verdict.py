from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone

import pytest

from moderation.review.verdict import COLUMNS, Verdict, VerdictError
from support.said import said


def test_a_row_and_its_verdict_are_the_same():
    verdict = said("present", confidence=87.5, note="blurred", inclusion_probability=0.25)

    assert Verdict.from_row(verdict.as_row()) == verdict
    assert list(verdict.as_row()) == list(COLUMNS)
    assert len(COLUMNS) == len(fields(Verdict)) + 1


def test_the_day_is_that_of_utc():
    late = datetime(2026, 11, 22, 23, 30, tzinfo=timezone(timedelta(hours=-5)))

    verdict = said("present", decided_at=late)

    assert verdict.decided_at.tzinfo == UTC
    assert verdict.dt.isoformat() == "2026-11-23"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"verdict_id": ""}, "it has no id"),
        ({"reviewer": ""}, "it has no reviewer"),
        ({"decided_at": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001
        ({"subject": "mood"}, "nothing can be said of 'mood'; expected label, content_type, image"),
        ({"verdict": "severe"}, "'severe' cannot be said of a label; expected absent, present"),
        ({"label": None, "subject": "label"}, "it names no label"),
        ({"level": 4}, "its level 4 is none of 1, 2, 3"),
        ({"content": None}, "it names no content"),
        ({"verdict": "withdrawn"}, "what it withdraws"),
        ({"purpose": "fun"}, "its purpose 'fun' is none of"),
        ({"origin": "dream"}, "its origin 'dream'"),
        ({"inclusion_probability": 0.0}, "inclusion probability"),
        ({"note": "x" * 4_001}, "longer than 4,000"),
        ({"note": "a\0b"}, "cannot be stored"),
        ({"erased": True, "content": None}, "still has a key"),
    ],
)
def test_what_cannot_be_said_is_refused_with_the_reason(given, text):
    with pytest.raises(VerdictError, match=text) as caught:
        said(**({"verdict": "present"} | given))

    assert "verdict " in str(caught.value)


def test_an_image_has_no_label():
    with pytest.raises(VerdictError, match="an image has no label"):
        said("nothing", subject="image", level=None)
