from __future__ import annotations

import pytest

from moderation.reference import limits


def test_the_fixed_limits_are_those_aws_publishes():
    assert limits.MANIFEST_MAX_LINES == 10_000
    assert limits.MANIFEST_MAX_BYTES == 50_000_000
    assert limits.IMAGE_MAX_BYTES == 15 * 1024 * 1024
    assert (limits.IMAGE_MIN_PIXELS, limits.IMAGE_MAX_PIXELS) == (80, 10_000)


@pytest.mark.parametrize(
    ("region", "tps", "jobs"), [("us-east-1", 50, 20), ("eu-central-1", 5, 5), ("sa-east-1", 5, 0)]
)
def test_quotas_depend_on_the_region(region, tps, jobs):
    quotas = limits.quotas(region)

    assert (quotas.detect_tps, quotas.bulk_concurrent_jobs) == (tps, jobs)
