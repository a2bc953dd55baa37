"""What a plan has cost so far, told from the answers that its jobs have left, published or not."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

from moderation.analyse.record import read_record
from moderation.plan.plan import ManifestRef, Plan
from moderation.plan.price import tiers_of
from moderation.reference import prices
from moderation.settings import Settings
from moderation.storage import s3_objects

_ANSWER = b'"detect-moderation-labels"'


@dataclass(frozen=True)
class Spent:
    """What AWS bills for the answers of a plan.

    :param images: images answered.
    :param usd: their price, at the set prices.
    :param untold: manifests of which nothing is recorded yet: the task publish does that first.
    """

    images: int
    usd: float
    untold: int

    def text(self) -> str:
        """In words."""
        told = f"{self.usd:,.4f} USD for {self.images:,} answered images, which are kept"
        return told + (f"; {self.untold:,} manifests have no record yet" if self.untold else "")


def spent_so_far(settings: Settings, plan: Plan, *, s3: Any) -> Spent:
    """Count the answers in the results files of a plan; a line is held in memory at a time.

    :raises moderation.analyse.record.RecordError: a record is damaged.
    :raises S3Error: S3 does not do its part.
    """
    counted = [_answered(plan, manifest, s3=s3) for manifest in plan.manifests]
    images = sum(count for count in counted if count is not None)
    tiers = tiers_of(settings, plan.adapter)
    return Spent(images, float(prices.cost_usd(images, tiers=tiers)), counted.count(None))


def _answered(plan: Plan, manifest: ManifestRef, *, s3: Any) -> int | None:
    uri = plan.analysis_record_uri(manifest.manifest_id)
    try:
        record = read_record(s3, uri)
        if record is None:
            return None
        if record.results_uri is None:
            return 0
        bucket, key = s3_objects.split_uri(record.results_uri)
        with (
            s3_objects.named_errors("read", bucket, key),
            closing(s3.get_object(Bucket=bucket, Key=key)["Body"]) as body,
        ):
            # A damaged file may hold a line twice; an image is billed once.
            return min(manifest.lines, sum(_ANSWER in line for line in body.iter_lines()))
    except s3_objects.S3Error as error:
        if error.is_missing:
            return None
        raise
