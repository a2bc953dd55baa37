from __future__ import annotations

import socket
from typing import Any

import pytest
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils

from moderation_airflow import metrics

LOAD = {
    "images": 7, "moderated": 4, "failed": 1, "not_attempted": 2, "manifests": 3, "cost_usd": 0.004,
}  # fmt: skip


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch):
    """A StatsD server as far as the protocol goes: a UDP socket, and Airflow set to send there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(server.getsockname()[1]))
        made: list[Any] = []
        factory = stats_utils.get_stats_factory()

        def make() -> Any:
            made.append(factory())
            return made[-1]

        stats.initialize(factory=make, export_legacy_names=True)
        yield server
        for logger in made:
            logger.statsd.close()
    monkeypatch.undo()
    stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)


def test_a_load_is_counted_in_statsd(listener: socket.socket) -> None:
    metrics.emit(LOAD, calls=[{"throttles": 5}, {"throttles": 1}])
    found = {}
    while len(found) < 8:
        name, _, value = listener.recv(1024).decode().partition(":")
        found[name] = value
    assert found == {
        "airflow.moderation.images": "7|c",
        "airflow.moderation.images.moderated": "4|c",
        "airflow.moderation.images.failed": "1|c",
        "airflow.moderation.images.not_attempted": "2|c",
        "airflow.moderation.jobs": "3|c",
        "airflow.moderation.failures": "3|c",
        "airflow.moderation.throttles": "6|c",
        "airflow.moderation.cost_usd": "0.004|g",
    }
