"""What commands print: lines for people, or JSON for programs."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable
from typing import Any


def one_line(text: str) -> str:
    """The text in one line that cannot steer a terminal: controls and turns of direction are written out."""
    folded = " ".join(text.split())
    return "".join(_written_out(character) for character in folded)


def warn(text: str | None) -> None:
    """Say something beside the answer, on stderr in one line; nothing for None."""
    if text:
        sys.stderr.write(f"{one_line(text)}\n")


def show(content: object, lines: Iterable[tuple[str, Any]], *, as_json: bool) -> None:
    """Print a result.

    :param content: what JSON tells.
    :param lines: name and value of each line for people; a value of None leaves its line out.
    """
    if as_json:
        print_json(content)
        return
    for name, value in lines:
        if value is not None:
            sys.stdout.write(f"{name + ':':<22}{one_line(str(value))}\n")


def print_json(content: object) -> None:
    """Print JSON for people to read, too; times and other values that JSON lacks are texts."""
    sys.stdout.write(json.dumps(content, default=str, indent=2) + "\n")


def _written_out(character: str) -> str:
    # Cc: controls; Cf: what turns the direction of text; Cs: halves of names that are no UTF-8.
    if unicodedata.category(character) in {"Cc", "Cf", "Cs"}:
        return character.encode("unicode_escape").decode("ascii")
    return character
