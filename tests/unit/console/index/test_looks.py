from __future__ import annotations

import threading

import duckdb
import pytest

from moderation.console.index.looks import INDEX, QUEUE, memory_for, one_at_a_time, with_enough


@pytest.mark.parametrize(
    ("variable", "images", "each", "given"),
    [
        ("", 0, QUEUE, "64MB"),
        ("", 100_000, QUEUE, "64MB"),
        ("", 1_000_000, QUEUE, "500MB"),
        ("", 1_000_000, INDEX, "200MB"),
        ("1GB", 1_000_000, QUEUE, "1000MB"),
        ("", 10_000_000, QUEUE, "1000MB"),
        ("2GB", 10_000_000, QUEUE, "2000MB"),
        ("96MiB", 1_000, QUEUE, "100MB"),
    ],
)
def test_a_page_gets_memory_by_what_it_looks_at(monkeypatch, variable, images, each, given):
    monkeypatch.setenv("MODERATION_CONSOLE_MEMORY", variable)
    assert memory_for(images, each) == given


def test_what_needs_more_memory_than_it_was_given_is_done_again_with_more():
    given = []

    def work(times):
        given.append(times)
        if times == 1:
            raise duckdb.OutOfMemoryException
        return "made"

    assert with_enough(work) == "made"
    assert given == [1, 4]
    assert memory_for(100_000, QUEUE, times=4) == "256MB"


def test_two_threads_do_not_look_at_the_tables_at_once_and_one_may_within_its_own():
    entered, inside = threading.Event(), []

    def look():
        entered.set()
        with one_at_a_time():
            inside.append("other")

    with one_at_a_time():
        other = threading.Thread(target=look)
        other.start()
        assert entered.wait(10)
        with one_at_a_time():
            inside.append("own")
        other.join(0.05)
        assert inside == ["own"]
    other.join(10)
    assert inside == ["own", "other"]
