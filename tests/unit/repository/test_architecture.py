"""The guides name places in the code; each of them is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "include" / "moderation"
GUIDE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PLACES = sorted(set(re.findall(r"`([\w/]+\.py):([\w.]+)`", GUIDE)))
FILES = sorted(
    set(re.findall(r"`((?:include|tests|dags)/[\w/]+\.(?:py|sql)|[a-z]+/[a-z0-9_]+\.py)`", GUIDE))
    | set(
        re.findall(
            r"`((?:include|tests|dags)/[\w/]+\.(?:py|sql))`",
            (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        )
    )
)


def found(path: str) -> Path:
    """A place of the guides: from the root, or below ``include/moderation``."""
    return ROOT / path if (ROOT / path).exists() else PACKAGE / path


def defined(tree: ast.AST, dotted: str) -> bool:
    """Whether a module defines the function, class, method or attribute of that name."""
    name, _, rest = dotted.partition(".")
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            return not rest or defined(node, rest)
    return False


@pytest.mark.parametrize(("path", "name"), PLACES, ids=[f"{path}:{name}" for path, name in PLACES])
def test_a_place_that_the_architecture_names_exists(path: str, name: str) -> None:
    assert defined(ast.parse(found(path).read_text(encoding="utf-8")), name)


@pytest.mark.parametrize("path", FILES)
def test_a_file_that_a_guide_names_exists(path: str) -> None:
    assert found(path).is_file()


def test_the_architecture_answers_ten_questions_on_two_pages() -> None:
    assert len(re.findall(r"^\| .+\? \| ", GUIDE, re.MULTILINE)) == 10
    assert len(GUIDE.splitlines()) <= 110


def test_every_room_is_drawn() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    drawing = GUIDE.partition("```\n")[2].partition("```")[0]
    assert {room for room in rooms if not re.search(rf"\b{room}\b", drawing)} == set()
