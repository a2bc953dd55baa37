"""``moderation query``: the warehouse from the command line, by SQL or by the name of a ready query."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from moderation.cli import arguments
from moderation.cli.boundary import DONE
from moderation.cli.output import warn
from moderation.query import queries
from moderation.query.answers import QueryError, ask, fence, resolve
from moderation.query.formats import Format, export, write, write_for_terminal
from moderation.query.text_table import visible
from moderation.settings import Settings
from moderation.storage import scratch
from moderation.tables.standing import ALL_TABLES
from moderation.variables.machine import MachineSettings
from moderation.warehouses import missing
from moderation.warehouses.reading import DEFAULT_WAIT_SECONDS, open_warehouse, tables
from moderation.warehouses.views import verdict_views

DEFAULT_ROWS = 40
_STDOUT = Path("-")
_EXPLAINED = ["explain_key", "explain_value"]
_LOOKS_EVERY = 1.0
_INTERRUPTS_EVERY = 0.05

T = TypeVar("T")


def add_parsers(commands: Any) -> None:
    """Add ``query`` to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    parser = commands.add_parser(
        "query",
        help="ask the warehouse",
        description="Ask the DuckDB warehouse by SQL or a ready query; without QUERY, list what is there.",
    )
    parser.add_argument("query", nargs="?", help="SQL, a ready query, a table, or - for SQL from stdin")
    parser.add_argument("--warehouse", type=Path, metavar="FILE", help="default: MODERATION_WAREHOUSE")
    parser.add_argument(
        "--published",
        action="store_true",
        help="read the published files themselves (MODERATION_TABLES_URI), not the DuckDB file",
    )
    parser.add_argument("--load", metavar="LOAD_ID", help="look at one load only")
    parser.add_argument(
        "--since", type=arguments.day, metavar="DAY", help="only days from this one on, 2026-11-22"
    )
    parser.add_argument("--until", type=arguments.day, metavar="DAY", help="only days up to this one")
    parser.add_argument(
        "--format",
        choices=[str(name) for name in Format],
        metavar="FORMAT",
        help=f"{', '.join(Format)}; by default what FILE's name says, or a table",
    )
    parser.add_argument(
        "--output", "-o", type=Path, metavar="FILE", help="write all rows to FILE; - for stdout (as CSV)"
    )
    parser.add_argument(
        "--safe-cells",
        action="store_true",
        help="in CSV, an apostrophe before cells that a spreadsheet would take for a formula",
    )
    parser.add_argument(
        "--rows",
        type=arguments.count,
        metavar="N",
        help=f"rows to print ({DEFAULT_ROWS} of a table, else all)",
    )
    parser.add_argument(
        "--wait",
        type=arguments.seconds,
        default=DEFAULT_WAIT_SECONDS,
        metavar="SECONDS",
        help=f"how long to wait while a load writes ({DEFAULT_WAIT_SECONDS:g})",
    )
    parser.add_argument("--sql", action="store_true", help="print the query instead of running it")
    parser.add_argument("--dialect", help="with --sql: duckdb, athena, redshift…")
    parser.set_defaults(run=_run, on_disk=lambda options: not options.published)


def _run(settings: Settings, args: argparse.Namespace) -> int:
    if args.sql:
        if args.output or args.format:
            raise QueryError("--sql prints the query and runs nothing; leave out --output and --format")
        _print_text(args.query, args.dialect or "duckdb")
        return DONE
    if args.dialect:
        raise QueryError("--dialect is of the text that --sql prints; add --sql")
    with _open(args, settings) as connection:
        _answer(connection, args)
    return DONE


