from __future__ import annotations

import pytest

from local_aws.rekognition.limits import Limits
from local_aws.rekognition.throttle import Throttle
from local_aws.rekognition.wire.errors import ApiError


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def outcome(
    throttle: Throttle, rate: float | None = 5, region: str = "us-east-1", operation: str = "Op"
) -> str:
    try:
        throttle.take(region, operation, rate)
    except ApiError as error:
        return error.code
    return "ok"


def test_a_second_may_hold_the_quota_and_not_one_call_more() -> None:
    throttle = Throttle(Clock())
    assert [outcome(throttle) for _ in range(6)] == ["ok"] * 5 + ["ProvisionedThroughputExceededException"]


def test_an_even_rate_at_the_quota_is_never_refused() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(500):
        assert outcome(throttle) == "ok"
        clock.now += 0.2000001


def test_over_a_long_time_no_more_than_the_quota_passes() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    passed = 0
    for _ in range(10_000):
        passed += outcome(throttle, 50) == "ok"
        clock.now += 0.01
    assert 5_000 <= passed <= 5_050


def test_a_sudden_increase_is_throttling() -> None:
    throttle = Throttle(Clock())
    seen = [outcome(throttle) for _ in range(20)]
    assert seen[5:10] == ["ProvisionedThroughputExceededException"] * 5
    assert set(seen[10:]) == {"ThrottlingException"}


def test_regions_and_operations_have_quotas_of_their_own() -> None:
    throttle = Throttle(Clock())
    for region in ("us-east-1", "eu-west-1"):
        for operation in ("A", "B"):
            assert outcome(throttle, 1, region, operation) == "ok"


def test_no_rate_is_no_limit() -> None:
    throttle = Throttle(Clock())
    assert {outcome(throttle, None) for _ in range(10_000)} == {"ok"}


@pytest.mark.parametrize(
    ("operation", "region", "rate"),
    [
        ("StartMediaAnalysisJob", "us-east-1", 5),
        ("ListMediaAnalysisJobs", "eu-west-1", 5),
        ("GetMediaAnalysisJob", "us-east-2", 20),
        ("DetectModerationLabels", "us-east-1", 50),
        ("DetectModerationLabels", "eu-central-1", 5),
    ],
)
def test_the_default_rates_are_the_published_ones(operation: str, region: str, rate: float) -> None:
    assert Limits().rate(operation, region) == rate


@pytest.mark.parametrize(("region", "jobs"), [("us-east-1", 20), ("us-east-2", 5), ("sa-east-1", 0)])
def test_the_default_numbers_of_open_jobs_are_the_published_ones(region: str, jobs: int) -> None:
    assert Limits().open_jobs_in(region) == jobs


def test_limits_can_be_set_one_by_one() -> None:
    changed = Limits().overridden(
        {
            "open_jobs": {"us-east-1": 1},
            "calls_per_second": {"*": None, "GetMediaAnalysisJob": 2.5},
            "min_side": 1,
        }
    )
    assert changed.open_jobs_in("us-east-1") == 1
    assert changed.open_jobs_in("us-east-2") == 5
    assert changed.rate("GetMediaAnalysisJob", "x") == 2.5
    assert changed.rate("StartMediaAnalysisJob", "x") is None
    assert changed.min_side == 1
    assert changed.manifest_lines == 10_000
    assert Limits().overridden({"open_jobs": 3}).open_jobs_in("anywhere") == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"nonsense": 1},
        {"min_side": -1},
        {"min_side": True},
        {"min_side": "80"},
        {"open_jobs": {"us-east-1": -1}},
        {"open_jobs": "many"},
        {"calls_per_second": {"*": 0}},
        {"calls_per_second": 5},
    ],
)
def test_a_limit_that_makes_no_sense_is_named(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=rf"limits\.{next(iter(changes))} cannot be"):
        Limits().overridden(changes)
