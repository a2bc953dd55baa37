"""What a plan's file is taken for."""

from __future__ import annotations

import pytest

from moderation.plan.plan import Plan, PlanError
from moderation.storage.state import seal, unseal
from support.planned_runs import make_plan


def test_a_plan_of_another_place_is_not_gone_on_with():
    """Its manifests are another install's: they would be asked, and paid for, from here."""
    theirs = make_plan().to_json()
    with pytest.raises(PlanError, match=r"s3://mine/runs/r/plan-001/plan\.json.*another place.*delete it"):
        Plan.from_json(theirs, "s3://mine/runs/r/plan-001/plan.json")


@pytest.mark.parametrize("part", ["totals", "manifests"])
def test_a_plan_of_a_later_release_is_left_to_it_and_kept(part):
    """Its answers may be paid for: whoever deleted it, as one deletes a damaged file, would lose them."""
    content = unseal(make_plan().to_json())
    if part == "totals":
        content[part]["weight"] = 1
    else:
        content[part] = [{"weight": 1}]
    with pytest.raises(PlanError, match=r"a later release, which tells weight; keep it, bring this worker"):
        Plan.from_json(seal(content), "s3://mine/runs/r/plan-001/plan.json")