@contextmanager
def _open(args: argparse.Namespace, settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    shown = {"load_id": args.load, "since": args.since, "until": args.until}
    if args.published:
        # Iceberg is slow to import.
        from moderation.query.published_views import open_published  # noqa: PLC0415

        with open_published(settings, **shown, warn=warn) as connection:
            yield connection
    else:
        warehouse = args.warehouse or settings.warehouse_path
        with open_warehouse(warehouse, wait_seconds=args.wait, **shown) as connection:
            fence(connection)
            warn(missing.told(warehouse, connection, command=settings.command))
            yield connection


def _answer(connection: duckdb.DuckDBPyConnection, args: argparse.Namespace) -> None:
    names = [name for name, _ in tables(connection)]
    if args.query is None:
        if args.output or args.format:
            raise QueryError("--output and --format need a query, a table or SQL")
        _overview(connection)
        return
    sql = sys.stdin.read() if args.query == "-" else args.query
    if not sql.strip():
        raise QueryError("there is no SQL to run")
    text = resolve(sql, names)
    try:
        with scratch.folder(None, "query") as folder:
            shown = folder / "answer"
            more = _interruptible(connection, lambda: _write(ask(connection, text), shown, args))
            _show(shown, more=more)
    except duckdb.Error as error:
        raise QueryError(str(error).strip()) from error


def _write(relation: duckdb.DuckDBPyRelation, shown: Path, args: argparse.Namespace) -> bool:
    """Write the answer to the file asked for, or what is to be shown of it; returns whether there is more."""
    asked = Format(args.format) if args.format else None
    if args.output not in {None, _STDOUT}:
        export(relation, args.output, asked, safe_cells=args.safe_cells)
        shown.write_text(f"{args.output}\n", encoding="utf-8")
        return False
    if args.output == _STDOUT:
        return write(relation, shown, asked or Format.CSV, safe_cells=args.safe_cells)
    chosen = asked or Format.TABLE
    if chosen is Format.PARQUET:
        raise QueryError("Parquet is no text to look at; write it with -o FILE, or to a pipe with -o -")
    rows = args.rows or (DEFAULT_ROWS if chosen is Format.TABLE else None)
    if chosen is Format.TABLE and relation.columns == _EXPLAINED:
        shown.write_text("".join(f"{plan}\n" for _, plan in relation.fetchall()), encoding="utf-8")
        return False
    if chosen is Format.TABLE and _is_terminal() and not args.safe_cells:
        return write_for_terminal(relation, shown, rows=rows or DEFAULT_ROWS, width=_width())
    return write(relation, shown, chosen, safe_cells=args.safe_cells, rows=rows)


def _show(shown: Path, *, more: bool) -> None:
    if _is_terminal():
        with shown.open(encoding="utf-8", newline="\n") as lines:
            sys.stdout.writelines(visible(line.removesuffix("\n")) + "\n" for line in lines)
    else:
        sys.stdout.flush()
        with shown.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    if more:
        sys.stdout.flush()
        sys.stderr.write("there are more rows: --rows N shows more, -o FILE writes all\n")


def _interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[[], T]) -> T:
    """The result of ``work``, ended soon when Ctrl-C is pressed: DuckDB looks for signals too seldom."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(work)
        try:
            # Python does not hear a signal that comes just before it begins to wait, until the wait ends.
            while not wait([running], timeout=_LOOKS_EVERY).done:
                pass
            return running.result()
        except KeyboardInterrupt:
            while not running.cancel() and not running.done():
                # One that comes before the query has begun is lost, so it is said until it is heard.
                with suppress(KeyboardInterrupt):
                    connection.interrupt()
                    wait([running], timeout=_INTERRUPTS_EVERY)
            raise


def _overview(connection: duckdb.DuckDBPyConnection) -> None:
    width = max(len(query.name) for query in queries.queries())
    sys.stdout.write("Tables\n")
    for name, rows in tables(connection):
        sys.stdout.write(f"  {name:<{width}}  {'view' if rows is None else f'{rows:,} rows'}\n")
    sys.stdout.write("\nReady queries\n")
    for query in queries.queries():
        sys.stdout.write(f"  {query.name:<{width}}  {query.answers}\n")
    sys.stdout.write('\nmoderation query images_by_label\nmoderation query "select count(*) from images"\n')


def _print_text(text: str | None, dialect: str) -> None:
    if text is None:
        raise QueryError("--sql needs the name of a query")
    sql = resolve(sys.stdin.read() if text == "-" else text, ("labels", *ALL_TABLES, *verdict_views.VIEWS))
    sys.stdout.write((sql if dialect == "duckdb" else queries.to_dialect(sql, dialect)) + "\n")


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _width() -> int:
    return MachineSettings.from_env().columns or shutil.get_terminal_size().columns
