"""``moderation report-page``: the report as HTML."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from moderation.errors import WarehouseError
from moderation.report.page.write import write_report
from moderation.settings import Settings, SettingsError


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``report-page`` to a program's commands; the parsed arguments go to :func:`main`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "report-page",
        help="write the report as HTML",
        description="Write a page over all loads, and one for a load, from the DuckDB warehouse.",
    )
    parser.add_argument("--warehouse", type=Path, metavar="FILE", help="default: MODERATION_WAREHOUSE")
    parser.add_argument("--load", metavar="LOAD_ID", help="write this load's page too")
    parser.add_argument(
        "--folder", type=Path, default=Path("var/report"), help="where the pages go (var/report)"
    )
    parser.set_defaults(run=_run)
    return parser


def _run(settings: Settings, args: argparse.Namespace) -> int:
    return main(args, settings)


def main(args: argparse.Namespace, settings: Settings | None = None) -> int:
    """Carry out ``report-page``: prints the files written, or one message to stderr.

    :param settings: those of the environment by default.
    :returns: 0, or 1 when nothing could be written.
    """
    try:
        warehouse = args.warehouse or (settings or Settings.from_env()).warehouse_path
        files = write_report(warehouse, args.folder, load_id=args.load)
    except (WarehouseError, SettingsError) as error:
        sys.stderr.write(f"moderation report-page: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"moderation report-page: {args.folder}: {error.strerror or error}\n")
        return 1
    sys.stdout.write(f"{files.index}\n" + (f"{files.load}\n" if files.load else ""))
    return 0
