"""The page about damaged state says what the table of the tests says."""

from __future__ import annotations

from pathlib import Path

from support import written_places

ROOT = Path(__file__).parents[3]


def test_the_page_is_the_table_of_the_tests() -> None:
    page = (ROOT / "docs/damaged-state.md").read_text(encoding="utf-8")
    assert page == written_places.document(), "run: make docs"
