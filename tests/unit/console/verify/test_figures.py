from __future__ import annotations

import threading
from contextlib import nullcontext

from moderation.console.verify import figures
from moderation.policy.thresholds import Thresholds
from moderation.review.statistics.frames import DRAWS
from moderation.settings import Settings


def test_numbers_are_kept_for_the_thresholds_that_they_were_counted_by(monkeypatch):
    counted = []

    def count(_, *, thresholds, **__):
        counted.append(thresholds.default)
        return thresholds.default

    for name in ("look_at", "look_in_turns"):
        monkeypatch.setattr(figures, name, lambda *_: nullcontext())
    monkeypatch.setattr(figures, "frames_of", count)
    monkeypatch.setattr(figures, "numbers", lambda frames: frames)
    kept = figures.Figures(Settings())
    before, after = Thresholds(default=50.0), Thresholds(default=90.0)
    told = [kept.of(None, thresholds, DRAWS.empty_table()) for thresholds in (before, before, after, after)]
    assert told == [50.0, 50.0, 90.0, 90.0]
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
    monkeypatch.setattr(figures, "numbers", lambda frames: frames)
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
    assert found == [str(load) for load in range(figures._MOST_KEPT + 2)]
    assert len(kept._kept) == figures._MOST_KEPT + 1
