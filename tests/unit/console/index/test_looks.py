from __future__ import annotations

import duckdb
import pytest

from moderation.console.index.looks import INDEX, QUEUE, memory_for, with_enough


@pytest.mark.parametrize(
    ("variable", "images", "each", "given"),
    [
        ("", 0, QUEUE, "64MB"),
        ("", 100_000, QUEUE, "64MB"),
        ("", 1_000_000, QUEUE, "500MB"),
        ("", 1_000_000, INDEX, "200MB"),
        ("1GB", 1_000_000, QUEUE, "1000MB"),
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
    assert memory_for(100_000, times=4) == "256MB"
