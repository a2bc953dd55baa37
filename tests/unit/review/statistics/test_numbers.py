from __future__ import annotations

from typing import Any

import pytest

from moderation.review.statistics.frames import Frames
from moderation.review.statistics.numbers import numbers
from support.judged_rows import draw, frames, judged, population

FLAGGED = [
    judged(f"f{i}", "absent" if i % 10 == 0 else "present", 50 + i % 50, draw="q1:1") for i in range(100)
]
UNFLAGGED = [
    judged(f"u{i}", "present" if i == 5 else "absent", draw="q2:1", stratum="none") for i in range(1000)
]
DRAWS = [draw("q1:1", 30_000), draw("q2:1", 970_000, "none")]
POPULATION = [population(1_000_000, 30_000)]


def told(of: Frames, *measures: str, **columns: Any) -> dict[str, dict[str, Any]]:
    return {row["measure"]: row for row in numbers(of).pick(*measures, **columns)}


def test_precision_missed_images_and_recall_are_told_with_their_intervals():
    found = told(frames(FLAGGED + UNFLAGGED, DRAWS, POPULATION))
    assert {name: found[name]["value"] for name in ("tp", "fp", "fn", "tn")} == {
        "tp": 90,
        "fp": 10,
        "fn": 1,
        "tn": 999,
    }
    assert found["not_verified"]["value"] == 29_900
    precision, missed, recall = found["precision"], found["missed"], found["recall"]
    assert precision["value"] == pytest.approx(0.9)
    assert (precision["low"], precision["high"]) == pytest.approx((0.829, 0.948), abs=1e-3)
    assert (precision["k"], precision["n"]) == (90, 100)
    assert missed["value"] == pytest.approx(970)
    assert found["missed_share"]["high"] == pytest.approx(0.0049, abs=1e-4)
    assert recall["value"] == pytest.approx(27_000 / 27_970)
    assert (recall["low"], recall["high"]) == pytest.approx((0.85, 0.998), abs=2e-3)
    assert recall["population"] == "30,000 images flagged; 970,000 images not flagged"


def test_verdicts_met_by_browsing_are_counted_and_enter_no_rate():
    browsed = [judged(f"b{i}", "absent", 90) for i in range(50)]
    found = told(frames(FLAGGED + browsed, DRAWS, POPULATION))
    assert found["fp"]["value"] == 60
    assert found["precision"]["value"] == pytest.approx(0.9)
    assert "browsing" in told(frames(browsed, [], POPULATION))["precision"]["reason"]


@pytest.mark.parametrize(
    "other", [{"threshold": 80.0}, {"model_version": "7.1"}, {"adapter": "arn:aws:rekognition:a"}]
)
def test_models_adapters_and_thresholds_are_never_pooled(other):
    theirs = [judged(f"o{i}", "absent", 90, draw="q1:1", **other) for i in range(100)]
    keys = {"model_version": "7.0", "adapter": None, "threshold": 50.0}
    found = numbers(frames(FLAGGED + theirs, DRAWS))
    assert [row["value"] for row in found.pick("precision", **keys)] == [pytest.approx(0.9)]
    assert [row["value"] for row in found.pick("precision", **(keys | other))] == [0.0]


def test_a_stratum_of_which_nothing_is_decided_yet_makes_the_rest_not_measurable():
    strata = [*DRAWS, draw("q2:1", 60_000, "5-20")]
    found = told(frames(FLAGGED + UNFLAGGED, strata, POPULATION))
    assert found["recall"]["value"] is None
    assert found["missed"]["reason"] == "nothing of stratum 5-20 (60,000 images) is decided yet"
    assert found["precision"]["value"] == pytest.approx(0.9)


def test_who_only_adds_what_was_missed_says_nothing_where_nothing_was_added():
    weapons = [judged(f"u{i}", "present", draw="q2:1", stratum="none", label="Weapons") for i in range(3)]
    found = told(frames(FLAGGED + UNFLAGGED + weapons, DRAWS), "missed_share", label="Weapons")
    assert found["missed_share"]["reason"] == (
        "only 3 of 1,000 reviewed images of stratum none say whether it is there"
    )


