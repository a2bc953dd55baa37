"""A StatsD server as far as its protocol goes: a UDP socket whose counters are added up."""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import pytest


class StatsdListener:
    """Listens on a free port of 127.0.0.1 for the length of a block."""

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.port: int = self._socket.getsockname()[1]
        self._totals: defaultdict[str, float] = defaultdict(float)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    @property
    def settings(self) -> dict[str, str]:
        """What Airflow's environment needs to send here."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self.port),
        }

    def wait_for(self, name: str, total: float, *, timeout: float = 240) -> None:
        """Wait until a counter or gauge stands at ``total``."""
        deadline = time.monotonic() + timeout
        while self.totals().get(name) != total:
            assert time.monotonic() < deadline, self.totals()
            time.sleep(0.02)

    def totals(self) -> dict[str, float]:
        """Sums of counters and last values of gauges, by name."""
        return dict(self._totals)

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                packet = self._socket.recv(65_536).decode()
            except TimeoutError:
                continue
            for line in packet.splitlines():
                name, _, rest = line.partition(":")
                value, kind, *_ = rest.split("|")
                self._totals[name] = float(value) + (self._totals[name] if kind == "c" else 0.0)


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsdListener]:
    """Have Airflow in this process send its metrics to a listener."""
    from airflow.sdk.observability import stats  # noqa: PLC0415 - after the home of the tests is set
    from airflow.sdk.observability.metrics import stats_utils  # noqa: PLC0415

    made: list[Any] = []
    with StatsdListener() as listener, monkeypatch.context() as patched:
        for name, value in listener.settings.items():
            patched.setenv(name, value)
        factory = stats_utils.get_stats_factory()

        def make() -> Any:
            made.append(factory())
            return made[-1]

        stats.initialize(factory=make, export_legacy_names=True)
        try:
            yield listener
        finally:
            for logger in made:
                logger.statsd.close()
            patched.undo()
            stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
