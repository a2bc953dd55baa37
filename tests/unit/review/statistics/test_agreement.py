from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from moderation.review.statistics.agreement import alpha, people, seconds_a_decision
from support.verdict_rows import START, verdict_row, verdict_table


def said(number: int, seconds: float, **given: Any) -> dict[str, Any]:
    return verdict_row(number, decided_at=START + timedelta(seconds=seconds), **given)


def test_agreement_is_krippendorffs_alpha_of_what_each_said_last():
    # Krippendorff (2011), "Computing Krippendorff's alpha-reliability", example A: 2 people, 10 units, 0.095.
    meg, owen = "0100000010", "1110010000"
    rows = [
        said(
            number,
            number,
            content=f"c{number % 10}",
            reviewer=who,
            verdict="present" if vote == "1" else "absent",
        )
        for number, (who, vote) in enumerate([("meg", v) for v in meg] + [("owen", v) for v in owen])
    ]
    changed = said(90, 90, content="c0", reviewer="owen", verdict="absent")
    back = said(91, 91, content="c0", reviewer="owen", verdict="withdrawn", replaces="v90")
    (number,) = alpha(verdict_table([*rows, changed, back]))
    assert number["value"] == pytest.approx(0.095, abs=5e-4)
    assert (number["label"], number["n"], number["k"]) == ("Weapons", 10, 6)


def test_one_opinion_each_is_no_agreement():
    (number,) = alpha(verdict_table([said(1, 0), said(2, 1, reviewer="ben")]))
    assert "second opinions" in number["reason"]


def test_pace_leaves_pauses_out_and_names_give_way_to_pseudonyms():
    rows = [said(i, seconds) for i, seconds in enumerate((0, 8, 16, 5_000, 5_008))]
    (ana,) = people(verdict_table(rows), pseudonyms=True)
    assert (ana["reviewer"], ana["decisions"], ana["seconds"], ana["an_hour"]) == ("reviewer 1", 5, 8, 450)
    assert seconds_a_decision(verdict_table(rows)) == 8
    assert seconds_a_decision(verdict_table([])) is None


def test_what_is_said_of_an_image_at_once_is_one_decision_and_a_page_of_the_grid_is_paced_by_its_time():
    labels = ("Weapons", "Violence")
    focus = [said(9 * i + n, 10 * i, content=f"c{i}", label=labels[n]) for i in range(4) for n in range(2)]
    (ana,) = people(verdict_table(focus))
    assert (ana["decisions"], ana["seconds"], ana["an_hour"]) == (4, 10, 360)
    pages = [said(100 * p + i, 40 * p + i / 1e6, content=f"c{p} {i}") for p in range(3) for i in range(21)]
    (ana,) = people(verdict_table(pages))
    assert (ana["decisions"], ana["seconds"]) == (63, pytest.approx(80 / 62, rel=1e-3))


def test_an_image_counts_once_a_day_as_an_exposure_and_an_erased_one_still_does():
    rows = [
        said(1, 0, content="a"),
        said(2, 9, content="a", label="Violence", level=1),
        said(3, 90_000, content="b"),
        said(4, 90_001, content=None, source_ref=None, erased=True),
    ]
    (ana,) = people(verdict_table(rows))
    assert (ana["days"], ana["exposures_a_day"], ana["most_exposures"]) == (2, 1.5, 2)


def test_what_was_skipped_was_shown_too_and_what_was_imported_was_not():
    image = {"subject": "image", "label": None, "level": None}
    rows = [
        said(1, 0, content="a"),
        said(2, 1, content="b", verdict="skipped", **image),
        said(3, 2, content="c", origin="import"),
    ]
    (ana,) = people(verdict_table(rows))
    assert (ana["decisions"], ana["most_exposures"]) == (2, 2)


def test_what_is_severe_is_in_nobodys_exposure_until_an_operator_shows_it_again():
    image = {"subject": "image", "label": None, "level": None}
    hidden = said(3, 2, content="b", verdict="severe", **image)
    rows = [said(1, 0, content="a"), said(2, 1, content="b"), hidden]
    assert people(verdict_table(rows))[0]["most_exposures"] == 1
    (only,) = people(verdict_table(rows[1:]))
    assert (only["days"], only["exposures_a_day"], only["most_exposures"]) == (1, 0, 0)
    shown = said(4, 3, content="b", reviewer="op", verdict="not_severe", **image)
    assert people(verdict_table([*rows, shown]))[0]["most_exposures"] == 2


def test_golden_items_are_held_against_what_was_said_where_it_was_no_test():
    rows = [
        said(1, 0, content="a", reviewer="op", verdict="absent"),
        said(2, 1, content="b", reviewer="op", verdict="present"),
        said(3, 2, content="a", purpose="golden", verdict="present"),
        said(4, 3, content="b", purpose="golden", verdict="present"),
    ]
    found = {one["reviewer"]: one for one in people(verdict_table(rows))}
    assert (found["ana"]["golden"], found["ana"]["golden_right"]) == (2, 1)
    assert found["op"]["golden"] == 0


GOLD = {"reviewer": "op", "purpose": "golden", "queue_id": "golden-1"}
TEST = {"purpose": "golden", "queue_id": "job-1"}
WHOLE = {"subject": "image", "label": None, "level": None, "l1": None, "l2": None, "l3": None}


def _against(*tests, laid=({},)):
    rows = [said(number, number, content="a", **{**GOLD, **one}) for number, one in enumerate(laid)]
    rows += [said(9 + n, 9 + n, content="a", **{**TEST, **one}) for n, one in enumerate(tests)]
    found = {one["reviewer"]: one for one in people(verdict_table(rows))}
    return found["ana"]["golden"], found["ana"]["golden_right"]


def test_what_was_laid_down_in_a_queue_of_golden_items_is_known():
    assert _against({}) == (1, 1)
    assert _against({"verdict": "absent"}) == (1, 0)
    later = {"reviewer": "ben", "verdict": "absent", "purpose": "training", "queue_id": "job-2"}
    assert _against({}, later) == (1, 1)
    own = {"reviewer": "op", "verdict": "absent"}
    assert _against({}, own) == (1, 1)


def test_a_golden_item_counts_once_however_many_labels_it_has():
    violence = {"label": "Violence", "level": 1}
    laid = ({}, violence, {**WHOLE, "verdict": "complete"})
    assert _against({}, violence, laid=laid) == (1, 1)
    assert _against({}, violence | {"verdict": "absent"}, laid=laid) == (1, 0)


def test_a_golden_item_of_which_a_label_is_missed_or_made_up_is_not_as_known():
    nothing, complete = WHOLE | {"verdict": "nothing"}, WHOLE | {"verdict": "complete"}
    assert _against(nothing) == (1, 0)
    assert _against(nothing, laid=(nothing,)) == (1, 1)
    assert _against({}, complete, laid=(nothing,)) == (1, 0)
    smoking = {"label": "Smoking", "l1": "Drugs & Tobacco", "l2": "Drugs & Tobacco Paraphernalia & Use"}
    assert _against(smoking | {"l3": "Smoking"}, complete) == (1, 0)
