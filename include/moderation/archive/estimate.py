"""What is known of an archive before it is begun: counts, price by month, dates, and a dry run of it all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from moderation.archive.backfill.state import Options
from moderation.archive.dry_run import DryRun, dry_run
from moderation.archive.schedule import Beside, Way, cheapest, fastest, ways
from moderation.archive.survey import Survey
from moderation.reference import limits
from moderation.settings import Settings

NIGHTS = 28
"""Days back from today whose mean stands for the nightly runs."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """All that is told of an archive.

    :param paid: images that are sent and paid for; the others share their content, or have a known one.
    :param calls_by: who says how many calls a second there are.
    :param dry_run: None where none was asked for.
    """

    survey: Survey
    paid: int
    beside: Beside
    ways: tuple[Way, ...]
    calls_per_second: float
    calls_by: str
    jobs_at_once: int
    made_at: datetime
    dry_run: DryRun | None = None

    @property
    def jobs(self) -> int:
        """Bulk jobs, if all goes by these."""
        return -(-self.paid // limits.MANIFEST_MAX_LINES)

    @property
    def fastest(self) -> Way:
        """The way that ends first."""
        return fastest(self.ways)

    @property
    def cheapest(self) -> Way:
        """The way that costs least."""
        return cheapest(self.ways)

    @property
    def begun_now(self) -> tuple[Way, ...]:
        """One way a backend."""
        return tuple(way for way in self.ways if way.begins == self.ways[0].begins)

    def record(self) -> dict[str, Any]:
        """For programs; JSON but for times."""
        run = self.dry_run
        return {
            "survey": asdict(self.survey),
            "paid_images": self.paid,
            "jobs": self.jobs,
            "jobs_at_once": self.jobs_at_once,
            "calls_per_second": self.calls_per_second,
            "calls_by": self.calls_by,
            "billed_this_month": self.beside.this_month,
            "nightly_images_a_day": self.beside.a_day,
            "fastest": _way(self.fastest),
            "cheapest": _way(self.cheapest),
            "ways": [_way(way) for way in self.ways],
            "dry_run": asdict(run) | {"ends": run.ends, "cost_usd": run.cost_usd} if run else None,
        }


def estimate(
    settings: Settings,
    survey: Survey,
    *,
    beside: Beside,
    now: datetime,
    adapter: str | None,
    calls_by: str,
    rehearse: Options | None = None,
) -> Estimate:
    """Price and date what was counted.

    Images of the same content are paid for once, and not at all where an earlier load has answered it, unless
    ``MODERATION_SHARE_ANSWERS`` is off.

    :param settings: with the calls a second that hold; see ``calls_by``.
    :param rehearse: work it off in virtual time so; None not to.
    :raises moderation.archive.schedule.CannotBePlannedError: nothing is left of the quotas.
    :raises moderation.archive.backfill.state.ArchiveError: no chunk fits in the budget.
    """
    paid = survey.contents - survey.known if settings.share_answers else survey.to_analyse
    quotas = limits.quotas(settings.region)
    found = Estimate(
        survey=survey,
        paid=paid,
        beside=beside,
        ways=ways(settings, paid, adapter=adapter, now=now, beside=beside),
        calls_per_second=settings.detect_tps or quotas.detect_tps,
        calls_by=calls_by,
        jobs_at_once=settings.bulk_concurrent_jobs or quotas.bulk_concurrent_jobs,
        made_at=now,
    )
    if rehearse is None or not survey.to_analyse:
        return found
    wanted = {"auto": ("bulk", "detect")}.get(rehearse.backend, (rehearse.backend,))
    way = next((way for name in wanted for way in found.begun_now if way.backend == name), found.ways[0])
    run = dry_run(
        settings,
        images=survey.to_analyse,
        paid=paid,
        options=rehearse,
        backend=way.backend,
        pace=way.images_per_second,
        beside=beside,
        now=now,
    )
    return Estimate(**{**vars(found), "dry_run": run})


def beside(settings: Settings, now: datetime, nightly: int | None) -> Beside:
    """What the account was billed for, as the tables know it.

    :param nightly: images a day, where a person says it.
    """
    from moderation.schema import JOBS  # noqa: PLC0415 - Iceberg is slow to import
    from moderation.tables.catalog import load_table, open_catalog  # noqa: PLC0415
    from moderation.tables.published import loads_in, scan  # noqa: PLC0415

    since = (now - timedelta(days=max(NIGHTS, now.day))).date()
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    back = now - timedelta(days=NIGHTS)
    with open_catalog(settings) as catalog:
        known = set(loads_in(catalog).column("load_id").to_pylist())
        where = f"dt >= '{since.isoformat()}'"
        batches = scan(
            load_table(catalog, JOBS), JOBS, ["completed_at", "billed"], load_ids=known, where=where
        )
        this_month = recent = 0
        for batch in batches:
            for ended, billed in zip(batch.column(0), batch.column(1), strict=True):
                if ended.as_py() is not None:
                    this_month += billed.as_py() if ended.as_py() >= first else 0
                    recent += billed.as_py() if ended.as_py() >= back else 0
    return Beside(this_month=this_month, a_day=recent / NIGHTS if nightly is None else nightly)


def _way(way: Way) -> dict[str, Any]:
    months = [asdict(month) | {"cost_usd": float(month.cost_usd)} for month in way.months]
    return asdict(way) | {"months": months, "cost_usd": float(way.cost_usd)}
