"""The values of a table's variables in an environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moderation.variables.row import Setting, rows

_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was found.

    :param values: by field; a variable that is unset has none.
    :param wrong: a line for each value that is refused: the variable, the value unless it is secret, and what
        is expected.
    """

    values: Mapping[str, Any]
    wrong: tuple[str, ...]


def read(environ: Mapping[str, str], table: type) -> Reading:
    """Read the variables of a dataclass; what is empty or white space counts as unset."""
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for field, variable in rows(table).items():
        name, text = _given(environ, variable)
        if not text:
            continue
        try:
            values[field] = variable.parse(text)
        except ValueError as error:
            wrong.append(f"{name}{'' if variable.secret else _shown(text)}: {error}")
    return Reading(values=values, wrong=tuple(wrong))


def _given(environ: Mapping[str, str], variable: Setting) -> tuple[str, str]:
    """The first of the variable's names that is set, and its text; "" when none is."""
    texts = ((name, environ.get(name, "").strip()) for name in variable.names)
    return next(((name, text) for name, text in texts if text), ("", ""))


def _shown(text: str) -> str:
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return f"={cut!r}"
