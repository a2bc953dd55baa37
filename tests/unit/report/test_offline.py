from __future__ import annotations

import pytest

from moderation.report.offline import notice


@pytest.mark.parametrize(
    "answers", [{}, {"7.0": 3}, {None: 2, "7.1": 1}, {"custom-2": 4}, {"offline-1.0": 0}]
)
def test_nothing_is_said_where_no_answer_is_the_offline_models(answers):
    assert notice(answers) is None


@pytest.mark.parametrize(
    ("answers", "begins"),
    [
        ({"offline-1.0": 3}, "All 3 answers are the offline model's (offline-1.0), not Amazon"),
        ({"offline-hash-1": 1, "7.0": 2}, "1 of 3 answers are the offline model's (offline-hash-1), not"),
    ],
)
def test_answers_that_nobody_was_billed_for_are_told_with_their_model(answers, begins):
    said = notice(answers)
    assert said is not None
    assert said.startswith(begins)
    assert "nothing was billed" in said
