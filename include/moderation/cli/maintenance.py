"""``moderation publish``, ``load``, ``compact``, ``rebuild``, ``verify``, ``ledger``, ``files``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from moderation.cli import arguments
from moderation.cli.boundary import DONE, SOMETHING_FAILED
from moderation.cli.output import one_line, print_json, warn
from moderation.settings import Settings
from moderation.tables.standing import ALL_TABLES

_TARGET_MB = 256
_KEEP_DAYS = 7.0


def add_parsers(commands: Any) -> None:
    """Add them to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    publish = commands.add_parser(
        "publish", help="publish what a run got answers for, though more is missing than it tolerates"
    )
    publish.add_argument(
        "plan_uri", type=arguments.location, help="s3://…/plan.json, as the run's report names it"
    )
    publish.add_argument(
        "--accept-lost",
        action="store_true",
        help="although jobs that succeeded have neither answer nor error of some images: they are owed",
    )
    publish.set_defaults(run=_publish)
    load = commands.add_parser("load", help="bring every published load that a warehouse lacks into it")
    load.add_argument("load_id", nargs="?", help="bring this one in, though it is there")
    load.add_argument(
        "--all", dest="again", action="store_true", help="bring every load in, though it is there"
    )
    load.add_argument(
        "--new-columns",
        action="store_true",
        help="let views have the columns that this release brought: no worker of an earlier one is left",
    )
    load.set_defaults(run=_load)
    compact = commands.add_parser(
        "compact", help="merge small files of the tables, expire snapshots, remove what nothing needs"
    )
    compact.add_argument(
        "--target-mb", type=arguments.megabytes, default=_TARGET_MB, metavar="MB", help="256; 1 to 4096"
    )
    compact.add_argument(
        "--keep-days", type=arguments.days, default=_KEEP_DAYS, metavar="DAYS", help="7 by default"
    )
    compact.set_defaults(run=_compact)
    rebuild = commands.add_parser(
        "rebuild", help="make all tables anew from the kept raw answers, without paying again"
    )
    rebuild.add_argument("--into", metavar="TABLES_URI", help="other tables; default: in place")
    rebuild.add_argument("--catalog", metavar="URI", help="catalog of the other tables")
    rebuild.set_defaults(run=_rebuild)
    verify = commands.add_parser("verify", help="hold the published files against their SHA-256")
    verify.add_argument("--load", metavar="LOAD_ID", help="only files with rows of this load")
    verify.set_defaults(run=_verify)
    ledger = commands.add_parser(
        "ledger", help="bring the ledger of what is moderated up to the published loads, and merge it"
    )
    ledger.add_argument("--rebuild", action="store_true", help="make all of it anew from the tables")
    ledger.set_defaults(run=_ledger)
    files = commands.add_parser("files", help="list the Parquet files that hold a table's published rows")
    files.add_argument("table", choices=list(ALL_TABLES))
    files.add_argument(
        "--since", type=arguments.day, metavar="DAY", help="only days from this one on, 2026-11-22"
    )
    files.add_argument("--until", type=arguments.day, metavar="DAY", help="only days up to this one")
    files.set_defaults(run=_files)
    for parser in (publish, load, compact, rebuild, verify, ledger, files):
        parser.add_argument("--json", action="store_true", help="print JSON")


def _publish(settings: Settings, args: argparse.Namespace) -> int:
    from moderation.analyse.record import AnalysisRecord  # noqa: PLC0415 - as above
    from moderation.plan.store import load_plan  # noqa: PLC0415 - as above
    from moderation.publish import commit  # noqa: PLC0415 - Iceberg is slow to import
    from moderation.storage import s3_objects  # noqa: PLC0415 - as above

    with s3_objects.open_client(settings) as s3:
        plan = load_plan(args.plan_uri.uri, s3=s3)
        uris = [plan.analysis_record_uri(manifest.manifest_id) for manifest in plan.manifests]
        # The task publish keeps them once all jobs have ended; without one a job may still run.
        records = [AnalysisRecord.from_json(_record(s3, uri), where=uri) for uri in uris]
    load = commit.publish(settings, plan, records, stop_on_mismatch=True, accept_lost=args.accept_lost)
    counts = {name: load.row[name] for name in ("moderated", "failed", "not_attempted", "billed", "cost_usd")}
    if args.json:
        print_json({"load_id": load.load_id, **counts})
        return DONE
    sys.stdout.write(
        f"load {load.load_id} is published: {counts['moderated']:,} moderated, {counts['failed']:,} failed, "
        f"{counts['not_attempted']:,} not attempted\n"
        "clear the task publish of its run with everything after it: it loads and reports\n"
        f"then see: {settings.command} redo {load.load_id}\n"
    )
    return DONE


