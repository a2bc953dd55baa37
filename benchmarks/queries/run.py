"""Time of each ready query over the rows that generate.py made, published and plain.

``PYTHONPATH=include python benchmarks/queries/run.py FOLDER --labels 100000000 [--week] [--seconds 150]``

Each query runs in a process of its own, three times (fewer once 6 s are spent) with the files in the page
cache as far as it holds them; the least time counts. Opening is part of it: reading the catalog and planning
the files on one side, listing the folder on the other. Results are kept in FOLDER, and a run goes on where
the last one stopped.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import duckdb
from generate import FIRST_DAY, Data, add_arguments, data_from

from moderation.query import queries
from moderation.query.published_views import open_published
from moderation.schema import TABLES
from moderation.warehouses.duckdb import labels_view
from moderation.warehouses.reading import quiet, show_in_use, show_only

SOURCES = ("published", "plain")


@contextmanager
def opened(data: Data, source: str, since: date | None) -> Iterator[duckdb.DuckDBPyConnection]:
    if source == "published":
        with open_published(data.settings, since=since) as connection:
            yield connection
        return
    with duckdb.connect() as connection:
        quiet(connection)
        for name in TABLES:
            if (data.plain / name).is_dir():
                files = f"read_parquet('{data.plain / name}/*.parquet')"
                connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {files}")
        connection.execute(labels_view())
        show_only(connection, data.plain, since=since)
        show_in_use(connection)
        yield connection


def measure(data: Data, name: str, source: str, since: date | None) -> tuple[float, float, list[Any]]:
    """Least seconds by the clock, least seconds of processor time, and the answer."""
    times: list[float] = []
    busy: list[float] = []
    while len(times) < 3 and sum(times) < 6:
        start, started = time.perf_counter(), time.process_time()
        with opened(data, source, since) as connection:
            limits = f"SET memory_limit = '10GB'; SET temp_directory = '{data.folder / 'spill'}'"
            connection.execute(limits)
            answer = connection.execute(queries.query(name).sql).fetchall()
        times.append(time.perf_counter() - start)
        busy.append(time.process_time() - started)
    return min(times), min(busy), answer


def _in_process(arguments: tuple[Data, str, str, date | None]) -> tuple[float, float, str, int]:
    seconds, busy, answer = measure(*arguments)
    return seconds, busy, json.dumps(answer, default=str), len(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--week", action="store_true", help="the last seven days alone, as --since asks")
    parser.add_argument("--seconds", type=float, default=1e9, help="start no query after that time")
    parser.add_argument("--only", nargs="+", metavar="QUERY", help="these queries alone")
    parser.add_argument("--table", action="store_true", help="only print what is known")
    args = parser.parse_args()
    data = data_from(args)
    since = FIRST_DAY + timedelta(days=data.days - 7) if args.week else None
    kept = data.folder / f"results-{'week' if args.week else 'all'}.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    end = time.monotonic() + args.seconds
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for query in queries.queries():
            for source in SOURCES if query.name in (args.only or [query.name]) else ():
                key = f"{query.name} {source}"
                if key not in results and not args.table and time.monotonic() < end:
                    (results[key],) = pool.map(_in_process, [(data, query.name, source, since)])
                    kept.write_text(json.dumps(results))
    print(
        "| query | published: s, CPU s | plain: s, CPU s | plain ÷ published: s, CPU | rows | same answer |"
    )
    print("|---|---:|---:|---:|---:|---|")
    for query in queries.queries():
        both = [results.get(f"{query.name} {source}") for source in SOURCES]
        if both[0] and both[1]:
            (ours, our_cpu, mine, count), (plain, plain_cpu, theirs, _) = both
            same = "yes" if mine == theirs else "NO"
            print(
                f"| `{query.name}` | {ours:.2f}, {our_cpu:.2f} | {plain:.2f}, {plain_cpu:.2f} "
                f"| {plain / ours:.1f}, {plain_cpu / our_cpu:.1f} | {count:,} | {same} |"
            )


if __name__ == "__main__":
    main()
