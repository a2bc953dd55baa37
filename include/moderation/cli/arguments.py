"""Arguments of commands: types that say what they expect, and a parser that raises what it refuses."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from datetime import date
from typing import NoReturn

from moderation.errors import NeedsAPersonError
from moderation.storage import s3_objects

_LONGEST_WAIT = 14 * 86_400.0


class UsageError(NeedsAPersonError):
    """An argument is missing or cannot be used."""


class Parser(argparse.ArgumentParser):
    """A parser that raises what is wrong; so do those of its commands."""

    def error(self, message: str) -> NoReturn:
        """End the parsing.

        :raises UsageError: always.
        """
        raise UsageError(f"{message}; see {self.prog} --help")


def location(text: str) -> s3_objects.Location:
    """``s3://bucket/key``."""
    try:
        return s3_objects.split_uri(text)
    except s3_objects.UriError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def day(text: str) -> date:
    """A day such as 2026-11-22."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2026-11-22") from None


def seconds(text: str) -> float:
    """A length of time from 0 seconds to two weeks."""
    return _number(text, lambda found: 0 <= found <= _LONGEST_WAIT, "a number of seconds")


def days(text: str) -> float:
    """A length of time in days, above 0, at most ten years."""
    return _number(text, lambda found: 0 < found <= 3650, "a number of days above 0")


def percentage(text: str) -> float:
    """A percentage."""
    return _number(text, lambda found: 0 <= found <= 100, "a percentage; expected 0 to 100")


def rate(text: str) -> float:
    """A number above 0 that is not endless."""
    return _number(text, lambda found: 0 < found < math.inf, "a number above 0")


def count(text: str) -> int:
    """A whole number of 1 or more, such as a number of rows."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; expected 1 or more")
    return int(text)


def megabytes(text: str) -> int:
    """A size of files in MB."""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size from 1 to 4096 MB")
    return int(text)


def _number(text: str, is_fit: Callable[[float], bool], what: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not is_fit(found):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return found


def port(text: str) -> int:
    """A port, or 0 for any that is free."""
    if not (text.isascii() and text.isdigit()) or not (int(text) == 0 or 1024 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 1024 to 65535, or 0 for any that is free")
    return int(text)
