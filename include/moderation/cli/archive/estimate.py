"""``archive estimate``: what an archive holds, costs and takes, before anything is paid."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from moderation.analyse.detect import quota
from moderation.archive import estimate as estimating
from moderation.archive.backfill.state import Options
from moderation.archive.dry_run import DryRun
from moderation.archive.estimate import NIGHTS, Estimate
from moderation.archive.schedule import Way
from moderation.archive.survey import survey
from moderation.cli import arguments
from moderation.cli.archive import alone, backfill
from moderation.cli.boundary import DONE
from moderation.cli.output import show
from moderation.plan.ledger import Question
from moderation.plan.price import duration
from moderation.settings import Settings
from moderation.sources.open import open_source
from moderation.storage import s3_objects
from moderation.tables.history import prove_history
from moderation.variables.machine import MachineSettings


def add_parsers(commands: Any) -> None:
    """Add ``archive`` to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    archive = commands.add_parser("archive", help="what stands before a great number of images")
    actions = archive.add_subparsers(required=True, metavar="ACTION")
    backfill.add_parsers(actions)
    alone.add_parser(actions)
    parser = actions.add_parser(
        "estimate", help="count a source, and price it month by month; nothing is paid"
    )
    parser.add_argument("source", help="as for plan; an S3 Inventory is the quickest")
    parser.add_argument("--min-confidence", type=arguments.percentage, default=50.0, metavar="PERCENT")
    parser.add_argument("--adapter", metavar="ARN", help="version of a custom moderation adapter")
    parser.add_argument("--force", action="store_true", help="count what is already moderated, too")
    parser.add_argument(
        "--nightly",
        type=arguments.count,
        metavar="N",
        help=f"images a day beside it; default: the last {NIGHTS} days",
    )
    _add_dry_run(parser)
    parser.add_argument("-o", "--html", type=Path, metavar="FILE", help="write it as a page, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="work all of it off in virtual time, chunk by chunk, as archive start with these would",
    )
    parser.add_argument(
        "--chunk-images", type=arguments.count, default=1_000_000, metavar="N", help="images a chunk"
    )
    parser.add_argument("--day-usd", type=float, metavar="USD", help="what its chunks may cost a day")
    parser.add_argument("--month-usd", type=float, metavar="USD", help="and a month")
    parser.add_argument("--time-zone", default="UTC", metavar="ZONE", help="where days begin")
    parser.add_argument("--backend", choices=("auto", "bulk", "detect"), default="auto")


def _run(settings: Settings, options: argparse.Namespace) -> int:
    from moderation.tables.ledger.known import stream_known  # noqa: PLC0415 - Iceberg is slow to import

    now, rehearse = datetime.now(UTC), _options(options)
    question = Question(settings.model_version, options.adapter, options.min_confidence)
    source = open_source(options.source)
    with s3_objects.open_client(settings, connections=settings.inspect_threads + 4) as s3:
        prove_history(settings, s3=s3, remember=False)
        published = None if options.force else stream_known
        counted = survey(settings, s3, source, question=question, published=published)
    calls, calls_by = _calls(settings)
    found = estimating.estimate(
        replace(settings, detect_tps=calls),
        counted,
        beside=estimating.beside(settings, now, options.nightly),
        now=now,
        adapter=options.adapter,
        calls_by=calls_by,
        rehearse=rehearse,
    )
    if options.html:
        from moderation.report.archive.page import write_page  # noqa: PLC0415 - draws charts

        write_page(found, options.html)
    show(found.record(), _lines(found, options.html), as_json=options.json)
    return DONE


def _options(given: argparse.Namespace) -> Options | None:
    """How the dry run goes; None for no dry run, which a budget asks for as well."""
    asked = Options(
        chunk_images=given.chunk_images,
        day_usd=given.day_usd,
        month_usd=given.month_usd,
        time_zone=given.time_zone,
        adapter=given.adapter,
        backend=given.backend,
    )
    return asked if given.dry_run or given.day_usd is not None or given.month_usd is not None else None


