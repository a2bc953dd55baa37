from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from simulation import Case, simulate
from virtual.service import Storm

PLAN = (10_000,) * 40


@pytest.mark.parametrize(
    "case",
    [
        Case(chunks=1, slots=5, speed=100.0, spare=2),
        Case(chunks=2, slots=5, speed=50.0, spare=2),
        Case(chunks=1, slots=20, speed=20.0, spare=7, storm=Storm(600.0, 1200.0)),
    ],
    ids=["five slots", "two chunks", "throttled"],
)
def test_job_slots_are_as_full_as_the_quota_allows(case: Case) -> None:
    found = simulate(case, PLAN)
    assert found.jobs_ratio <= 1.05
    assert found.begun >= case.chunks * len(PLAN)
    assert found.calls["GetMediaAnalysisJob"][2] <= 20
