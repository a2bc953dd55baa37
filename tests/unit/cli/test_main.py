from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module

import pytest

from moderation.cli import main
from moderation.cli.arguments import Parser

LIGHT = main._COMMANDS.keys() - {"adapter.parser", "archive.estimate", "plan"}
"""The others read the published tables."""


@pytest.mark.parametrize("module", main._COMMANDS)
def test_a_command_is_found_in_the_module_that_the_table_names(module: str) -> None:
    commands = Parser(prog="moderation").add_subparsers()
    import_module(f"moderation.cli.{module}").add_parsers(commands)

    assert tuple(commands.choices) == main._COMMANDS[module]


def test_a_command_waits_for_no_library_that_only_others_need() -> None:
    code = (
        f"import sys; from moderation.cli import main; main._parser({sorted(LIGHT)}); "
        "print(*{'airflow', 'pandas', 'pyiceberg.table', 'sqlalchemy'} & sys.modules.keys())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.check_output([sys.executable, "-c", code], env=environment, text=True) == "\n"


def test_help_lists_the_commands_of_all_modules(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])

    listed = capsys.readouterr().out.split()
    assert [name for names in main._COMMANDS.values() for name in names if name not in listed] == []
