"""``moderation verdicts``: import, export, publish, restore, downgrade and erase what people decided."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moderation.cli import arguments
from moderation.cli.boundary import DONE, SOMETHING_FAILED
from moderation.cli.output import one_line, print_json
from moderation.cli.review import downgrade
from moderation.cli.review.damaged import set_aside, tell_damaged
from moderation.cli.review.forget import forget_decisions
from moderation.settings import Settings

if TYPE_CHECKING:
    from moderation.adapters.erasure import Forgotten
    from moderation.review.state.open import State

_MOST_TOLD = 20
_FORMATS = ("csv", "jsonl", "parquet")
_ROWS = 50_000


def add_parsers(commands: Any) -> None:
    """Add ``verdicts`` to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    verdicts = commands.add_parser("verdicts", help="import, export, publish, restore, erase verdicts")
    steps = verdicts.add_subparsers(required=True, metavar="STEP")
    _add_import(steps)
    _add_export(steps)
    publish = steps.add_parser("publish", help="show readers and warehouses every verdict that they lack")
    publish.add_argument(
        "--anew", action="store_true", help="make the table from the database alone: files of it are damaged"
    )
    publish.set_defaults(run=_publish)
    downgrade.add_parser(steps)
    restore = steps.add_parser(
        "restore", help="bring published verdicts back into a log that lost them, and put damaged rows right"
    )
    restore.add_argument(
        "--set-aside",
        type=Path,
        metavar="FILE",
        help="write damaged rows of which nothing tells what they said to FILE, as they read, and take them "
        "out; items of verdicts are open again",
    )
    restore.set_defaults(run=_restore)
    erase = steps.add_parser(
        "erase",
        help="forget images: their verdicts stay as a count, without key, hash and note, here and wherever "
        "they were published; training sets and copies lose them. Their rows, plans and answers stay: "
        "`moderation erase` takes those too",
    )
    erase.add_argument("source_ref", nargs="*", help="s3://bucket/key; its other keys are forgotten with it")
    erase.add_argument("--content", action="append", default=[], help="as the column content has it")
    erase.set_defaults(run=_erase)
    for parser in (publish, restore, erase):
        parser.add_argument("--json", action="store_true", help="print JSON")


def _add_import(steps: Any) -> None:
    parser = steps.add_parser(
        "import",
        help="take verdicts from a file",
        description="Take verdicts from CSV, JSON Lines or Parquet with the columns source_ref,label,verdict "
        "(true_positive, false_positive, false_negative, true_negative, present, absent, unsure) or "
        "source_ref,labels (all that is in the image; in CSV with | between). reviewer, decided_at and note "
        "may stand beside. The same line twice counts once; a line that cannot be taken is named, the rest "
        "is taken.",
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--format", choices=_FORMATS, help="default: as the file is named")
    parser.add_argument(
        "--load", metavar="LOAD_ID", help="its answers are meant; default: the latest of each"
    )
    parser.add_argument(
        "--threshold",
        type=arguments.percentage,
        metavar="PERCENT",
        help="from which a label counts as answered; default: whatever the answer lists",
    )
    parser.add_argument("--reviewer", metavar="NAME", help="of lines that name nobody; default: you")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_import)


def _add_export(steps: Any) -> None:
    parser = steps.add_parser("export", help="write every verdict of the log to a file")
    parser.add_argument("--format", choices=_FORMATS, help="default: as the file is named, else csv")
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help="default: stdout")
    parser.add_argument(
        "--safe-cells",
        action="store_true",
        help="in CSV, an apostrophe before cells that a spreadsheet would take for a formula",
    )
    parser.set_defaults(run=_export)


@contextmanager
def _state() -> Iterator[State]:
    from moderation.review.state.open import open_state  # noqa: PLC0415 - SQLAlchemy is slow to import

    state = open_state()
    try:
        yield state
    finally:
        state.close()


def _import(settings: Settings, args: argparse.Namespace) -> int:
    from moderation.query.published_views import open_published  # noqa: PLC0415 - as above
    from moderation.review import mark  # noqa: PLC0415 - as above
    from moderation.review.exchange import imported, lines  # noqa: PLC0415 - as above
    from moderation.storage import s3_objects  # noqa: PLC0415 - as above

    as_format = args.format or lines.format_of(args.file)
    reviewer = args.reviewer or getpass.getuser()
    translation = imported.Translation(reviewer=reviewer, load_id=args.load, threshold=args.threshold)
    with mark.opened(settings) as state, open_published(settings, load_id=args.load) as connection:
        done = imported.import_lines(lines.read(args.file, as_format), connection, state.log, translation)
        with s3_objects.open_client(settings) as client:
            mark.note(client, settings, state)
    code = SOMETHING_FAILED if done.refused else DONE
    if args.json:
        print_json(asdict(done))
        return code
    sys.stdout.write(f"{done.lines:,} lines: {done.new:,} new verdicts, {done.known:,} known before\n")
    for refused in done.refused[:_MOST_TOLD]:
        sys.stderr.write(f"{one_line(f'{args.file}:{refused.number}: {refused.reason}')}\n")
    if more := len(done.refused) - _MOST_TOLD:
        sys.stderr.write(f"and {more:,} more lines; --json names all\n" if more > 0 else "")
    if done.refused:
        sys.stdout.write(f"{len(done.refused):,} lines were refused; mend them and import the file again\n")
    if done.new:
        sys.stdout.write(f"show them to readers: {settings.command} verdicts publish\n")
    return code


