from __future__ import annotations

import botocore.session
import pytest

from rekognition.waiters.states import job_states


def test_each_state_aws_knows_stands_in_the_waiter_table_once() -> None:
    model = botocore.session.get_session().get_service_model("rekognition")
    states = job_states()
    listed = [*states.active, *states.succeeded, *states.failed]
    assert sorted(listed) == sorted(model.shape_for("MediaAnalysisJobStatus").enum)


@pytest.mark.parametrize("outcome", ["active", "succeeded", "failed"])
def test_each_outcome_has_a_state(outcome: str) -> None:
    assert getattr(job_states(), outcome)
