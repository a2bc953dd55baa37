"""What a plan will cost and how long it will take, before anything is spent."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from moderation.reference import limits, prices
from moderation.settings import Settings


@dataclass(frozen=True)
class Estimate:
    """Price and time of a plan.

    :param cost_usd: if every image is analysed; AWS bills those that are.
    :param detect_seconds: by DetectModerationLabels at the quota's pace.
    :param bulk_seconds: by media analysis jobs, with the assumed speed of a job
        (``MODERATION_BULK_JOB_IMAGES_PER_SECOND``); None where the region has no such jobs.
    """

    cost_usd: Decimal
    detect_seconds: float
    bulk_seconds: float | None


def estimate(settings: Settings, *, manifest_lines: list[int], adapter: str | None) -> Estimate:
    """Price and time for manifests of these many lines."""
    images = sum(manifest_lines)
    quotas = limits.quotas(settings.region)
    tiers = settings.adapter_price_tiers if adapter else settings.price_tiers
    at_once = settings.bulk_concurrent_jobs or quotas.bulk_concurrent_jobs
    return Estimate(
        cost_usd=prices.cost_usd(images, tiers=tiers),
        detect_seconds=images / (settings.detect_tps or quotas.detect_tps),
        bulk_seconds=_bulk_seconds(settings, manifest_lines, at_once) if at_once else None,
    )


def _bulk_seconds(settings: Settings, manifest_lines: list[int], at_once: int) -> float:
    """Jobs go into the first slot that frees; the last slot to end counts."""
    slots = [0.0] * at_once
    for lines in sorted(manifest_lines, reverse=True):
        slots.sort()
        slots[0] += lines / settings.bulk_job_images_per_second
    return max(slots)
