from __future__ import annotations

import pytest

from moderation.adapters import exact


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [(6, 0, 0.03125), (5, 0, 0.0625), (0, 6, 0.03125), (0, 0, 1.0), (3, 3, 1.0), (9, 1, 22 / 1024)],
)
def test_mcnemar_is_exact(better: int, worse: int, p: float) -> None:
    assert exact.mcnemar(better, worse) == pytest.approx(p, rel=1e-12)


def test_mcnemar_takes_any_number_of_images() -> None:
    assert exact.mcnemar(5_000, 5_000) == 1.0
    assert exact.mcnemar(10_000, 0) == 0.0
    # The two ways of counting meet: 501 of 1,001 changed images is the most even division.
    assert exact.mcnemar(501, 500) == pytest.approx(1.0)
    assert exact.mcnemar(300, 201) == pytest.approx(1.12e-5, rel=0.05)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(90, 100, 0.8256, 0.9448), (20, 20, 0.8389, 1.0), (0, 300, 0.0, 0.01264)],
)
def test_wilson_gives_the_published_limits(k: int, n: int, low: float, high: float) -> None:
    share = exact.wilson(k, n, confidence=0.95)
    assert (share.low, share.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(0, 300, 0.0, 0.012221), (10, 10, 0.69150, 1.0), (5, 10, 0.18709, 0.81291), (0, 1, 0.0, 0.975)],
)
def test_clopper_and_pearson_are_exact(k: int, n: int, low: float, high: float) -> None:
    found = exact.clopper_pearson(k, n, confidence=0.95)
    assert found == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


@pytest.mark.parametrize(("better", "worse"), [(6, 0), (5, 0), (7, 1), (12, 3), (0, 6), (2, 3), (40, 20)])
def test_limits_leave_out_no_change_exactly_when_mcnemar_does(better: int, worse: int) -> None:
    low, high = exact.paired_difference(better, worse, 100, confidence=0.95) or (0.0, 0.0)
    assert (low > 0 or high < 0) is (exact.mcnemar(better, worse) < 0.05)


def test_nothing_is_said_of_no_image() -> None:
    assert exact.wilson(0, 0, confidence=0.95).low is None
    assert exact.paired_difference(0, 0, 0, confidence=0.95) is None
    assert exact.paired_difference(0, 0, 50, confidence=0.95) == (0.0, 0.0)
