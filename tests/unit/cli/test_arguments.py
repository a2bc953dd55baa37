from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from moderation.cli import arguments
from moderation.storage.s3_objects import Location


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (arguments.location, "s3://bucket/a key#1", Location("bucket", "a key#1")),
        (arguments.day, "2026-11-22", date(2026, 11, 22)),
        (arguments.seconds, "0", 0.0),
        (arguments.seconds, "1209600", 1_209_600.0),
        (arguments.days, "0.5", 0.5),
        (arguments.percentage, "100", 100.0),
        (arguments.rate, "0.1", 0.1),
        (arguments.count, "1", 1),
        (arguments.megabytes, "4096", 4096),
    ],
)
def test_an_argument_is_read(kind: Callable[[str], Any], text: str, value: Any) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (arguments.location, ["", "bucket/key", "s3://", "S3://bucket/key"]),
        (arguments.day, ["", "22.11.2026", "2026-13-01"]),
        (arguments.seconds, ["", "-1", "nan", "inf", "1209601", "1h"]),
        (arguments.days, ["0", "-1", "nan", "3651"]),
        (arguments.percentage, ["-0.1", "100.1", "nan", "50%"]),
        (arguments.rate, ["0", "-1", "nan", "inf"]),
        (arguments.count, ["0", "-1", "1.5", "\u0663", "\u00b2"]),
        (arguments.megabytes, ["0", "4097", "256MB"]),
    ],
)
def test_what_an_argument_cannot_be_is_refused_with_what_it_may_be(
    kind: Callable[[str], Any], texts: list[str]
) -> None:
    for text in texts:
        with pytest.raises(argparse.ArgumentTypeError, match=r" (is not|names no) "):
            kind(text)


def test_a_parser_raises_what_it_refuses() -> None:
    parser = arguments.Parser(prog="moderation")
    parser.add_subparsers(required=True, metavar="COMMAND").add_parser("plan").add_argument("source")

    with pytest.raises(arguments.UsageError, match=r"required: source; see moderation plan --help$"):
        parser.parse_args(["plan"])
