"""Whatever is killed under a real Airflow, each manifest is paid for once and the tables are the same."""

from __future__ import annotations

from typing import Any

import pytest

from support import rekognition_server as offline
from support.airflow_sources import IMAGES, MANIFESTS, Source
from support.airflow_stack import Airflow, until
from support.airflow_variants import DEFERRABLE, NO_WAIT, PLAIN

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("in_stack"),
]

SLOW_JOBS = {"kind": "job_slow", "seconds": 8}


def all_submitted(source: Source) -> None:
    until(lambda: len(source.started()) == MANIFESTS, what="the start of all jobs")


def assert_whole_and_paid_once(source: Source) -> None:
    assert source.is_paid_once(), (source.started(), source.paid())
    images = source.rows()["images"]
    assert len(images) == IMAGES
    assert all("'status': 'moderated'" in row for row in images), images


def assert_as_undisturbed(source: Source, undisturbed: Source) -> None:
    assert_whole_and_paid_once(source)
    assert source.airflow.end(PLAIN, undisturbed.name) == "success"
    expected = undisturbed.rows()
    assert source.rows() == expected


def test_a_killed_task_and_a_killed_scheduler_find_their_jobs_again(
    airflow: Airflow, source: Source, undisturbed: Source
) -> None:
    with offline.faults(airflow.rekognition, {**SLOW_JOBS, "seconds": 20}):
        source.trigger(PLAIN)
        all_submitted(source)
    airflow.kill_task(PLAIN, source.name, "analyse")
    until(
        lambda: max(ti["try_number"] for ti in airflow.instances(PLAIN, source.name, "analyse")) >= 2,
        what="the retry of the killed task",
        every=1,
    )
    airflow.kill("scheduler")
    airflow.start()
    assert airflow.end(PLAIN, source.name) == "success"
    assert_as_undisturbed(source, undisturbed)


@pytest.mark.usefixtures("triggerer")
def test_a_killed_triggerer_hands_its_waits_to_the_next(
    airflow: Airflow, source: Source, undisturbed: Source
) -> None:
    with offline.faults(airflow.rekognition, SLOW_JOBS):
        source.trigger(DEFERRABLE)
        all_submitted(source)
    until(lambda: "deferred" in airflow.states(DEFERRABLE, source.name, "analyse"), what="a task that waits")
    # A job goes on while nobody but the triggerer waits for it, and so takes up the account's quota.
    assert airflow.call("GET", "/pools/rekognition_jobs")["deferred_slots"] > 0
    airflow.kill("triggerer")
    airflow.start()
    assert airflow.end(DEFERRABLE, source.name) == "success"
    assert {ti["try_number"] for ti in airflow.instances(DEFERRABLE, source.name, "analyse")} == {1}
    assert_as_undisturbed(source, undisturbed)


def test_without_waiting_a_task_killed_before_its_answer_pays_once(
    airflow: Airflow, source: Source, undisturbed: Source
) -> None:
    late_answer = {"kind": "lost_answer", "operation": "StartMediaAnalysisJob", "seconds": 8, "count": 1}
    with offline.faults(airflow.rekognition, late_answer):
        source.trigger(NO_WAIT)
        until(source.started, what="the first job")
        airflow.kill_task(NO_WAIT, source.name, "analyse")
        assert airflow.end(NO_WAIT, source.name) == "success"
    assert set(airflow.states(NO_WAIT, source.name, "ended")) == {"success"}
    assert_as_undisturbed(source, undisturbed)


def test_clearing_and_another_backfill_pay_nothing_and_force_pays_on_purpose(airflow: Airflow) -> None:
    source = Source(airflow, folder="/2026-01-05")
    conf = {"source": f"{source.uri}/{{ds}}", "job_name": source.name, "backend": "bulk"}
    run_id = backfill(airflow, conf)
    assert source.is_paid_once()
    body = {"dry_run": False, "only_failed": False, "dag_run_id": run_id, "task_ids": ["analyse"]}
    airflow.call("POST", f"/dags/{PLAIN}/clearTaskInstances", {**body, "include_downstream": True})
    assert airflow.end(PLAIN, run_id) == "success"
    assert source.is_paid_once()

    assert backfill(airflow, conf, again=True) == run_id
    assert source.is_paid_once()
    assert len(source.rows()["images"]) == IMAGES

    forced = source.trigger(PLAIN, f"{source.name}-forced", source=f"{source.uri}/2026-01-05", force=True)
    assert airflow.end(PLAIN, forced) == "success"
    assert set(source.paid().values()) == {2}
    assert len(source.started()) == len(set(source.started())) == 2 * MANIFESTS


def backfill(airflow: Airflow, conf: dict[str, Any], *, again: bool = False) -> str:
    """Have the fifth of January run, and return the id of its run."""
    airflow.api.wait_for_dag(PLAIN, lambda: None)
    airflow.call("PATCH", f"/dags/{PLAIN}", {"is_paused": False})
    day = "2026-01-05T00:00:00Z", "2026-01-05T23:00:00Z"
    body = {"dag_id": PLAIN, "from_date": day[0], "to_date": day[1], "dag_run_conf": conf}
    made = airflow.call(
        "POST", "/backfills", {**body, "reprocess_behavior": "completed" if again else "none"}
    )
    until(lambda: airflow.call("GET", f"/backfills/{made['id']}")["completed_at"])
    where = f"/dags/{PLAIN}/dagRuns?run_type=backfill&limit=10"
    (run,) = airflow.call("GET", where)["dag_runs"]
    assert run["state"] == "success"
    return str(run["dag_run_id"])
