"""Bulk jobs and single calls through the whole Dag: the same tables, the same refusals, told by one suite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from local_aws.rekognition.settings import ServerSettings
from moderation import stages
from moderation.plan import claims
from moderation.plan.plan import Plan
from moderation.plan.planner import make_plan
from moderation.plan.request import PlanRequest
from moderation.plan.store import load_plan
from moderation.settings import Settings
from moderation.tables.ledger.known import stream_known
from support import airflow_runs, pictures
from support import rekognition_server as offline
from support.moderation_runs import World

pytestmark = pytest.mark.usefixtures("airflow_db")

BACKENDS = ("bulk", "detect")
TABLES = ("images", "labels_l1", "labels_l2", "labels_l3", "anomalies")
ADAPTER = f"arn:aws:rekognition:us-east-1:{ServerSettings().account_id}:project/p/version/v/1700000000000"


@contextmanager
def adapters(world: World, **states: str) -> Iterator[None]:
    """Let adapters exist for the length of a block: state by ARN."""
    status, answer = offline.local(world.server, "/adapters", method="PUT", body=states)
    assert status == 200, answer
    try:
        yield
    finally:
        offline.local(world.server, "/adapters", method="PUT", body={})


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what names the run, the backend and its jobs."""
    apart = {"load_id", "dt", "backend", "job_id", "moderated_at"}
    return {name: value for name, value in row.items() if name not in apart}


def of_load(world: World, table: str, load_id: str) -> list[dict[str, Any]]:
    rows = [comparable(row) for row in world.rows(table) if row["load_id"] == load_id]
    return sorted(rows, key=lambda row: (row["source_ref"], row.get("name", "")))


def upload_all_kinds(world: World) -> list[str]:
    """Pictures that are answered, refused by the plan, refused by AWS, and no pictures; returns the first."""
    refs = world.upload([*(f"{n}.jpg" for n in range(12)), "odd näme +%20.jpg"])
    whole = pictures.jpeg(400, 300)
    for name, body in {
        "small.png": pictures.png(8, 8),
        "cut off.jpg": whole[: len(whole) // 2],
        "notes.txt": b"no picture",
        "empty.jpg": b"",
    }.items():
        world.s3.put_object(Bucket=world.bucket, Key=f"images/{name}", Body=body)
    return refs


@pytest.mark.parametrize(
    "adapter",
    [pytest.param(None, id="base model"), pytest.param(ADAPTER, id="adapter", marks=pytest.mark.long)],
)
def test_both_backends_leave_the_same_tables_and_force_pays_again(world: World, adapter: str | None) -> None:
    refs = upload_all_kinds(world)
    loads = []
    with adapters(world, **{ADAPTER: "TRAINING_COMPLETED"}):
        for backend, force in (("bulk", False), ("detect", True)):
            dag_run = world.run(backend=backend, force=force, adapter=adapter)
            assert dag_run.state == "success", world.states(dag_run)
            other = "detect" if backend == "bulk" else "analyse"
            assert world.states(dag_run)[other] == {"skipped"}
            loads += airflow_runs.returned(dag_run, "publish")
    for table in TABLES:
        bulk, detect = (of_load(world, table, load_id) for load_id in loads)
        assert bulk == detect, table
    images = of_load(world, "images", loads[0])
    assert {row["error_code"] for row in images} == {
        None, "InvalidParameter", "InvalidImageFormat", "EmptyFile",
    }  # fmt: skip
    assert len(images) == len(refs) + 3
    assert {row["adapter"] for row in images if row["status"] == "moderated"} == {adapter}
    assert of_load(world, "labels_l1", loads[0])
    jobs = world.rows("jobs")
    assert {row["backend"] for row in jobs} == set(BACKENDS)
    assert {row["billed"] for row in jobs} == {len(refs)}
    price = 0.0012 if adapter else 0.0010
    assert [row["cost_usd"] for row in jobs] == pytest.approx([len(refs) * price] * 2)
    assert world.paid() == dict.fromkeys(refs, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "state"),
    [
        ("detect", "EXPIRED"),
        *(
            # The plan looks before a backend is chosen, and how each state is told is held without a Dag.
            pytest.param(*other, marks=pytest.mark.long)
            for other in (
                ("bulk", None),
                ("detect", None),
                ("bulk", "EXPIRED"),
                ("bulk", "DELETING"),
                ("detect", "DELETING"),
            )
        ),
    ],
)
def test_an_adapter_that_cannot_answer_is_refused_before_the_start(
    world: World, backend: str, state: str | None
) -> None:
    world.upload(["a.jpg"])
    with adapters(world, **({ADAPTER: state} if state else {})):
        dag_run = world.run(backend=backend, adapter=ADAPTER)
    assert str(dag_run.state) == "failed"
    assert world.states(dag_run)["plan"] == {"failed"}
    said = f"the adapter {ADAPTER} is {state}" if state else f"there is no adapter {ADAPTER}"
    assert said in world.text(dag_run)
    assert not [entry for entry in offline.ledger(world.server) if world.bucket in str(entry)]


