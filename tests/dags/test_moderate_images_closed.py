"""An account to which AWS closed bulk jobs: ``bulk`` pays nothing, ``auto`` learns it once and says so."""

from __future__ import annotations

import pytest

from support import rekognition_server as offline
from support.moderation_runs import World

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("airflow_db")]

CLOSED = {"kind": "ineligible", "operation": "StartMediaAnalysisJob"}


@pytest.mark.slow
def test_bulk_asked_for_by_name_pays_nothing_and_auto_finishes_it_and_remembers(world: World) -> None:
    refs = world.upload(f"{n}.jpg" for n in range(3))
    with offline.faults(world.server, CLOSED):
        dag_run = world.run(backend="bulk")
        assert str(dag_run.state) == "failed"
        assert world.states(dag_run)["analyse"] == {"failed"}
        assert world.states(dag_run)["detect"] == {"skipped"}
        assert world.paid() == {}
        assert world.statuses() == {"not_attempted": 3}
        assert {row["error_code"] for row in world.rows("images")} == {"NotStarted"}
        assert all("backend=auto" in row["error_message"] for row in world.rows("images"))
        assert not world.rows("labels_l1")
        assert "NotStarted" in world.text(dag_run)
        again = world.run(backend="auto")
    assert again.state == "success", world.states(again)
    assert world.states(again)["analyse"] == {"skipped"}
    assert "Bulk jobs are not open to this account" in world.text(again)
    refs += world.upload(["later.jpg"])
    later = world.run(backend="auto")  # it would find them open now
    assert world.states(later)["analyse"] == {"skipped"}
    assert world.paid() == dict.fromkeys(refs, 1)
