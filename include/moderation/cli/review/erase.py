"""``moderation erase``: images taken out of everything that the product has written."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moderation.cli import arguments
from moderation.cli.boundary import DONE, SOMETHING_FAILED
from moderation.cli.output import one_line, print_json
from moderation.cli.review.forget import forget_decisions
from moderation.settings import Settings

if TYPE_CHECKING:
    from moderation.maintenance.erasure.erase import Elsewhere, EraseElsewhere, Found
    from moderation.maintenance.erasure.receipt import Receipt
    from moderation.maintenance.erasure.wanted import Wanted


def add_parsers(commands: Any) -> None:
    """Add ``erase`` to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    erase = commands.add_parser(
        "erase",
        help="take images out of plans, answers, tables, reports, verdicts, caches and warehouses for good",
        description="Takes images out of everything that was written about them, and keeps later listings, "
        "rebuilds and replays from bringing them back. A receipt says what went, what did not, and what a "
        "person must do; it names no key. Killed or refused, it is finished by the same command.",
    )
    erase.add_argument("source_ref", nargs="*", metavar="KEY", help="s3://bucket/key, or a local path")
    erase.add_argument("--keys", type=Path, metavar="FILE", help="keys, one a line; in quotes a JSON text")
    erase.add_argument(
        "--contents",
        type=Path,
        metavar="FILE",
        help="contents, one a line as the column content has them: every key that holds one is erased",
    )
    erase.add_argument(
        "--abandon",
        action="store_true",
        help="give up runs that wait to go on with one of them; their unpublished answers are lost",
    )
    erase.add_argument("--dry-run", action="store_true", help="say what would go, change nothing")
    erase.add_argument("--yes", action="store_true", help="do not ask")
    erase.add_argument("--json", action="store_true", help="print JSON")
    erase.set_defaults(run=_erase)


def _erase(settings: Settings, args: argparse.Namespace) -> int:
    from moderation.maintenance.erasure import erase  # noqa: PLC0415 - Iceberg is slow to import
    from moderation.maintenance.erasure.wanted import of_request, read_contents, read_keys  # noqa: PLC0415

    keys = [*args.source_ref, *(read_keys(args.keys) if args.keys else ())]
    wanted = of_request(keys, read_contents(args.contents) if args.contents else ())
    if args.dry_run or not args.yes:
        found = erase.look(settings, wanted, abandon=args.abandon)
        if args.dry_run:
            return _told(wanted, found, as_json=args.json)
        _confirm(wanted, found)
    receipt = erase.erase(settings, wanted, elsewhere=_elsewhere(settings), abandon=args.abandon)
    _forget_caches((), receipt.loads)  # a console may have looked meanwhile
    if args.json:
        print_json(asdict(receipt))
    else:
        _tell(settings, receipt)
    return SOMETHING_FAILED if receipt.left else DONE


def _elsewhere(settings: Settings) -> EraseElsewhere:
    """What is erased beside the pipeline: decisions, adapters, the console's caches."""

    def erase(found: Found) -> Elsewhere:
        from moderation.maintenance.erasure.erase import Elsewhere  # noqa: PLC0415 - as above

        loads = sorted(set(found.rows.column("load_id").to_pylist()))
        rows = found.rows.select(["source_ref", "etag", "size_bytes"]).to_pylist()
        cached = _forget_caches(rows, loads)
        verdicts, shadowed, forgotten = forget_decisions(settings, found.contents, found.refs)
        return Elsewhere(
            counts={
                "cache": cached,
                "verdicts": verdicts,
                "shadow_answers": shadowed,
                "sets": len(forgotten.sets),
            },
            adapters=forgotten.adapters,
            left=forgotten.left,
            later=forgotten.later,
        )

    return erase


def _forget_caches(rows: Any, load_ids: Any) -> int:
    from moderation.console.erased import forget_images  # noqa: PLC0415 - the console is slow to import

    return forget_images(rows, load_ids)


def _summary(wanted: Wanted, found: Found) -> dict[str, int]:
    return {
        "keys": len(wanted.keys),
        "contents": len(wanted.contents),
        "images": found.rows.num_rows,
        "loads": len(set(found.rows.column("load_id").to_pylist())),
        "plans": sum(bool(held) for _, held in found.plans),
        "objects": len(found.refs),
    }


def _told(wanted: Wanted, found: Found, *, as_json: bool) -> int:
    said = _summary(wanted, found)
    if as_json:
        print_json(said)
        return DONE
    sys.stdout.write(
        "Would erase {images:,} rows of images in {loads:,} loads and {plans:,} plans ({keys:,} keys and "
        "{contents:,} contents were named). Nothing was changed.\n".format(**said)
    )
    return DONE


def _confirm(wanted: Wanted, found: Found) -> None:
    said = _summary(wanted, found)
    sys.stderr.write(
        "Erases {images:,} rows of images in {loads:,} loads and {plans:,} plans, everywhere, for good. "
        "Type erase to go on: ".format(**said)
    )
    sys.stderr.flush()
    if not sys.stdin.isatty():
        sys.stderr.write("\n")
        raise arguments.UsageError("nobody is there to ask; say --yes, or look first with --dry-run")
    if sys.stdin.readline().strip() != "erase":
        raise arguments.UsageError("nothing was erased")


def _tell(settings: Settings, receipt: Receipt) -> None:
    from moderation.storage import tombstones  # noqa: PLC0415 - boto3 is slow to import

    sys.stdout.write(receipt.to_text())
    sys.stdout.write(f"Kept as       {tombstones.uri_of(settings, receipt.name, '-receipt.txt')}\n")
    for told in receipt.left:
        sys.stderr.write(f"not erased: {one_line(told)}\n")