def _calls(settings: Settings) -> tuple[float | None, str]:
    """Calls a second and who says so; None for AWS's default. Only AWS is asked for the account's own."""
    if settings.detect_tps:
        return settings.detect_tps, "MODERATION_DETECT_TPS"
    told = None
    if MachineSettings.from_env().s3_endpoint is None:
        try:
            client = s3_objects.session().client(
                "service-quotas", region_name=settings.region, config=Config(**quota.CLIENT_CONFIG)
            )
            try:
                told = quota.look_up(client)
            finally:
                client.close()
        except (ClientError, BotoCoreError):
            pass  # the line says that the default was taken
    return told, "AWS's published default" if told is None else "Service Quotas"


def _lines(found: Estimate, page: Path | None) -> Iterator[tuple[str, Any]]:
    counted, beside = found.survey, found.beside
    yield "source", counted.source
    yield "found", f"{counted.listed:,}"
    yield "no images", _by(counted.no_images)
    yield "already moderated", f"{counted.already_moderated:,}"
    yield "refused before", _by(counted.refused_before)
    yield "cannot be sent", f"{_by(counted.cannot_be_sent)}; formats are known when they are read"
    same = counted.to_analyse - counted.contents
    yield "to analyse", f"{counted.to_analyse:,}; {same:,} of them are copies of others"
    yield "contents known", f"{counted.known:,}, by answers to other keys; they cost nothing"
    yield (
        "paid for",
        f"{found.paid:,}" + (", copies too" if same and found.paid == counted.to_analyse else ""),
    )
    if counted.size_bytes is not None:
        yield "size", f"{counted.size_bytes / 1e9:,.1f} GB"
    yield "bulk jobs", f"{found.jobs:,}, {found.jobs_at_once:,} at once"
    yield "single calls", f"{found.calls_per_second:g} a second by {found.calls_by}"
    yield (
        "billed this month",
        f"{beside.this_month:,} images, and {beside.a_day:,.0f} a day by the nightly runs",
    )
    for name, way in (("fastest", found.fastest), ("cheapest", found.cheapest)):
        yield name, _in_words(way)
        for month in way.months[:24]:
            yield f"  {month.month}", f"{month.images:,} images, {month.cost_usd:,.2f} USD"
        if len(way.months) > 24:
            yield "  later", f"{len(way.months) - 24} months more; --json lists them"
    for way in found.begun_now:
        if way is not found.fastest:
            yield f"by {way.backend}", _in_words(way)
    if found.dry_run:
        yield from _rehearsed(found.dry_run)
    if page:
        yield "page", page


def _rehearsed(run: DryRun) -> Iterator[tuple[str, Any]]:
    yield (
        "dry run",
        f"{len(run.chunks):,} chunks by {run.backend}, {run.cost_usd:,.2f} USD, "
        f"done {run.ends:%Y-%m-%d %H:%M} UTC",
    )
    for chunk in run.chunks[:12]:
        yield (
            f"  chunk {chunk.number}",
            f"{chunk.images:,} images, {chunk.paid:,} paid, {chunk.cost_usd:,.2f} USD, "
            f"{chunk.begins:%Y-%m-%d %H:%M} to {chunk.ends:%Y-%m-%d %H:%M}",
        )
    if len(run.chunks) > 12:
        yield "  later", f"{len(run.chunks) - 12:,} chunks more; --json and --html list them"
    for why, days in run.waited.items():
        yield "  waits", f"{days:,} day{'s' * (days > 1)} for {why}"


def _in_words(way: Way) -> str:
    took = duration((way.ends - way.begins).total_seconds())
    return (
        f"{way.cost_usd:,.2f} USD by {way.backend} at {way.images_per_second:,.1f} images/s, "
        f"{way.begins:%Y-%m-%d} to {way.ends:%Y-%m-%d %H:%M} UTC ({took})"
    )


def _by(counts: dict[str, int]) -> str:
    parts = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f"{sum(counts.values()):,}" + (f" ({parts})" if parts else "")
