"""Every command that a text of the code tells a person to type is taken at its word by the real parsers."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from moderation.cli import main
from moderation.cli.arguments import Parser, UsageError

ROOT = Path(__file__).parents[3]
STAND_INS = ("s3://bucket/key", "20261122T020000Z-4f1c0a9b77de", "labels_l1", "1", "0002")
"""For what a text fills in, or a person: one of them fits whatever it is."""


@cache
def texts(path: Path) -> list[tuple[int, str]]:
    """Every string of a file with its line; what is filled in is `‹›`, the command's name itself."""
    return list(_texts(path))


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    if path.suffix != ".py":
        yield from enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(map(_part, node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def _part(value: ast.expr) -> str:
    if isinstance(value, ast.Constant):
        return str(value.value)
    assert isinstance(value, ast.FormattedValue)
    return "moderation" if ast.unparse(value.value).endswith(".command") else "‹›"


def files() -> list[Path]:
    found = [path for room in ("include", "plugins", "dags") for path in (ROOT / room).rglob("*.py")]
    found += (ROOT / "include").rglob("*.j2")
    return [*found, *(ROOT / "include").rglob("*.sql"), ROOT / "README.md", *(ROOT / "docs").glob("*.md")]


def commands(begin: str) -> list[tuple[str, str]]:
    """Where each command stands, and the command: what is quoted as code and begins so."""
    pattern = re.compile(rf"(?:`|class=\"mono\">)({begin} [^`<]*)(?:`|</span>)")
    found = {
        # The first line of an error begins with the command and a colon: that is none to type.
        (found, f"{path.relative_to(ROOT)}:{line}")
        for path in files()
        for line, text in texts(path)
        for found in pattern.findall(" ".join(text.split()))
        if not re.match(rf"{begin} [a-z-]+:", found)
    }
    return [(place, command) for command, place in sorted(found)]


def words(command: str) -> list[str]:
    """The arguments, without what the shell does with the answer, and with what may be left out."""
    plain = re.split(r"\s[|>;&#]", command)[0].replace("[", "").replace("]", "")
    return shlex.split(plain)[1:]


@cache
def parser() -> Parser:
    return main._parser()


def is_accepted(arguments: list[str]) -> bool:
    """Whether the command line's own parser takes them, whatever the blanks are filled with."""
    for stand_in in STAND_INS:
        filled = [
            stand_in if re.fullmatch(r"‹›|[A-Z][A-Z_]+|\{\w+\}|s3://….*|…", word) else word
            for word in arguments
        ]
        try:
            parser().parse_args(filled)
        except UsageError:
            continue
        return True
    return False


def is_name(arguments: list[str]) -> bool:
    """Whether they are a command's name alone, as running text has it."""
    found: argparse.ArgumentParser | None = parser()
    for word in arguments:
        choices = next(
            (
                action.choices
                for action in (found._actions if found else ())
                if action.nargs == argparse.PARSER
            ),
            {},
        )
        found = choices.get(word)
    return found is not None


def test_every_command_that_a_text_prints_is_one_that_the_command_line_takes():
    found = {(place, command): words(command) for place, command in commands("moderation")}
    # The first is by way of settings.command; where none is found nothing is looked at.
    assert any("moderation load" in command for _, command in found)
    assert len(found) > 20
    assert {at: given for at, given in found.items() if not (is_name(given) or is_accepted(given))} == {}


def test_every_target_and_variable_of_make_that_a_text_prints_is_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    exported = [line.partition(":=")[0] for line in re.findall(r"^export (.*)$", makefile, re.MULTILINE)]
    defaulted = re.findall(r"\$\(or \$\(([A-Z_]+)\),", makefile)
    variables = {*" ".join(exported).split(), *defaulted, "PYTHON", "MODERATION_USERS"}
    found = commands("make")
    assert len(found) > 3
    for place, command in found:
        for word in words(command):
            name, is_variable, _ = word.partition("=")
            assert word == "…" or name in (variables if is_variable else targets), f"{place}: `{command}`"
