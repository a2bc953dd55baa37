"""``moderation review``: how good the model is, told from verdicts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moderation.cli import arguments
from moderation.cli.boundary import DONE
from moderation.cli.output import one_line, print_json, warn
from moderation.settings import Settings

if TYPE_CHECKING:
    from moderation.review.statistics.numbers import Numbers

_SHOWN = ("precision", "missed_share", "recall")
_COUNTS = ("tp", "fp", "fn", "tn", "unsure", "not_verified")


def add_parsers(commands: Any) -> None:
    """Add ``review`` to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    review = commands.add_parser("review", help="numbers from verdicts: precision, missed images, recall")
    steps = review.add_subparsers(required=True, metavar="STEP")
    stats = steps.add_parser(
        "stats",
        help="print them",
        description="Print precision, the share of missed images and recall of each label with intervals "
        "of 95 %%, or why they are not measurable; see docs/review-numbers.md.",
    )
    stats.add_argument("--label", metavar="NAME", help="only this label")
    stats.add_argument("--json", action="store_true", help="print JSON, with people and what training lacks")
    numbers = steps.add_parser(
        "numbers", help="export them, show them to readers as the table review_numbers, or write their page"
    )
    numbers.add_argument(
        "--export", type=Path, metavar="FILE", help="every number to .csv, .parquet, .json …"
    )
    numbers.add_argument("--page", type=Path, metavar="FILE", help="one HTML file that can be mailed")
    numbers.add_argument("--publish", action="store_true", help="show them to readers of the tables")
    numbers.add_argument(
        "--safe-cells",
        action="store_true",
        help="in CSV, an apostrophe before cells that a spreadsheet would take for a formula",
    )
    for parser in (stats, numbers):
        parser.add_argument("--load", metavar="LOAD_ID", help="of this load's answers only")
        parser.add_argument("--since", type=arguments.day, metavar="DAY", help="of loads from this day on")
        parser.add_argument("--until", type=arguments.day, metavar="DAY", help="of loads up to this day")
        parser.add_argument(
            "--by-copies", action="store_true", help="weigh a content by the keys that hold it"
        )
        parser.add_argument("--names", action="store_true", help="reviewers' names instead of pseudonyms")
    stats.set_defaults(run=_stats)
    numbers.set_defaults(run=_numbers)


def _told(settings: Settings, args: argparse.Namespace) -> Numbers:
    # SQLAlchemy and Iceberg are slow to import.
    from moderation.review import mark  # noqa: PLC0415
    from moderation.review.statistics.draws import drawn  # noqa: PLC0415
    from moderation.review.statistics.numbers import numbers_of  # noqa: PLC0415

    with mark.opened(settings) as state:
        draws, (waiting, _) = drawn(state), state.log.waiting()
    if waiting:
        warn(
            f"{waiting:,} verdicts are not published yet and not counted: {settings.command} verdicts publish"
        )
    return numbers_of(
        settings,
        draws=draws if draws.num_rows else None,
        load_id=args.load,
        since=args.since,
        until=args.until,
        by_copies=args.by_copies,
        pseudonyms=not args.names,
    )


def _stats(settings: Settings, args: argparse.Namespace) -> int:
    from moderation.reference.taxonomy import taxonomy  # noqa: PLC0415 - as above

    label = None
    if args.label is not None:
        node = taxonomy().lookup(args.label)
        label = node.name if node else args.label
    told = _told(settings, args)
    rows = [row for row in told.rows.to_pylist() if label is None or row["label"] == label]
    if args.json:
        training = [one for one in told.training if label is None or one["label"] == label]
        print_json({"numbers": rows, "people": told.people, "training": training})
        return DONE
    _print(rows)
    for one in told.training:
        if label is None or one["label"] == label:
            sys.stdout.write(one_line(_toward(one)) + "\n")
    return DONE


def _print(rows: Iterable[dict[str, Any]]) -> None:
    """The numbers over all, a block for each label that anything is known of."""
    blocks: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row["content_type"] or row["week"] or row["load_id"] or row["measure"].endswith("_at"):
            continue
        key = (row["level"] or 0, row["label"] or "", row["model_version"], row["adapter"], row["threshold"])
        blocks.setdefault(key, {})[row["measure"]] = row
    printed = False
    for (_, label, model, adapter, threshold), block in sorted(blocks.items(), key=lambda item: str(item[0])):
        counts = {name: int(block[name]["value"]) for name in _COUNTS if name in block}
        if not any(counts.get(name) for name in ("tp", "fp", "fn", "unsure", "not_verified")):
            continue
        printed = True
        answered_by = f"model {model}, {adapter or 'base'}, from {threshold:g} %"
        sys.stdout.write(one_line(f"{label or 'Any label'} ({answered_by})") + "\n")
        listed = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items())
        sys.stdout.write(f"  verified: {listed}\n")
        for name in _SHOWN:
            sys.stdout.write(one_line(f"  {name.replace('_', ' ')}: {_number(block[name])}") + "\n")
    if not printed:
        sys.stdout.write("Nothing was flagged or verified yet.\n")


def _number(row: dict[str, Any]) -> str:
    from moderation.review.statistics.rates import in_words  # noqa: PLC0415 - numpy is slow to import

    return in_words(row) + (f"; {row['population']}" if row["value"] is not None else "")


def _toward(one: dict[str, Any]) -> str:
    return (
        f"{one['label']}: false positives {one['false_positives']} of {one['false_positives_needed']}, "
        f"false negatives {one['false_negatives']} of {one['false_negatives_needed']}: {one['next']}"
    )


def _numbers(settings: Settings, args: argparse.Namespace) -> int:
    import duckdb  # noqa: PLC0415 - as above

    from moderation.publish.review_numbers import publish_numbers  # noqa: PLC0415 - as above
    from moderation.query.formats import export  # noqa: PLC0415 - as above
    from moderation.report.review.page import write_page  # noqa: PLC0415 - as above

    told = _told(settings, args)
    if args.publish:
        for left in publish_numbers(settings, told):
            warn(str(left))
        sys.stdout.write(f"{told.rows.num_rows:,} numbers stand in the table review_numbers\n")
    if args.export:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            export(connection.from_arrow(told.rows), args.export, safe_cells=args.safe_cells)
        sys.stdout.write(f"{args.export}\n")
    if args.page:
        write_page(told, args.page)
        sys.stdout.write(f"{args.page}\n")
    if not (args.publish or args.export or args.page):
        sys.stdout.write(f"{told.rows.num_rows:,} numbers; name --export FILE, --page FILE or --publish\n")
    return DONE