@pytest.mark.parametrize(
    "chosen",
    [
        {"kind": "band", "label": "Violence", "low": 50.0, "high": 60.0},
        {"kind": "filter"},
        {"kind": "policy"},
        {"kind": "job", "label": "Weapons"},
        {"kind": "job", "label": "Violence", "low": 70.0},
    ],
)
def test_what_a_filter_a_band_or_a_policy_chose_enters_no_rate_of_a_label(chosen):
    found = told(frames(FLAGGED, [draw("q1:1", 30_000, **chosen)], POPULATION))
    assert "stands for itself alone" in found["precision"]["reason"]


def test_a_queue_of_a_jobs_predictions_tells_the_precision_of_its_label():
    found = told(frames(FLAGGED, [draw("q1:1", 30_000, kind="job", label="Violence")], POPULATION))
    assert found["precision"]["value"] == pytest.approx(0.9)


def test_two_draws_of_the_same_images_are_not_added_up():
    again = [row | {"draw": "q9:1", "content": f"again{i}"} for i, row in enumerate(FLAGGED[:50])]
    found = told(frames(FLAGGED + again, [*DRAWS, draw("q9:1", 30_000)], POPULATION))
    assert found["precision"]["n"] == 100


def test_draws_from_several_nights_add_up_to_their_loads():
    second = [
        row | {"draw": "q1:2", "load_id": "L2", "week": "2026-11-30", "content": f"second{i}"}
        for i, row in enumerate(FLAGGED)
    ]
    draws = [*DRAWS, draw("q1:2", 10_000, load_id="L2")]
    both = [*POPULATION, population(500_000, 10_000, load_id="L2", week="2026-11-30")]
    result = numbers(frames(FLAGGED + second, draws, both))
    (whole,) = result.pick("precision")
    assert whole["population"] == "40,000 images flagged"
    assert (whole["first_week"], whole["last_week"]) == ("2026-11-23", "2026-11-30")
    assert [row["n"] for row in result.pick("precision", week="2026-11-30")] == [100]
    assert [row["population"] for row in result.pick("precision", load_id="L2")] == ["10,000 images flagged"]


def test_what_was_not_drawn_from_is_named_in_the_population():
    both = [*POPULATION, population(500_000, 10_000, load_id="L2")]
    found = told(frames(FLAGGED, DRAWS, both))
    assert found["precision"]["population"] == (
        "30,000 of 40,000 images flagged: from the rest nothing was drawn"
    )


def test_a_higher_threshold_turns_what_was_found_below_it_into_misses():
    result = numbers(frames(FLAGGED + UNFLAGGED, DRAWS, POPULATION))
    at = {row["threshold"]: row for row in result.pick("recall_at")}
    assert at[50]["value"] == pytest.approx(27_000 / 27_970)
    assert at[80]["value"] == pytest.approx(36 * 300 / 27_970)
    assert min(at) == 50
    precise = {row["threshold"]: row for row in result.pick("precision_at")}
    assert (precise[80]["k"], precise[80]["n"]) == (36, 40)


def test_contents_weigh_by_copies_when_asked():
    rows = [judged("once", "absent", 90, draw="q1:1"), judged("often", "present", 90, draw="q1:1", copies=9)]
    of = frames(rows, [draw("q1:1", 2)], [population(2, 2, copies=10, flagged_copies=10)])
    (plain,), (weighed,) = (numbers(of, by_copies=by).pick("precision") for by in (False, True))
    assert (plain["value"], weighed["value"]) == (0.5, pytest.approx(0.9))


def test_unsure_and_disputed_count_for_neither_side():
    rows = [
        judged("a", "present", 90, draw="q1:1"),
        judged("b", "unsure", 90, draw="q1:1"),
        judged("c", None, 90, draw="q1:1"),
    ]
    found = told(frames(rows, [draw("q1:1", 3)], [population(3, 3)]))
    assert (found["unsure"]["value"], found["tp"]["value"], found["precision"]["n"]) == (1, 1, 1)


def test_awss_own_rates_stand_beside_them_without_an_interval():
    found = told(frames(FLAGGED + UNFLAGGED, DRAWS, POPULATION))
    positive, negative = found["aws_false_positive_rate"], found["aws_false_negative_rate"]
    assert (positive["value"], negative["value"]) == (pytest.approx(10 / 1009), pytest.approx(1 / 91))
    assert positive["low"] is None


def test_nothing_at_all_gives_no_numbers():
    assert numbers(frames([])).rows.num_rows == 0
