"""``moderation report-page`` and ``moderation console``: what people look at in a browser."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from moderation.cli import arguments
from moderation.cli.boundary import DONE
from moderation.cli.jobs import Rekognition
from moderation.cli.output import warn
from moderation.report.page.write import write_report
from moderation.settings import Settings
from moderation.storage.memory import leave_pandas_out

DEFAULT_PORT = 8585


def add_parsers(commands: Any) -> None:
    """Add ``report-page`` and ``console`` to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    parser = commands.add_parser(
        "report-page",
        help="write the report as HTML",
        description="Write a page over all loads, and one for a load, from the DuckDB warehouse.",
    )
    parser.add_argument("--warehouse", type=Path, metavar="FILE", help="default: MODERATION_WAREHOUSE")
    parser.add_argument("--load", metavar="LOAD_ID", help="write this load's page too")
    parser.add_argument("--folder", type=Path, help="default: MODERATION_REPORT_DIR, else var/report")
    parser.set_defaults(run=_report_page, on_disk=lambda options: True)
    parser = commands.add_parser(
        "console",
        help="look at images and labels in the browser",
        description="Serve the console on 127.0.0.1 until Ctrl-C, and print the link that logs in.",
    )
    parser.add_argument(
        "--port", type=arguments.port, default=DEFAULT_PORT, help=f"0: any that is free ({DEFAULT_PORT})"
    )
    parser.add_argument("--job", metavar="LOAD_ID", help="print the link to one job")
    parser.set_defaults(run=_console)


def _report_page(settings: Settings, args: argparse.Namespace) -> int:
    folder = args.folder or settings.report_dir or Path("var/report")
    warehouse = args.warehouse or settings.warehouse_path
    files = write_report(warehouse, folder, load_id=args.load, command=settings.command)
    warn(files.lacks)
    sys.stdout.write(f"{files.index}\n" + (f"{files.load}\n" if files.load else ""))
    return DONE


def _console(settings: Settings, args: argparse.Namespace) -> int:
    leave_pandas_out()
    # The web framework is slow to import.
    from moderation.console.alone import serve  # noqa: PLC0415

    def told(link: str) -> None:
        if args.job:
            link = link.replace("/?", f"/jobs/{args.job}?", 1)
        sys.stdout.write(f"Console: {link}\n(Ctrl-C ends it)\n")
        sys.stdout.flush()

    serve(settings, port=args.port, told=told, ask=lambda: Rekognition(settings))
    return DONE