@contextmanager
def expires_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The adapter expires between the check of the plan and the calls, for the length of a block."""
    spending = stages.spending

    def last_look(plan_uri: str, **given: Any) -> Any:
        offline.local(world.server, "/adapters", method="PUT", body={ADAPTER: "EXPIRED"})
        return spending(plan_uri, **given)

    with adapters(world, **{ADAPTER: "TRAINING_COMPLETED"}), monkeypatch.context() as patch:
        patch.setattr(stages, "spending", last_look)
        yield


@contextmanager
def taken_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Plan]]:
    """The run waits for longer than its claim, and another takes an image of its, before its first call."""
    spending = stages.spending
    taken: list[Plan] = []

    def last_look(plan_uri: str, **given: Any) -> Any:
        waits = replace(Settings.from_env(), claim_hours=-1)
        claims.write(world.s3, waits, load_plan(plan_uri, s3=world.s3))
        request = PlanRequest(
            run_key="quick", source=f"{world.source} | *0.jpg", logical_time=datetime.now(UTC)
        )
        taken.append(make_plan(Settings.from_env(), request, published=stream_known))
        return spending(plan_uri, **given)

    with monkeypatch.context() as patch:
        patch.setattr(stages, "spending", last_look)
        yield taken


LONG = pytest.mark.long


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["bulk", pytest.param("detect", marks=LONG)])
def test_a_run_whose_images_were_taken_while_it_waited_ends_before_it_pays(
    world: World, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload(f"{n}.jpg" for n in range(3))
    with taken_meanwhile(world, monkeypatch) as taken:
        dag_run = world.run(backend=backend)
    assert str(dag_run.state) == "failed"
    assert taken[0].totals.to_analyse == 1
    assert world.states(dag_run)["analyse" if backend == "bulk" else "detect"] == {"skipped"}
    assert not world.paid()


@LONG
@pytest.mark.parametrize("backend", ["bulk", "detect"])
def test_a_run_that_others_were_quicker_than_is_followed_by_one_that_pays_for_the_rest(
    world: World, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = world.upload(f"{n}.jpg" for n in range(3))
    with taken_meanwhile(world, monkeypatch):
        world.run(backend=backend)
    dag_run = world.run(backend=backend)
    assert str(dag_run.state) == "success"
    assert world.paid() == dict.fromkeys(refs[1:], 1), "the first is the other run's"
    airflow_runs.clear_and_run(world.dag, dag_run, "analyse" if backend == "bulk" else "detect")
    assert world.paid() == dict.fromkeys(refs[1:], 1), "a cleared task of a published run pays nothing"


@pytest.mark.long  # the stages' own tests hold it
@pytest.mark.parametrize("backend", ["bulk", "detect"])
def test_an_adapter_that_expires_in_mid_run_is_paid_for_nothing_and_the_rest_waits(
    world: World, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = world.upload(f"{n}.jpg" for n in range(4))
    with expires_meanwhile(world, monkeypatch):
        dag_run = world.run(backend=backend, adapter=ADAPTER)
    assert str(dag_run.state) == "failed"
    assert world.states(dag_run)["analyse" if backend == "bulk" else "detect"] == {"skipped"}
    assert world.statuses() == {"not_attempted": 4}
    assert not world.paid()
    with adapters(world, **{ADAPTER: "DEPRECATED"}):
        dag_run = world.run(backend=backend, adapter=ADAPTER)
    assert str(dag_run.state) == "success"
    assert world.paid() == dict.fromkeys(refs, 1)


@pytest.mark.slow
@pytest.mark.parametrize("backend", [pytest.param("bulk", marks=LONG), "detect"])
def test_what_the_base_model_answers_in_an_adapters_place_is_published_as_its_own(
    world: World, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODERATION_ADAPTER_WHEN_EXPIRED", "base")
    refs = world.upload(f"{n}.jpg" for n in range(4))
    with expires_meanwhile(world, monkeypatch):
        dag_run = world.run(backend=backend, adapter=ADAPTER)
    assert str(dag_run.state) == "success"
    assert {(row["status"], row["adapter"]) for row in world.rows("images")} == {("moderated", None)}
    assert [row["kind"] for row in world.rows("anomalies")] == ["AdapterIgnored"]
    assert "base model" in world.text(dag_run)
    dag_run = world.run(backend=backend)
    assert world.paid() == dict.fromkeys(refs, 1), "the base model is not asked again what it has answered"
