"""A row of a table of environment variables, which is a field of the dataclass that holds their values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_KEY = "variable"


class Reader(StrEnum):
    """The kinds of processes that read variables."""

    DAG = "Dag file"
    TASK = "task"
    WEB = "web server"
    CLI = "command line"
    STACK = "stack"
    REKOGNITION = "offline Rekognition"


WORK = (Reader.TASK, Reader.CLI)
ALL = (Reader.TASK, Reader.WEB, Reader.CLI)


@dataclass(frozen=True, kw_only=True)
class Value(Generic[T_co]):
    """What a variable takes.

    :param takes: completes "expected …" and stands in the docs.
    :param parse: the value of a text that is not empty and has no white space around it. Its ValueError says
        what is wrong, never quoting a secret.
    """

    takes: str
    parse: Callable[[str], T_co]


@dataclass(frozen=True, kw_only=True)
class Variable:
    """What there is to know about a variable.

    :param names: its name, then those that are read when it is unset, in order.
    :param takes: what it may be set to, as Markdown.
    :param default: what holds without it, as Markdown.
    :param unit: of a number; "" for anything else.
    :param read_by: which processes go by it.
    :param secret: whether its value may hold a password, and so is never shown.
    """

    names: tuple[str, ...]
    takes: str
    default: str
    unit: str = ""
    meaning: str
    read_by: tuple[Reader, ...]
    secret: bool = False


@dataclass(frozen=True, kw_only=True)
class Setting(Variable):
    """A variable that is read into a field.

    :param parse: see :class:`Value`.
    """

    parse: Callable[[str], Any]


def setting(
    *names: str,
    value: Value[T],
    default: T | None = None,
    default_factory: Callable[[], T] | None = None,
    told: str | None = None,
    unit: str = "",
    meaning: str,
    read_by: tuple[Reader, ...],
    secret: bool = False,
) -> T:
    """Make a field of a dataclass that is read from a variable; see :class:`Variable`.

    :param default: what the field holds without it; None for nothing.
    :param default_factory: in place of ``default``, for what depends on the process.
    :param told: the default for the docs where its own text does not tell it.
    """
    shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
    variable = Setting(
        names=names,
        takes=value.takes,
        parse=value.parse,
        default=shown if told is None else told,
        unit=unit,
        meaning=meaning,
        read_by=read_by,
        secret=secret,
    )
    options: dict[str, Any] = {"metadata": {_KEY: variable}, "repr": not secret}
    if default_factory is None:
        options["default"] = default
    else:
        options["default_factory"] = default_factory
    made: T = dataclasses.field(**options)
    return made


def rows(table: type) -> dict[str, Setting]:
    """The variables of a dataclass by the field each is read into."""
    return {field.name: field.metadata[_KEY] for field in dataclasses.fields(table) if _KEY in field.metadata}
