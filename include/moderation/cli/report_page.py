"""``moderation report-page``: the report as HTML."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from moderation.cli.boundary import DONE
from moderation.cli.output import warn
from moderation.report.page.write import write_report
from moderation.settings import Settings


def add_parsers(commands: Any) -> None:
    """Add ``report-page`` to a program's commands.

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
    parser.set_defaults(run=_run, on_disk=lambda options: True)


def _run(settings: Settings, args: argparse.Namespace) -> int:
    folder = args.folder or settings.report_dir or Path("var/report")
    warehouse = args.warehouse or settings.warehouse_path
    files = write_report(warehouse, folder, load_id=args.load, command=settings.command)
    warn(files.lacks)
    sys.stdout.write(f"{files.index}\n" + (f"{files.load}\n" if files.load else ""))
    return DONE
