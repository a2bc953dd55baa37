"""``moderation console``: look at what was found, in the browser of this machine."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from moderation.cli import arguments
from moderation.cli.boundary import DONE
from moderation.settings import Settings

DEFAULT_PORT = 8585


def add_parsers(commands: Any) -> None:
    """Add ``console`` to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    parser = commands.add_parser(
        "console",
        help="look at images and labels in the browser",
        description="Serve the console on 127.0.0.1 until Ctrl-C, and print the link that logs in.",
    )
    parser.add_argument(
        "--port", type=arguments.port, default=DEFAULT_PORT, help=f"0: any that is free ({DEFAULT_PORT})"
    )
    parser.add_argument("--job", metavar="LOAD_ID", help="print the link to one job")
    parser.set_defaults(run=_run)


def _run(settings: Settings, args: argparse.Namespace) -> int:
    # The web framework is slow to import.
    from moderation.console.alone import serve  # noqa: PLC0415

    def told(link: str) -> None:
        if args.job:
            link = link.replace("/?", f"/jobs/{args.job}?", 1)
        sys.stdout.write(f"Console: {link}\n(Ctrl-C ends it)\n")
        sys.stdout.flush()

    serve(settings, port=args.port, told=told)
    return DONE
