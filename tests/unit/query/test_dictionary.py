"""The data dictionary in the docs is what the schema code says today."""

from __future__ import annotations

from pathlib import Path

from moderation.query import dictionary, queries
from moderation.schema import TABLES

COMMITTED = Path(__file__).parents[3] / "docs" / "tables.md"


def test_the_committed_dictionary_is_the_generated_one() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == dictionary.markdown(), (
        "run: python -m moderation.query.dictionary > docs/tables.md"
    )


def test_every_column_and_every_ready_query_is_told() -> None:
    text = dictionary.markdown()
    for table in TABLES.values():
        section = text.split(f"\n## {table.name}\n")[1].split("\n## ")[0]
        for field in table.schema:
            assert f"`{field.name}`" in section
    assert all(f"`{query.name}`" in text for query in queries.queries())
