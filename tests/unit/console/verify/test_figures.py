from __future__ import annotations

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

    monkeypatch.setattr(figures, "look_in_turns", lambda *_: nullcontext())
    monkeypatch.setattr(figures, "frames_of", count)
    monkeypatch.setattr(figures, "numbers", lambda frames: frames)
    kept = figures.Figures(Settings())
    before, after = Thresholds(default=50.0), Thresholds(default=90.0)
    told = [kept.of(None, thresholds, DRAWS.empty_table()) for thresholds in (before, before, after, after)]
    assert told == [50.0, 50.0, 90.0, 90.0]
    assert counted == [50.0, 90.0]