def _load(settings: Settings, args: argparse.Namespace) -> int:
    from moderation import stages  # noqa: PLC0415 - as above

    brought = stages.load(args.load_id, again=args.again, new_columns=args.new_columns, settings=settings)
    if args.json:
        print_json(brought)
        return DONE
    sys.stdout.writelines(f"{load_id}\n" for load_id in brought)
    if not brought:
        sys.stdout.write("no warehouse lacks a published load\n")
    return DONE


def _record(s3: Any, uri: str) -> bytes:
    from moderation.storage import s3_objects  # noqa: PLC0415 - as above

    try:
        return s3_objects.read(s3, uri).body
    except s3_objects.S3Error as error:
        if not error.is_missing:
            raise
        raise arguments.UsageError(
            f"{error}; a job may still run: clear the task publish of the run first"
        ) from error


def _compact(settings: Settings, args: argparse.Namespace) -> int:
    # Iceberg is slow to import, and only these commands need it.
    from moderation.maintenance import compaction  # noqa: PLC0415

    done = compaction.compact(
        settings, target_bytes=args.target_mb << 20, keep=timedelta(days=args.keep_days)
    )
    if args.json:
        print_json([asdict(table) for table in done])
        return DONE
    for table in done:
        sys.stdout.write(
            f"{table.table + ':':<12}{table.merged:,} files into {table.written:,} "
            f"({table.rows:,} rows, {table.bytes:,} bytes), {table.expired:,} snapshots expired, "
            f"{table.removed:,} files removed\n"
        )
    return DONE


def _rebuild(settings: Settings, args: argparse.Namespace) -> int:
    from moderation.maintenance import rebuild  # noqa: PLC0415 - as above

    target = rebuild.other_tables(settings, args.into, args.catalog) if args.into else None
    done = rebuild.rebuild(settings, into=target)
    if args.json:
        print_json([asdict(load) for load in done])
        return DONE
    for load in done:
        proof = "counts and digest agree" if load.is_same_digest else "counts agree, another format"
        proof = proof if load.is_proven else "nothing to compare with"
        sys.stdout.write(f"{load.load_id}  {load.rows:,} rows in {load.files:,} files  {proof}\n")
    place = target or settings
    sys.stdout.write(f"{len(done):,} loads in {place.tables_uri}\n")
    return DONE


def _verify(settings: Settings, args: argparse.Namespace) -> int:
    from moderation.maintenance.verify import verify  # noqa: PLC0415 - as above

    found = verify(settings, load_id=args.load)
    code = SOMETHING_FAILED if found.damaged else DONE
    if args.json:
        print_json(asdict(found))
        return code
    sys.stdout.write(
        f"{found.files:,} files ({found.bytes:,} bytes) have the SHA-256 they were published with\n"
    )
    if found.not_recorded:
        sys.stdout.write(
            f"{found.not_recorded:,} files of an earlier release have none on record; they can be read\n"
        )
    if found.damaged:
        sys.stdout.write(f"{len(found.damaged):,} files or verdicts are damaged or missing:\n")
        sys.stdout.writelines(f"  {one_line(text)}\n" for text in found.damaged)
    return code


def _ledger(settings: Settings, args: argparse.Namespace) -> int:
    from moderation.tables.ledger import upkeep  # noqa: PLC0415 - as above

    done = upkeep.bring_up(settings, anew=args.rebuild, most_rows=None, prove=True)
    removed = upkeep.tidy(settings)
    index = done.index
    if args.json:
        counts = {"entries": index.entries, "runs": len(index.runs), "bytes": index.bytes}
        more = {"loads": len(index.loads), "added": done.added, "written": done.written, "removed": removed}
        print_json({**counts, **more, "damage": done.damage or None})
        return DONE
    if done.damage:
        sys.stdout.write(f"{one_line(done.damage)}: done\n")
    sys.stdout.write(
        f"{index.entries:,} entries of {len(index.loads):,} loads in {len(index.runs):,} runs "
        f"({index.bytes:,} bytes); {done.added:,} added, {done.written:,} rows written, "
        f"{removed:,} old files removed\n"
    )
    return DONE


def _files(settings: Settings, args: argparse.Namespace) -> int:
    from moderation.query.published_views import published_files  # noqa: PLC0415 - as above
    from moderation.tables.catalog import open_catalog  # noqa: PLC0415 - as above
    from moderation.tables.history import told_lost  # noqa: PLC0415 - as above

    with open_catalog(settings) as catalog:
        found = published_files(catalog, since=args.since, until=args.until)[args.table]
        warn(told_lost(settings, catalog))
    if args.json:
        print_json(found)
        return DONE
    sys.stdout.writelines(f"{uri}\n" for uri in found)
    return DONE
