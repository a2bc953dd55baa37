from __future__ import annotations

import threading
from contextlib import nullcontext
from datetime import UTC, date, datetime

import pyarrow as pa

from moderation.console.verify import figures
from moderation.policy.thresholds import Thresholds
from moderation.review.statistics.frames import DRAWS
from moderation.review.statistics.numbers import NUMBERS, Numbers
from moderation.settings import Settings


def test_numbers_are_kept_for_the_thresholds_that_they_were_counted_by(monkeypatch):
    counted = []

    def count(_, *, thresholds, **__):
        counted.append(thresholds.default)
        return thresholds.default

    for name in ("look_at", "look_in_turns"):
        monkeypatch.setattr(figures, name, lambda *_: nullcontext())
    monkeypatch.setattr(figures, "frames_of", count)
    monkeypatch.setattr(figures, "numbers", _with)
    kept = figures.Figures(Settings())
    before, after = Thresholds(default=50.0), Thresholds(default=90.0)
    told = [kept.of(None, thresholds, DRAWS.empty_table()) for thresholds in (before, before, after, after)]
    assert [_value(one) for one in told] == ["50.0", "50.0", "90.0", "90.0"]
    assert counted == [50.0, 90.0]


def test_numbers_of_a_load_do_not_wait_for_those_of_all(monkeypatch):
    asked, may_end = threading.Event(), threading.Event()

    def count(_, *, load_id, **__):
        if load_id is None:
            asked.set()
            assert may_end.wait(60)
        return load_id

    for name in ("look_at", "look_in_turns"):
        monkeypatch.setattr(figures, name, lambda *_: nullcontext())
    monkeypatch.setattr(figures, "frames_of", count)
    monkeypatch.setattr(figures, "numbers", _with)
    kept = figures.Figures(Settings())
    all_of_them = threading.Thread(target=kept.of, args=(None, Thresholds(), DRAWS.empty_table()))
    all_of_them.start()
    assert asked.wait(60)
    try:
        found = [
            kept.of(str(load), Thresholds(), DRAWS.empty_table()) for load in range(figures._MOST_KEPT + 2)
        ]
    finally:
        may_end.set()
        all_of_them.join()
    assert [_value(one) for one in found] == [str(load) for load in range(figures._MOST_KEPT + 2)]
    assert len(kept._kept) == figures._MOST_KEPT + 1


def test_numbers_that_are_kept_are_picked_as_others_and_take_less(monkeypatch):
    labels = ["Violence", None, "Weapons"]
    rows = [
        {
            "measure": measure,
            "label": label,
            "value": float(place),
            "content_type": None,
            "reason": "too few" * 9,
        }
        for place, (measure, label) in enumerate(
            (measure, label) for measure in ("tp", "fp") for label in labels
        )
    ]
    for row in rows:
        row |= {"computed_at": datetime(2026, 1, 1, tzinfo=UTC), "dt": date(2026, 1, 1)}
        row |= {"model_version": "7.0", "population": "contents", "method": "stratified Wilson"}
    of_loads = [row | {"load_id": "20261122T020000Z-4f1c0a9b77de", "first_week": "2026-W47"} for row in rows]
    plain = Numbers(pa.Table.from_pylist((rows + of_loads) * 50, NUMBERS))
    monkeypatch.setattr(figures, "look_in_turns", lambda *_: nullcontext())
    monkeypatch.setattr(figures, "frames_of", lambda *_, **__: None)
    monkeypatch.setattr(figures, "numbers", lambda _: plain)
    kept = figures.Figures(Settings()).of(None, Thresholds(), DRAWS.empty_table())
    assert kept.rows.nbytes < 0.6 * plain.rows.nbytes
    for wanted in ({}, {"label": "Weapons"}, {"label": None}):
        assert kept.pick("fp", "fn", **wanted) == plain.pick("fp", "fn", **wanted) != []
    assert kept.rows.cast(NUMBERS) == plain.rows


def _with(frames: object) -> Numbers:
    return Numbers(pa.Table.from_pylist([{"reason": str(frames)}], NUMBERS))


def _value(told: Numbers) -> str:
    return told.rows["reason"][0].as_py()
