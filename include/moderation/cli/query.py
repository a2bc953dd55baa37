"""``moderation query``: the warehouse from the command line, by SQL or by the name of a ready query."""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import duckdb

from moderation.cli import arguments
from moderation.cli.boundary import DONE
from moderation.cli.output import warn
from moderation.query import queries
from moderation.query.answers import QueryError, ask, export, fence, resolve
from moderation.schema import TABLES
from moderation.settings import MachineSettings, Settings
from moderation.warehouses import missing
from moderation.warehouses.reading import DEFAULT_WAIT_SECONDS, open_warehouse, tables

DEFAULT_ROWS = 40
_UNLIMITED_WIDTH = 10_000


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
        "--output", "-o", type=Path, metavar="FILE", help="write all rows to FILE.csv or FILE.parquet"
    )
    parser.add_argument(
        "--rows",
        type=arguments.count,
        default=DEFAULT_ROWS,
        metavar="N",
        help=f"rows to print ({DEFAULT_ROWS})",
    )
    parser.add_argument(
        "--wait",
        type=arguments.seconds,
        default=DEFAULT_WAIT_SECONDS,
        metavar="SECONDS",
        help=f"how long to wait while a load writes ({DEFAULT_WAIT_SECONDS:g})",
    )
    parser.add_argument("--sql", action="store_true", help="print the query instead of running it")
    parser.add_argument("--dialect", default="duckdb", help="with --sql: duckdb, athena, redshift…")
    parser.set_defaults(run=_run)


def _run(settings: Settings, args: argparse.Namespace) -> int:
    if args.sql:
        _print_text(args.query, args.dialect)
        return DONE
    with _open(args, settings) as connection:
        _answer(connection, args)
    return DONE


@contextmanager
def _open(args: argparse.Namespace, settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    shown = {"load_id": args.load, "since": args.since, "until": args.until}
    if args.published:
        # Iceberg is slow to import.
        from moderation.query.published_views import open_published  # noqa: PLC0415

        with open_published(settings, **shown) as connection:
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
        if args.output is not None:
            raise QueryError("--output needs a query, a table or SQL")
        _overview(connection)
        return
    sql = sys.stdin.read() if args.query == "-" else args.query
    if not sql.strip():
        raise QueryError("there is no SQL to run")
    text = resolve(sql, names)
    try:
        sys.stdout.write(_interruptible(connection, lambda: _result(connection, text, args)))
    except duckdb.Error as error:
        raise QueryError(str(error).strip()) from error


def _result(connection: duckdb.DuckDBPyConnection, sql: str, args: argparse.Namespace) -> str:
    """What to print: the rows, or the file that holds them."""
    relation = ask(connection, sql)
    if args.output is not None:
        export(relation, args.output)
        return f"{args.output}\n"
    # The pages' package is slow to import.
    from moderation.report.page.wording import foreign  # noqa: PLC0415

    width = _width()
    with redirect_stdout(io.StringIO()) as shown:
        relation.show(max_width=width, max_rows=args.rows)
    # DuckDB leaves in what turns the direction of text or, from 0x80 on, controls some terminals.
    return "\n".join(map(foreign, shown.getvalue().split("\n")))


def _interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[[], str]) -> str:
    """The result of ``work``, ended soon when Ctrl-C is pressed: DuckDB looks for signals too seldom."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(work)
        try:
            return running.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def _overview(connection: duckdb.DuckDBPyConnection) -> None:
    width = max(len(query.name) for query in queries.queries())
    sys.stdout.write("Tables\n")
    for name, rows in tables(connection):
        sys.stdout.write(f"  {name:<{width}}  {'view' if rows is None else f'{rows:,} rows'}\n")
    sys.stdout.write("\nReady queries\n")
    for query in queries.queries():
        sys.stdout.write(f"  {query.name:<{width}}  {query.answers}\n")
    sys.stdout.write('\nmoderation query top_l3\nmoderation query "select count(*) from images"\n')


def _print_text(text: str | None, dialect: str) -> None:
    if text is None:
        raise QueryError("--sql needs the name of a query")
    sql = resolve(sys.stdin.read() if text == "-" else text, ("labels", *TABLES))
    sys.stdout.write((sql if dialect == "duckdb" else queries.to_dialect(sql, dialect)) + "\n")


def _width() -> int:
    """The terminal's columns, of which DuckDB takes at least 80; a pipe gets whole rows."""
    fallback = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNLIMITED_WIDTH
    return MachineSettings.from_env().columns or fallback
