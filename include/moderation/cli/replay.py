"""``moderation replay``: history under another threshold or policy."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import duckdb

from moderation import schema
from moderation.cli import arguments
from moderation.cli.boundary import DONE
from moderation.cli.output import warn
from moderation.policy.rules import DECISIONS, Policy, read_policy
from moderation.query.formats import export
from moderation.query.replay import history_sql, replay
from moderation.settings import Settings
from moderation.warehouses import missing
from moderation.warehouses.reading import DEFAULT_WAIT_SECONDS, open_warehouse


def add_parsers(commands: Any) -> None:
    """Add ``replay`` to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    parser = commands.add_parser(
        "replay", help="tell history under another MinConfidence or a policy, without inference"
    )
    parser.add_argument("--min-confidence", type=arguments.percentage, required=True, metavar="PERCENT")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="rules in TOML; see docs/operations.md")
    parser.add_argument("--load", metavar="LOAD_ID", help="look at one load only")
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help="every image to .csv, .json …")
    parser.add_argument(
        "--safe-cells",
        action="store_true",
        help="in CSV, an apostrophe before cells that a spreadsheet would take for a formula",
    )
    parser.add_argument("--warehouse", type=Path, metavar="FILE", help="default: MODERATION_WAREHOUSE")
    parser.add_argument("--wait", type=arguments.seconds, default=DEFAULT_WAIT_SECONDS, metavar="SECONDS")
    parser.set_defaults(run=_run, on_disk=lambda options: True)


def _run(settings: Settings, args: argparse.Namespace) -> int:
    policy = read_policy(args.policy) if args.policy else None
    warehouse = args.warehouse or settings.warehouse_path
    with open_warehouse(warehouse, wait_seconds=args.wait, load_id=args.load) as connection:
        warn(missing.told(warehouse, connection, command=settings.command))
        found = replay(connection, min_confidence=args.min_confidence, policy=policy)
        _show(connection, policy, args.min_confidence)
        if args.output is not None:
            export(found, args.output, safe_cells=args.safe_cells)
            sys.stdout.write(f"{args.output}\n")
    return DONE


def _show(connection: duckdb.DuckDBPyConnection, policy: Policy | None, threshold: float) -> None:
    """Counts of images: one that was moderated again counts once, by its latest answer that can tell."""
    answers = (
        f"({history_sql(policy)})" if policy else f"({history_sql(None)} WHERE status = '{schema.MODERATED}')"
    )

    def ask(question: str) -> list[tuple[Any, ...]]:
        sql = (
            f"WITH history AS (SELECT * FROM {answers} QUALIFY row_number() OVER (PARTITION BY source_ref "  # noqa: S608 - our texts
            f"ORDER BY is_answerable DESC, moderated_at DESC NULLS LAST, load_id DESC) = 1) {question}"
        )
        return connection.execute(sql, {"threshold": threshold}).fetchall()

    if policy is None:
        ((flagged, images),) = ask(
            "SELECT count(*) FILTER (WHERE label_count > 0), count(*) FROM history WHERE is_answerable"
        )
        sys.stdout.write(f"At MinConfidence {threshold:g}: {flagged:,} of {images:,} images have a label\n")
    else:
        counts = dict(ask("SELECT decision, count(*) FROM history WHERE is_answerable GROUP BY 1"))
        listed = ", ".join(f"{counts.get(name, 0):,} {name}" for name in DECISIONS)
        sys.stdout.write(f"Policy {policy.name} at MinConfidence {threshold:g}: {listed}\n")
    ((unknown, asked),) = ask(
        "SELECT count(*), max(asked_min_confidence) FROM history WHERE NOT is_answerable"
    )
    if unknown:
        sys.stdout.write(
            f"{unknown:,} images were asked with a higher MinConfidence (up to {asked:g}): what lies below "
            "was never answered, so they are not counted\n"
        )
