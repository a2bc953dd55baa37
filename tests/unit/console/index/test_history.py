from __future__ import annotations

from moderation.console.index.history import History
from moderation.policy.thresholds import Thresholds
from moderation.settings import Settings


def test_counts_by_thresholds_that_were_changed_meanwhile_are_kept_apart(monkeypatch):
    history = History(Settings())
    monkeypatch.setattr(history, "loads", lambda: [{"load_id": "a"}])
    before, after = Thresholds(default=50.0), Thresholds(default=90.0)
    counts = {50.0: 7, 90.0: 3}

    def count(loads, thresholds):
        if thresholds == before:
            assert history.flagged(["a"], after) == {"a": 3}
        return {load["load_id"]: counts[thresholds.default] for load in loads}

    monkeypatch.setattr(history, "_count_flagged", count)
    assert history.flagged(["a"], before) == {"a": 7}
    monkeypatch.undo()
    monkeypatch.setattr(history, "loads", lambda: [{"load_id": "a"}])
    assert history.flagged(["a"], after) == {"a": 3}
