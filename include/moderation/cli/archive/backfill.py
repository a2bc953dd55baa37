"""``archive start`` and what people say of an archive after that: status, pause, resume, stop, retry …"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from moderation.archive.backfill import orders, progress, state
from moderation.archive.backfill.state import Archive, ArchiveError, Options
from moderation.cli import arguments
from moderation.cli.boundary import DONE
from moderation.cli.output import one_line, print_json, show
from moderation.settings import Settings
from moderation.storage import s3_objects


def add_parsers(actions: Any) -> None:
    """Add the actions to ``archive``.

    :param actions: what ``ArgumentParser.add_subparsers()`` returned.
    """
    _add_start(actions)
    parser = actions.add_parser("status", help="how far archives are; without a name, all")
    parser.add_argument("name", nargs="?")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_status)
    pause = actions.add_parser("pause", help="begin no further chunk; what is under way ends")
    pause.add_argument("--days", type=float, metavar="N", help="resume by itself after so many days")
    retry = actions.add_parser("retry", help="take parked chunks up again")
    retry.add_argument(
        "--chunk", type=int, action="append", metavar="NUMBER", help="only this one; may be repeated"
    )
    resume = actions.add_parser("resume", help="go on after a pause or a stop")
    stop = actions.add_parser("stop", help="begin no further chunk, and reconcile what was done")
    clean = actions.add_parser("clean", help="remove the lists of keys of an archive that is over")
    budget = actions.add_parser("budget", help="let its chunks cost more or less from now on")
    for limit in ("day", "month"):
        budget.add_argument(
            f"--{limit}-usd",
            type=_limit,
            default=orders.UNCHANGED,
            metavar="USD",
            help=f"what they may cost a {limit}; none for no limit",
        )
    told = (
        (pause, _pause),
        (resume, _resume),
        (stop, _stop),
        (retry, _retry),
        (budget, _budget),
        (clean, _clean),
    )
    for parser, run in told:
        parser.add_argument("name")
        parser.add_argument("--person", default="", metavar="NAME", help="who asks; stands with the archive")
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=run)


def _add_start(actions: Any) -> None:
    parser = actions.add_parser(
        "start", help="list a source and cut it into chunks, which the Dag backfill_archive works off"
    )
    parser.add_argument("name", help="1 to 40 of a-z 0-9 -")
    parser.add_argument("source", help="as for plan; no local folder")
    parser.add_argument("--order", choices=state.ORDERS, default="newest", help="which images come first")
    parser.add_argument(
        "--chunk-images", type=arguments.count, default=1_000_000, metavar="N", help="images a chunk"
    )
    parser.add_argument("--day-usd", type=float, metavar="USD", help="what its chunks may cost a day")
    parser.add_argument("--month-usd", type=float, metavar="USD", help="and a month")
    parser.add_argument(
        "--time-zone", default="UTC", metavar="ZONE", help="where days begin, as Europe/Vienna"
    )
    parser.add_argument(
        "--tries", type=arguments.count, default=3, metavar="N", help="then a chunk is parked"
    )
    parser.add_argument("--min-confidence", type=arguments.percentage, metavar="PERCENT")
    parser.add_argument(
        "--adapter", metavar="ARN", help="version of a custom moderation adapter, or champion"
    )
    parser.add_argument("--backend", choices=("auto", "bulk", "detect"), default="auto")
    parser.add_argument(
        "--no-inspect",
        action="store_true",
        help="do not read the images' headers: one GET an image less; Rekognition refuses what is no image",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_start)


def _start(settings: Settings, options: argparse.Namespace) -> int:
    from moderation.archive.backfill import cutting  # noqa: PLC0415 - DuckDB is slow to import

    asked = Options(
        order=options.order,
        chunk_images=options.chunk_images,
        day_usd=options.day_usd,
        month_usd=options.month_usd,
        time_zone=options.time_zone,
        tries=options.tries,
        min_confidence=options.min_confidence,
        adapter=options.adapter,
        backend=options.backend,
        inspect=not options.no_inspect,
    )
    state.check_name(options.name)
    with s3_objects.open_client(settings, connections=settings.inspect_threads + 4) as s3:
        if state.exists(settings, s3, options.name):
            raise ArchiveError(_taken(settings, options.name))
        now = datetime.now(UTC)
        archive = cutting.cut(settings, s3, options.name, options.source, asked, now=now.isoformat())
        progress.check_budget(settings, archive)
        if not state.create(settings, s3, archive):
            raise ArchiveError(_taken(settings, options.name))
    return _told(settings, archive, options)


def _taken(settings: Settings, name: str) -> str:
    see = f"{settings.command} archive status {name}"
    return f"there is an archive {name} already; choose another name, or see: {see}"


def _status(settings: Settings, options: argparse.Namespace) -> int:
    with s3_objects.open_client(settings) as s3:
        if options.name:
            return _told(settings, state.read(settings, s3, options.name), options)
        archives, damaged = state.read_all(settings, s3)
    told = [progress.of(settings, archive) for archive in archives]
    if options.json:
        print_json(
            [
                {"name": one.name, "status": one.status} | asdict(far)
                for one, far in zip(archives, told, strict=True)
            ]
        )
    else:
        lines = [(archive.name, _in_short(archive, one)) for archive, one in zip(archives, told, strict=True)]
        none = ("archives", f"none; {settings.command} archive start NAME SOURCE begins one")
        show(told, lines or ([] if damaged else [none]), as_json=False)
    if damaged:  # It hides none of the others.
        raise ArchiveError("; ".join(map(str, damaged.values())))
    return DONE


def _pause(settings: Settings, options: argparse.Namespace) -> int:
    if options.days is not None and not 0 < options.days < 3_650:
        raise ArchiveError(f"--days {options.days}: expected a number of days above 0")
    until = datetime.now(UTC) + timedelta(days=options.days) if options.days is not None else None
    return _changed(settings, options, orders.pause, until=until)


def _resume(settings: Settings, options: argparse.Namespace) -> int:
    return _changed(settings, options, orders.resume)


def _stop(settings: Settings, options: argparse.Namespace) -> int:
    return _changed(settings, options, orders.stop)


def _retry(settings: Settings, options: argparse.Namespace) -> int:
    return _changed(settings, options, orders.retry, numbers=set(options.chunk) if options.chunk else None)


def _budget(settings: Settings, options: argparse.Namespace) -> int:
    return _changed(settings, options, orders.budget, day_usd=options.day_usd, month_usd=options.month_usd)


def _limit(text: str) -> float | None:
    return None if text == "none" else arguments.rate(text)


def _clean(settings: Settings, options: argparse.Namespace) -> int:
    return _changed(settings, options, orders.clean)


def _changed(
    settings: Settings, options: argparse.Namespace, how: Callable[..., Archive], **asked: Any
) -> int:
    with s3_objects.open_client(settings) as s3:
        return _told(settings, how(settings, s3, options.name, person=options.person, **asked), options)


def _told(settings: Settings, archive: Archive, options: argparse.Namespace) -> int:
    tell(settings, archive, as_json=options.json)
    return DONE


def tell(settings: Settings, archive: Archive, *, as_json: bool) -> None:
    """Print how far an archive is."""
    far = progress.of(settings, archive)
    show(asdict(archive) | {"progress": asdict(far)}, _lines(archive, far), as_json=as_json)


def _in_short(archive: Archive, far: progress.Progress) -> str:
    return f"{archive.status}, {far.done:,} of {far.images:,} images, {far.paid_usd:,.2f} USD"


def _lines(archive: Archive, far: progress.Progress) -> Iterator[tuple[str, Any]]:
    yield "archive", archive.name
    yield "source", archive.source
    yield "status", archive.status + (f" until {archive.paused_until}" if archive.paused_until else "")
    yield "waits for", archive.waits or None
    counts = Counter(chunk.status for chunk in archive.chunks)
    yield "chunks", ", ".join(f"{count:,} {status}" for status, count in counts.items())
    yield "images", f"{far.done:,} of {far.images:,}"
    yield "images a second", f"{far.images_per_second:,.2f}" if far.images_per_second else None
    yield "ends about", far.ends or None
    yield "paid", f"{far.paid_usd:,.4f} USD"
    yield "to come at most", f"{far.to_come_usd:,.4f} USD"
    for month in far.months if len(far.months) > 1 else ():
        yield f"  {month.month}", f"{month.paid_usd:,.4f} USD paid, {month.to_come_usd:,.4f} to come"
    for code, images in far.codes.items():
        yield f"  {code or 'not attempted'}", f"{images:,}"
    for chunk in archive.chunks:
        if chunk.status == state.PARKED:
            why = f": {one_line(chunk.reason)}" if chunk.reason else ""
            yield (
                "parked",
                f"chunk {chunk.number}; its run is {archive.run_id(chunk)} of moderate_images{why}",
            )
    if result := archive.result:
        yield "of all keys", f"{result['keys']:,}"
        for name in ("answered", "refused", "gone", "owed"):
            value = result[name]
            yield f"  {name}", _by(value) if isinstance(value, dict) else f"{value:,}"
        yield "new at the source", f"{result['new']:,}"
        yield "changed there", f"{result['changed']:,}, and {result['gone_since']:,} are gone"


def _by(counts: dict[str, int]) -> str:
    parts = ", ".join(f"{name or 'not attempted'} {count:,}" for name, count in counts.items())
    return f"{sum(counts.values()):,}" + (f" ({parts})" if parts else "")
