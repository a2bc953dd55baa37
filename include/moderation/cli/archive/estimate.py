"""``archive estimate``: what an archive holds, costs and takes, before anything is paid."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from moderation.archive.schedule import Beside, Way, cheapest, fastest, ways
from moderation.archive.survey import Survey, survey
from moderation.cli import arguments
from moderation.cli.archive import alone, backfill
from moderation.cli.boundary import DONE
from moderation.cli.output import show
from moderation.plan.ledger import Question
from moderation.plan.price import duration
from moderation.reference import limits
from moderation.settings import Settings
from moderation.sources.open import open_source
from moderation.storage import s3_objects
from moderation.tables.history import prove_history

_NIGHTS = 28
"""Days back from today whose mean stands for the nightly runs."""


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
        help=f"images a day beside it; default: the last {_NIGHTS} days",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(settings: Settings, options: argparse.Namespace) -> int:
    from moderation.tables.ledger.known import stream_known  # noqa: PLC0415 - Iceberg is slow to import

    now = datetime.now(UTC)
    question = Question(settings.model_version, options.adapter, options.min_confidence)
    source = open_source(options.source)
    with s3_objects.open_client(settings, connections=settings.inspect_threads + 4) as s3:
        prove_history(settings, s3=s3, remember=False)
        published = None if options.force else stream_known
        counted = survey(settings, s3, source, question=question, published=published)
    beside = _beside(settings, now, options.nightly)
    found = ways(settings, counted.to_analyse, adapter=options.adapter, now=now, beside=beside)
    quick, cheap = fastest(found), cheapest(found)
    told = {
        "survey": asdict(counted),
        "jobs": -(-counted.to_analyse // limits.MANIFEST_MAX_LINES),
        "billed_this_month": beside.this_month,
        "nightly_images_a_day": beside.a_day,
        "fastest": _as_json(quick),
        "cheapest": _as_json(cheap),
        "ways": [_as_json(way) for way in found],
    }
    show(told, _lines(counted, beside, quick, cheap, found), as_json=options.json)
    return DONE


def _beside(settings: Settings, now: datetime, nightly: int | None) -> Beside:
    """What the account was billed for, as the tables know it."""
    from moderation.schema import JOBS  # noqa: PLC0415
    from moderation.tables.catalog import load_table, open_catalog  # noqa: PLC0415
    from moderation.tables.published import loads_in, scan  # noqa: PLC0415

    since = (now - timedelta(days=max(_NIGHTS, now.day))).date()
    with open_catalog(settings) as catalog:
        known = set(loads_in(catalog).column("load_id").to_pylist())
        where = f"dt >= '{since.isoformat()}'"
        batches = scan(
            load_table(catalog, JOBS), JOBS, ["completed_at", "billed"], load_ids=known, where=where
        )
        this_month = recent = 0
        first, back = (
            now.replace(day=1, hour=0, minute=0, second=0, microsecond=0),
            now - timedelta(days=_NIGHTS),
        )
        for batch in batches:
            for ended, billed in zip(batch.column(0), batch.column(1), strict=True):
                if ended.as_py() is not None:
                    this_month += billed.as_py() if ended.as_py() >= first else 0
                    recent += billed.as_py() if ended.as_py() >= back else 0
    return Beside(this_month=this_month, a_day=recent / _NIGHTS if nightly is None else nightly)


def _as_json(way: Way) -> dict[str, Any]:
    months = [asdict(month) | {"cost_usd": float(month.cost_usd)} for month in way.months]
    return asdict(way) | {"months": months, "cost_usd": float(way.cost_usd)}


def _lines(
    counted: Survey, beside: Beside, quick: Way, cheap: Way, found: tuple[Way, ...]
) -> Iterator[tuple[str, Any]]:
    yield "source", counted.source
    yield "found", f"{counted.listed:,}"
    yield "no images", _by(counted.no_images)
    yield "already moderated", f"{counted.already_moderated:,}"
    yield "refused before", _by(counted.refused_before)
    yield "cannot be sent", f"{_by(counted.cannot_be_sent)}; formats are known when they are read"
    same = counted.to_analyse - counted.contents
    yield "to analyse", f"{counted.to_analyse:,}; {same:,} of them are copies of others"
    if counted.size_bytes is not None:
        yield "size", f"{counted.size_bytes / 1e9:,.1f} GB"
    yield "bulk jobs", f"{-(-counted.to_analyse // limits.MANIFEST_MAX_LINES):,}"
    yield (
        "billed this month",
        f"{beside.this_month:,} images, and {beside.a_day:,.0f} a day by the nightly runs",
    )
    for name, way in (("fastest", quick), ("cheapest", cheap)):
        yield name, _in_words(way)
        for month in way.months[:24]:
            yield f"  {month.month}", f"{month.images:,} images, {month.cost_usd:,.2f} USD"
        if len(way.months) > 24:
            yield "  later", f"{len(way.months) - 24} months more; --json lists them"
    for way in found:
        if way.begins == found[0].begins and way is not quick:
            yield f"by {way.backend}", _in_words(way)


def _in_words(way: Way) -> str:
    took = duration((way.ends - way.begins).total_seconds())
    return (
        f"{way.cost_usd:,.2f} USD by {way.backend} at {way.images_per_second:,.1f} images/s, "
        f"{way.begins:%Y-%m-%d} to {way.ends:%Y-%m-%d %H:%M} UTC ({took})"
    )


def _by(counts: dict[str, int]) -> str:
    parts = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f"{sum(counts.values()):,}" + (f" ({parts})" if parts else "")
