"""The tours can be typed word for word: the command line takes every command that they show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from moderation.cli import main

ROOT = Path(__file__).parents[3]
TOURS = sorted((ROOT / "docs").glob("tour-*.md"))
PROGRAM = ".venv/bin/moderation"
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def typed(tour: Path) -> list[str]:
    """What a tour has typed, lines that go on in the next one joined, and what ``$(…)`` holds alone."""
    blocks = re.findall(r"^```console\n(.*?)^```", tour.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [re.sub(r"^[A-Z]+=\$\((.*)\)$", r"\1", command) for command in commands]


@pytest.mark.parametrize("tour", TOURS, ids=lambda tour: tour.stem)
def test_every_command_of_a_tour_is_one_that_there_is(tour: Path) -> None:
    parser, known = main._parser(), 0
    for command in typed(tour):
        program, *arguments = shlex.split(command.split(" | ")[0])
        if program == PROGRAM:
            parser.parse_args(arguments)
            known += 1
        elif program == "make":
            assert arguments[0] in TARGETS, command
        else:
            for word in arguments:  # files of the repository
                assert not word.startswith(("include/", "examples/")) or list(ROOT.glob(word)), command
    assert known
