"""What a plan's file is taken for."""

from __future__ import annotations

import pytest

from moderation.plan.plan import Plan, PlanError
from support.planned_runs import make_plan


def test_a_plan_of_another_place_is_not_gone_on_with():
    """Its manifests are another install's: they would be asked, and paid for, from here."""
    theirs = make_plan().to_json()
    with pytest.raises(PlanError, match=r"s3://mine/runs/r/plan-001/plan\.json.*another place.*delete it"):
        Plan.from_json(theirs, "s3://mine/runs/r/plan-001/plan.json")
