"""What a check found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class Level(StrEnum):
    """How bad it is, from harmless on."""

    OK = "ok"
    WARNING = "warning"
    STOP = "stop"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor.

    :param level: STOP if what is asked for would fail.
    :param found: what there is, with units.
    :param remedy: what helps, as a command where one does; "" where nothing is to be done.
    """

    level: Level
    found: str
    remedy: str = ""


def ok(found: str) -> Finding:
    """Nothing stands in the way."""
    return Finding(Level.OK, found)


def warning(found: str, remedy: str) -> Finding:
    """It works, but slower, or not in every case."""
    return Finding(Level.WARNING, found, remedy)


def stop(found: str, remedy: str) -> Finding:
    """It would fail."""
    return Finding(Level.STOP, found, remedy)


@dataclass(frozen=True)
class Place:
    """What is looked at.

    :param checkout: folder of the checkout.
    :param variables: the environment of who asks.
    :param home: whose home it is.
    """

    checkout: Path
    variables: Mapping[str, str]
    home: Path

    @property
    def is_installed(self) -> bool:
        """Whether `make` has installed here."""
        return (self.checkout / ".venv" / ".installed").exists()


@dataclass(frozen=True)
class Check(Generic[T]):
    """A row of a table.

    :param name: begins its lines.
    :param look: gives one finding or more.
    """

    name: str
    look: Callable[[T], Iterable[Finding]]
