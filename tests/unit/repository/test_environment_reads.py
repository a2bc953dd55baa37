"""Variables are read by the table in ``moderation.settings`` and by nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from support.airflow_home import REPOSITORY

TABLE = "include/moderation/settings.py"
ALLOWED = {
    TABLE: "the table",
    "include/moderation/variables/table.py": "what the dataclasses of the table share",
    "include/moderation/storage/memory.py": "tells Arrow its allocator before it is imported; reads nothing",
}
_NAMES = {"environ", "environb", "getenv", "getenvb"}


def uses(source: str) -> list[int]:
    """Lines that get at the process's environment, by whatever name ``os`` has."""
    found = []
    for node in ast.walk(ast.parse(source)):
        reached = (isinstance(node, ast.Attribute) and node.attr in _NAMES) or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and any(alias.name in {*_NAMES, "*"} for alias in node.names)
        )
        if reached:
            found.append(node.lineno)
    return found


def modules() -> dict[str, Path]:
    folders = ("include/moderation", "plugins", "dags")
    paths = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")]
    return {path.relative_to(REPOSITORY).as_posix(): path for path in paths}


def test_no_module_but_the_table_reads_the_environment() -> None:
    read = {name: uses(path.read_text(encoding="utf-8")) for name, path in modules().items()}
    assert {name: lines for name, lines in read.items() if lines and name not in ALLOWED} == {}
    assert [name for name in ALLOWED if not read[name]] == []


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ.get('A')",
        "import os\nos.getenv('A')",
        "import os as system\nsystem.environ['A']",
        "from os import environ as env\nenv['A']",
        "from os import *\nenviron['A']",
        "import os\ndef f(environ=os.environ): ...",
    ],
)
def test_the_environment_is_found_by_whatever_name_it_is_reached(source: str) -> None:
    assert uses(source)


def test_a_parameter_called_environ_is_no_read() -> None:
    assert uses("def f(environ):\n    return environ.get('A')") == []
