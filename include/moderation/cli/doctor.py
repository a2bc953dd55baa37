"""``moderation doctor``: what on this machine, or in an AWS account, stands in the way."""

from __future__ import annotations

import argparse
from typing import Any

from moderation.cli.arguments import UsageError
from moderation.cli.boundary import settled
from moderation.doctor import report
from moderation.settings import Settings


def add_parsers(commands: Any) -> None:
    """Add ``doctor`` to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    parser = commands.add_parser(
        "doctor",
        help="what on this machine, or in an AWS account, stands in the way",
        description="Look at ports, disk, memory, Python, compiler, clock, proxies and settings: ok, warning "
        "or stop, each with its remedy. Exit code 2 when something stops the local services; with --aws, a "
        "run in this AWS account. Nothing is paid, and nothing is left behind.",
    )
    parser.add_argument(
        "--aws",
        action="store_true",
        help="look at the AWS account instead: bulk jobs, quotas, rights on each bucket by a small probe, "
        "adapter, clock, catalog, warehouses, spend",
    )
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="SOURCE",
        help="with --aws: look at this source too, as for plan; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run, reads_settings=False)


def _run(settings: Settings | None, options: argparse.Namespace) -> int:
    if not options.aws:
        if options.source:
            raise UsageError("--source is looked at with --aws alone")
        return report.run(as_json=options.json)
    if settings is not None:
        return _of_account(settings, options)
    with settled("moderation doctor", local=options.local) as found:
        return _of_account(found, options)


def _of_account(settings: Settings, options: argparse.Namespace) -> int:
    from moderation.doctor.aws import account, checks  # noqa: PLC0415 - Iceberg is slow to import

    with account.opened(settings, tuple(options.source)) as opened:
        return report.tell(checks.look(opened), as_json=options.json)
