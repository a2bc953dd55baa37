from __future__ import annotations

import pytest

from moderation.console.index.looks import INDEX, QUEUE, memory_for


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
