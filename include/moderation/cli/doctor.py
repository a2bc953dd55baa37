"""``moderation doctor``: what on this machine stands in the way."""

from __future__ import annotations

import argparse
from typing import Any

from moderation.doctor import report
from moderation.settings import Settings


def add_parsers(commands: Any) -> None:
    """Add ``doctor`` to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    parser = commands.add_parser(
        "doctor",
        help="what on this machine stands in the way of the local services",
        description="Look at ports, disk, memory, Python, compiler, clock, proxies and settings: ok, warning "
        "or stop, each with its remedy. Exit code 2 when something stops the local services.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run, reads_settings=False)


def _run(settings: Settings | None, options: argparse.Namespace) -> int:
    return report.run(as_json=options.json)
