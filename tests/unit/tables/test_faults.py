"""Promises of the one way to the tables' metadata."""

import threading
import time

from pyiceberg.expressions import parser

from moderation.tables.faults import row_filter

ASKING = 4
FILTER = "dt >= '2026-08-24' and dt <= '2026-08-25'"


def test_filters_that_threads_need_at_once_are_read_one_after_another(monkeypatch):
    """The first of them would change pyiceberg's grammar below the others."""
    read_by_pyiceberg, together = parser.parse, threading.Barrier(ASKING)
    inside, most, found = [], [], []

    def parse(text):
        inside.append(text)
        for _ in range(200):
            time.sleep(0)  # gives way to who else may come
            most.append(len(inside))
        inside.pop()
        return read_by_pyiceberg(text)

    def ask():
        together.wait()
        found.append(row_filter(FILTER))

    monkeypatch.setattr(parser, "parse", parse)
    threads = [threading.Thread(target=ask) for _ in range(ASKING)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [read_by_pyiceberg(FILTER)] * ASKING
    assert max(most) == 1
