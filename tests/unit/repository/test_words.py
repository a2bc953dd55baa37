"""What people read calls an image an image."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.airflow_home import REPOSITORY

MODULES = [path for top in ("include", "plugins", "dags") for path in (REPOSITORY / top).rglob("*.py")]
PAGES = [
    *(REPOSITORY / "docs").glob("*.md"),
    REPOSITORY / "README.md",
    REPOSITORY / "Makefile",
    *(REPOSITORY / "include").rglob("*.j2"),
]
_OTHER_WORD = re.compile(r"\bpictures?\b")


def texts(source: str) -> Iterator[str]:
    """The strings of a module that are no docstrings: those are read by who changes it."""
    tree = ast.parse(source)
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def test_no_text_of_the_program_speaks_of_pictures() -> None:
    told = {
        (path.name, text)
        for path in MODULES
        for text in texts(path.read_text(encoding="utf-8"))
        if _OTHER_WORD.search(text)
    }
    assert not told


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_speaks_of_pictures(path: Path) -> None:
    assert not _OTHER_WORD.search(path.read_text(encoding="utf-8"))


def test_texts_are_found_and_docstrings_are_not() -> None:
    assert list(texts('"""A picture."""\nsay(f"{n} pictures")')) == [" pictures"]
