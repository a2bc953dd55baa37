from __future__ import annotations

import botocore.session
import pytest

from rekognition.waiters import states

EACH = pytest.mark.parametrize(
    ("waiter", "shape"),
    [
        (states.JOB_COMPLETE_WAITER, "MediaAnalysisJobStatus"),
        (states.VERSION_TRAINED_WAITER, "ProjectVersionStatus"),
        (states.PROJECT_CREATED_WAITER, "ProjectStatus"),
    ],
)


@EACH
def test_each_state_aws_knows_stands_in_the_waiter_table_once(waiter: str, shape: str) -> None:
    model = botocore.session.get_session().get_service_model("rekognition")
    found = states.job_states(waiter)
    listed = [*found.active, *found.succeeded, *found.failed]
    assert sorted(listed) == sorted(model.shape_for(shape).enum)


@pytest.mark.parametrize("outcome", ["active", "succeeded", "failed"])
@EACH
def test_each_outcome_has_a_state(waiter: str, shape: str, outcome: str) -> None:
    assert getattr(states.job_states(waiter), outcome)
