"""The Dag ``moderate_images`` as people run it: real S3, offline Rekognition, both backends."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from moderation import stages
from moderation.analyse.detect.eligibility import Memory, Verdict
from moderation.plan.request import PlanRequest
from moderation.settings import Settings
from moderation_airflow.retry_policy import moderation_retry_policy
from support import airflow_runs, moderation_runs, pictures, smtp_server
from support import rekognition_server as offline
from support.moderation_runs import World

pytestmark = pytest.mark.usefixtures("airflow_db")

INELIGIBLE = {"kind": "ineligible", "operation": "StartMediaAnalysisJob"}


@pytest.mark.parametrize("backend", ["bulk", pytest.param("detect", marks=pytest.mark.long)])
def test_running_again_or_clearing_any_task_duplicates_nothing(world: World, backend: str) -> None:
    world.upload(f"{n}.jpg" for n in range(4))
    dag_run = world.run(backend=backend)
    assert dag_run.state == "success", world.states(dag_run)
    (load_id,) = airflow_runs.returned(dag_run, "publish")
    report = world.completion(dag_run)
    assert report["counts"]["inputs"] == report["counts"]["moderated"] == 4
    assert report["is_reconciled"]
    assert {file["kind"] for file in report["files"]} >= {"plan", "inputs", "manifest", "results", "loads"}
    assert report["cost_usd"] == pytest.approx(0.004)
    event = moderation_runs.asset_events()[-1]
    assert (event.extra["load_id"], event.extra["moderated"], event.extra["billed"]) == (load_id, 4, 4)
    paying = ("analyse", "single_calls", "detect")
    others = ("plan", "approve", "publish", "load", "report") if backend == "bulk" else ()  # alike for both
    for task_id in (*paying, *others):
        if world.states(dag_run)[task_id] != {"skipped"}:
            airflow_runs.clear_and_run(world.dag, dag_run, task_id)
            assert world.states(dag_run)[task_id] == {"success"}, task_id
    second = world.run(backend=backend)
    assert second.state == "success"
    assert world.states(second)["publish"] == {"skipped"}
    assert "Nothing new" in world.text(second)
    assert world.statuses() == {"moderated": 4}
    assert world.warehouse("SELECT count(*), count(DISTINCT source_ref) FROM images") == [(4, 4)]
    world.assert_nothing_twice()


@pytest.mark.long  # the planner's own tests hold it, of four runs at once
def test_images_in_another_open_run_are_left_to_it(world: World) -> None:
    world.upload(f"first/{n}.jpg" for n in range(2))
    other = stages.Run("moderate_images", "another-run", datetime(2026, 11, 22, tzinfo=UTC))
    plan_uri = stages.discover(other, source=world.source)
    world.upload(["second.jpg"])
    dag_run = world.run(backend="bulk")
    assert dag_run.state == "success", world.states(dag_run)
    assert world.plan(dag_run).totals.claimed_elsewhere == 2
    assert world.statuses() == {"moderated": 1}
    assert stages.job_arguments(plan_uri)


@pytest.mark.slow
def test_a_dry_run_says_the_price_and_touches_nothing(world: World) -> None:
    world.upload(f"{n}.jpg" for n in range(3))
    dag_run = world.run(dry_run=True, max_cost_usd=0.002)
    states = world.states(dag_run)
    assert dag_run.state == "success", states
    for task_id in ("approve", "analyse", "single_calls", "detect", "publish", "load"):
        assert states[task_id] == {"skipped"}
    assert "Dry run: nothing was started" in world.text(dag_run)
    assert "price limit           0.0020 USD (max_cost_usd), exceeded\n" in world.text(dag_run)
    assert "0.0030 USD" in world.text(dag_run)
    assert not world.paid()
    totals = world.plan(world.run(dry_run=True)).totals
    assert (totals.to_analyse, totals.claimed_elsewhere) == (3, 0)


@pytest.mark.slow
def test_a_run_over_its_price_limit_fails_before_the_first_paid_call(world: World) -> None:
    world.upload(f"{n}.jpg" for n in range(3))
    dag_run = world.run(max_cost_usd=0.002)
    states = world.states(dag_run)
    assert (str(dag_run.state), states["approve"], states["report"]) == ("failed", {"failed"}, {"failed"})
    assert states["publish"] == {"skipped"}
    assert "max_cost_usd allows 0.0020" in world.text(dag_run)
    assert "price limit           0.0020 USD (max_cost_usd), exceeded\n" in world.text(dag_run)
    assert "max_cost_usd allows 0.0020" in world.completion(dag_run)["outcome"]
    assert not world.paid()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "state", "paid"),
    [
        pytest.param("Approve", "success", 3, marks=pytest.mark.long),  # as in the next test, which asks once
        ("Reject", "failed", 0),
    ],
)
def test_a_person_is_told_and_approves_or_rejects_what_is_over_the_limit(
    world: World, monkeypatch: pytest.MonkeyPatch, option: str, state: str, paid: int
) -> None:
    world.upload(f"{n}.jpg" for n in range(3))
    monkeypatch.setenv("MODERATION_ALERT_EMAIL", "ops@example.com")
    with smtp_server.serving() as mailbox, moderation_runs.person(option, world.bucket) as asked:
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", mailbox.connection)
        dag_run = world.run(max_cost_usd=0.002, on_over_budget="ask", backend="bulk")
        assert mailbox.next()["Subject"] == "Moderation run waits for approval"
    assert "3 images of" in asked[0]
    assert str(dag_run.state) == state, world.states(dag_run)
    assert sum(world.paid().values()) == paid
    if option == "Reject":
        assert "rejected" in world.text(dag_run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "state"), [("Approve", "success"), pytest.param("Reject", "failed", marks=pytest.mark.long)]
)
def test_a_try_that_dies_after_the_answer_does_not_ask_again_but_a_clear_does(
    world: World, monkeypatch: pytest.MonkeyPatch, option: str, state: str
) -> None:
    world.upload(f"{n}.jpg" for n in range(3))
    approve = world.dag.task_dict["approve"]
    approve.retries, approve.retry_policy = 1, moderation_retry_policy(delay=timedelta(0))
    carried_out = "approve" if option == "Approve" else "refuse"
    real = getattr(stages, carried_out)

    def dies_once(*args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(stages, carried_out, real)
        raise ConnectionError("S3 is away")

    monkeypatch.setattr(stages, carried_out, dies_once)
    with moderation_runs.person(option, world.bucket) as asked:
        dag_run = world.run(max_cost_usd=0.002, on_over_budget="ask", backend="bulk")
        assert world.states(dag_run)["approve"] == {state}
    assert len(asked) == 1
    assert sum(world.paid().values()) == (3 if option == "Approve" else 0)
    airflow_runs.clear_and_run(world.dag, dag_run, "approve")
    assert world.states(dag_run)["approve"] == {"awaiting_input"}


ONE_JOB_FAILS = {
    "kind": "job_failed",
    "skip": 1,
    "count": 1,
    "failure_code": "INTERNAL_ERROR",
    "message": "a fault of its own",
}


@pytest.fixture
def small_manifests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "PlanRequest", functools.partial(PlanRequest, max_lines=2))


@pytest.mark.slow
@pytest.mark.usefixtures("small_manifests")
def test_a_failed_manifest_does_not_stop_the_others_and_is_redone_alone(world: World) -> None:
    refs = world.upload(f"{n}.jpg" for n in range(6))
    world.s3.put_object(Bucket=world.bucket, Key="images/small.png", Body=pictures.png(8, 8))
    with offline.faults(world.server, ONE_JOB_FAILS):
        dag_run = world.run(backend="bulk")
    states = world.states(dag_run)
    assert (str(dag_run.state), states["analyse"]) == ("failed", {"success", "failed"})
    assert (states["publish"], states["load"], states["report"]) == ({"success"}, {"success"}, {"failed"})
    assert world.statuses() == {"moderated": 4, "failed": 1, "not_attempted": 2}
    report = world.completion(dag_run)
    assert report["counts"]["owed"] == 2
    owed = sorted(
        (entry["source_ref"], entry["line_number"])
        for entry in report["failures"]
        if entry["error_message"] == "a fault of its own"
    )
    # Which of the three manifests meets the fault is the scheduler's choice.
    assert owed in [[(refs[n], 1), (refs[n + 1], 2)] for n in (0, 2, 4)]
    (load_id,) = airflow_runs.returned(dag_run, "publish")
    assert f"redo {load_id}" in world.text(dag_run)

    redone = world.run(backend="bulk", source="", redo_load_id=load_id)
    assert redone.state == "success", world.states(redone)
    assert world.plan(redone).totals.to_analyse == 2
    assert world.plan(redone).totals.rejected == 0
    assert world.paid() == dict.fromkeys(refs, 1)
    with_refused = world.run(source="", redo_load_id=load_id, redo_permanent=True, dry_run=True)
    totals = world.plan(with_refused).totals
    assert (totals.to_analyse, totals.rejected, totals.already_moderated) == (0, 1, 2)


@pytest.mark.usefixtures("small_manifests")
@pytest.mark.long  # the publish's own tests hold it
def test_above_the_tolerated_failures_nothing_is_published_until_they_are_mended(world: World) -> None:
    refs = world.upload(f"{n}.jpg" for n in range(6))
    with offline.faults(world.server, ONE_JOB_FAILS):
        dag_run = world.run(backend="bulk", tolerated_failure_percentage=20)
    assert world.states(dag_run)["publish"] == {"failed"}
    assert str(dag_run.state) == "failed"
    assert not world.rows("images")
    assert "Not done: load" in world.text(dag_run)
    for task_id in ("analyse", "single_calls", "publish", "load", "report"):
        airflow_runs.clear_and_run(world.dag, dag_run, task_id)
    assert world.statuses() == {"moderated": 6}
    assert max(world.paid()[ref] for ref in refs) == 1


@pytest.mark.usefixtures("small_manifests")
@pytest.mark.long
def test_auto_goes_on_with_single_calls_when_the_first_job_is_denied(world: World) -> None:
    refs = world.upload(f"{n}.jpg" for n in range(4))
    settings = Settings.from_env()
    Memory(world.s3, f"{settings.work_uri}/account", settings.region).learn(Verdict(True, "remembered"))
    with offline.faults(world.server, INELIGIBLE):
        dag_run = world.run(backend="auto")
    states = world.states(dag_run)
    assert dag_run.state == "success", states
    assert (states["analyse"], states["detect"]) == ({"failed"}, {"success"})
    assert "Bulk jobs are not open to this account" in world.text(dag_run)
    assert world.statuses() == {"moderated": 4}
    assert world.paid() == dict.fromkeys(refs, 1)
    airflow_runs.clear_and_run(world.dag, dag_run, "analyse")  # now that it is open, as a person would
    assert world.states(dag_run)["analyse"] == {"skipped"}
    assert world.paid() == dict.fromkeys(refs, 1)


@pytest.mark.slow
def test_an_empty_source_is_no_failure_and_a_missing_bucket_is_one(world: World) -> None:
    empty = world.run()
    assert empty.state == "success", world.states(empty)
    assert "It holds no images" in world.text(empty)
    told: list[str] = []
    world.dag.task_dict["report"].on_failure_callback = [
        lambda context: told.append(str(context["exception"]))
    ]
    missing = world.run(source="s3://no-such-bucket-anywhere/images")
    states = world.states(missing)
    assert str(missing.state) == "failed"
    assert (states["discover"], states["publish"], states["report"]) == ({"failed"}, {"skipped"}, {"failed"})
    assert "nothing was planned: cannot list s3://no-such-bucket-anywhere/images" in told[0]