def _export(settings: Settings, args: argparse.Namespace) -> int:
    import duckdb  # noqa: PLC0415 - as above
    import pyarrow as pa  # noqa: PLC0415 - as above

    from moderation.publish.verdicts import as_table  # noqa: PLC0415 - as above
    from moderation.query.formats import Format, export, format_of, write  # noqa: PLC0415 - as above
    from moderation.schema import physical_schema  # noqa: PLC0415 - as above
    from moderation.storage import scratch  # noqa: PLC0415 - as above
    from moderation.tables.standing import VERDICTS  # noqa: PLC0415 - as above

    def batches(state: State) -> Iterator[pa.RecordBatch]:
        position = 0
        while rows := state.log.since(position, _ROWS):
            yield from as_table(verdict for _, verdict in rows).to_batches()
            position = rows[-1][0]

    by_name = format_of(args.output) if args.output and not args.format else Format.CSV
    chosen = Format(args.format) if args.format else by_name
    with _state() as state, duckdb.connect() as connection, scratch.folder(None, "query") as folder:
        connection.execute("SET TimeZone = 'UTC'")
        reader = pa.RecordBatchReader.from_batches(physical_schema(VERDICTS), batches(state))
        relation = connection.from_arrow(reader)
        if args.output:
            export(relation, args.output, chosen, safe_cells=args.safe_cells)
            sys.stdout.write(f"{args.output}\n")
            return DONE
        write(relation, folder / "verdicts", chosen, safe_cells=args.safe_cells)
        with (folder / "verdicts").open("rb") as file:
            while chunk := file.read(1 << 20):
                sys.stdout.buffer.write(chunk)
    return DONE


def _publish(settings: Settings, args: argparse.Namespace) -> int:
    from moderation import stages  # noqa: PLC0415 - Iceberg is slow to import

    with _state() as state:
        done = stages.publish_verdicts(state, settings=settings, anew=args.anew)
    # Also when nothing is new: a warehouse may lack what an earlier publish brought.
    rows = stages.load_verdicts(settings=settings)
    if args.json:
        print_json(asdict(done))
        return DONE
    sys.stdout.write(f"{done.rows:,} verdicts published; the warehouses hold {rows.get('verdicts', 0):,}\n")
    return DONE


def _restore(settings: Settings, args: argparse.Namespace) -> int:
    from moderation.publish.verdicts import mend, restore  # noqa: PLC0415 - as above
    from moderation.review import mark  # noqa: PLC0415 - as above
    from moderation.storage import s3_objects  # noqa: PLC0415 - as above

    with _state() as state:
        mended, damaged = mend(settings, state.log)
        if args.set_aside and damaged:
            set_aside(args.set_aside, damaged)
            state.log.set_aside(damaged)
        new, known = restore(settings, state.log)
        with s3_objects.open_client(settings) as client:
            lacking = mark.adopt(client, settings, state)
        name = state.name
    still = [] if args.set_aside else [str(row) for row in damaged]
    code = SOMETHING_FAILED if still else DONE
    if args.json:
        print_json({"new": new, "known": known, "lacking": lacking, "mended": mended, "damaged": still})
        return code
    sys.stdout.write(f"{new:,} verdicts came back into {name}, {known:,} were there\n")
    if mended:
        sys.stdout.write(f"{mended:,} rows that were damaged say again what they did\n")
    if lacking:
        sys.stdout.write(f"{lacking:,} that were never published are lost\n")
    if args.set_aside and damaged:
        sys.stdout.write(f"{len(damaged):,} damaged ones were taken out: {args.set_aside}\n")
    tell_damaged(settings, still)
    return code


def _erase(settings: Settings, args: argparse.Namespace) -> int:
    from moderation import stages  # noqa: PLC0415 - as above

    if not args.source_ref and not args.content:
        raise arguments.UsageError("name what to forget: s3://bucket/key, or --content")
    contents = {*args.content, *_contents(settings, args.source_ref)}
    changed, _, forgotten = forget_decisions(settings, contents, args.source_ref)
    stages.load_verdicts(settings=settings)
    if args.json:
        print_json({"erased": changed, **asdict(forgotten)})
        return SOMETHING_FAILED if forgotten.left else DONE
    sys.stdout.write(
        f"{changed:,} verdicts keep neither key, hash nor note, in the log, the table and the warehouses; "
        "the images' own rows, plans, answers, reports and the ledger are as before: "
        f"`{settings.command} erase` takes them out of all of it\n"
    )
    _tell_forgotten(settings, forgotten)
    return SOMETHING_FAILED if forgotten.left else DONE


def _tell_forgotten(settings: Settings, forgotten: Forgotten) -> None:
    if forgotten.sets:
        sys.stdout.write(f"{len(forgotten.sets):,} training sets have lost images, now or before\n")
    for arn in forgotten.adapters:
        sys.stdout.write(
            f"{arn} was trained on one of them and cannot unlearn: retire it "
            f"(`{settings.command} adapter retire {arn}`) if that is not to be\n"
        )
    for told in forgotten.later:
        sys.stdout.write(f"{one_line(told)}\n")
    for told in forgotten.left:
        sys.stderr.write(f"not erased: {one_line(told)}\n")


def _contents(settings: Settings, source_refs: list[str]) -> set[str]:
    """The contents that were moderated under these keys; none when nothing was published."""
    from moderation.errors import WarehouseMissingError  # noqa: PLC0415 - as above
    from moderation.query.published_views import open_published  # noqa: PLC0415 - as above
    from moderation.review.exchange.answers import contents  # noqa: PLC0415 - as above

    try:
        with open_published(settings) as connection:
            return contents(connection, source_refs)
    except WarehouseMissingError:
        return set()
