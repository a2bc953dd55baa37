from __future__ import annotations

import pytest

from moderation_airflow import metrics
from support import statsd_listener

LOAD = {
    "images": 7, "moderated": 4, "failed": 1, "not_attempted": 2, "manifests": 3, "cost_usd": 0.004,
}  # fmt: skip


def test_a_load_is_counted_in_statsd(monkeypatch: pytest.MonkeyPatch) -> None:
    with statsd_listener.counting(monkeypatch) as listener:
        metrics.emit(LOAD, calls=[{"throttles": 5}, {"throttles": 1}])
        listener.wait_for("airflow.moderation.cost_usd", 0.004)  # the last to be sent
        assert listener.totals() == {
            "airflow.moderation.images": 7,
            "airflow.moderation.images.moderated": 4,
            "airflow.moderation.images.failed": 1,
            "airflow.moderation.images.not_attempted": 2,
            "airflow.moderation.jobs": 3,
            "airflow.moderation.failures": 3,
            "airflow.moderation.throttles": 6,
            "airflow.moderation.cost_usd": 0.004,
        }
