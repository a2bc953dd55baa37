"""Whatever is killed under a real Airflow, each manifest is paid for once and the tables are the same."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from chaos.readers import BOUND_TO_LOAD, VOLATILE
from moderation import catalog, published, schema
from moderation.settings import Settings
from support import pictures
from support import rekognition_server as offline
from support.airflow_stack import Airflow, until
from support.airflow_variants import DEFERRABLE, MANIFEST_LINES, NO_WAIT, PLAIN

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("stack"),
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("in_stack"),
]

IMAGES = 5
MANIFESTS = -(-IMAGES // MANIFEST_LINES)
SLOW_JOBS = {"kind": "job_slow", "seconds": 8}
_numbers = itertools.count(1)


class Source:
    """Pictures of one run's own, the jobs made of them, and what was paid for them."""

    def __init__(self, airflow: Airflow, folder: str = "") -> None:
        self.airflow = airflow
        self.name = f"run{next(_numbers)}"
        self.uri = f"s3://moderation-input/{self.name}"
        with airflow.s3() as s3:
            for number in range(IMAGES):
                body = pictures.jpeg(80, 80, seed=number)
                s3.put_object(Bucket="moderation-input", Key=f"{self.name}{folder}/{number}.jpg", Body=body)

    def trigger(self, dag_id: str, run_id: str | None = None, **conf: Any) -> str:
        params = {"source": self.uri, "job_name": self.name, "backend": "bulk", **conf}
        return self.airflow.trigger(dag_id, run_id or self.name, **params)

    def started(self) -> list[str]:
        """Names of the jobs Rekognition was asked for, which tell manifest and generation."""
        return [
            entry["job_name"]
            for entry in offline.ledger(self.airflow.rekognition)
            if entry["event"] == "job_started" and entry["job_name"].startswith(f"{self.name}-")
        ]

    def paid(self) -> Counter[str]:
        """How often each picture was billed."""
        return Counter(
            entry["source_ref"]
            for entry in offline.ledger(self.airflow.rekognition)
            if entry["event"] == "image_billed" and entry["source_ref"].startswith(f"{self.uri}/")
        )

    def is_paid_once(self) -> bool:
        return len(self.started()) == MANIFESTS and list(self.paid().values()) == [1] * IMAGES

    def rows(self) -> dict[str, list[str]]:
        """What readers find of these pictures in each table, without ids, times and this source's name."""
        found: dict[str, list[str]] = {}
        with catalog.open_catalog(Settings.from_env()) as opened:
            loads = published.loads_in(opened).to_pylist()
            for name in ("images", *(f"labels_l{level}" for level in schema.LABELS)):
                rows = [
                    row
                    for load in loads
                    for batch in published.read_load(opened, schema.TABLES[name], load)
                    for row in batch.to_pylist()
                    if row["source_ref"].startswith(f"{self.uri}/")
                ]
                found[name] = sorted(repr(_lasting(name, row)).replace(self.name, "RUN") for row in rows)
        return found


def _lasting(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """What two runs over the same pictures have in common: all but ids and times."""
    dropped = {*VOLATILE[table], *BOUND_TO_LOAD}
    return {
        key: value for key, value in row.items() if key not in dropped and not isinstance(value, datetime)
    }


@pytest.fixture
def source(airflow: Airflow) -> Source:
    return Source(airflow)


@pytest.fixture(scope="module")
def undisturbed(airflow: Airflow) -> Source:
    """A run to which nothing happens; it goes on beside the first test."""
    source = Source(airflow)
    source.trigger(PLAIN)
    return source


def all_submitted(source: Source) -> None:
    until(lambda: len(source.started()) == MANIFESTS, what="the start of all jobs", timeout=90)


def assert_as_undisturbed(source: Source, undisturbed: Source) -> None:
    assert source.is_paid_once(), (source.started(), source.paid())
    assert source.airflow.end(PLAIN, undisturbed.name) == "success"
    expected = undisturbed.rows()
    assert len(expected["images"]) == IMAGES
    assert source.rows() == expected


def test_a_killed_task_and_a_killed_scheduler_find_their_jobs_again(
    airflow: Airflow, source: Source, undisturbed: Source
) -> None:
    with offline.faults(airflow.rekognition, {**SLOW_JOBS, "seconds": 20}):
        source.trigger(PLAIN)
        all_submitted(source)
    airflow.kill_task(PLAIN, source.name, "analyse")
    until(
        lambda: max(ti["try_number"] for ti in airflow.instances(PLAIN, source.name, "analyse")) == 2,
        what="the retry of the killed task",
    )
    airflow.kill("scheduler")
    airflow.start()
    assert airflow.end(PLAIN, source.name) == "success"
    assert_as_undisturbed(source, undisturbed)


def test_a_killed_triggerer_hands_its_waits_to_the_next(
    airflow: Airflow, source: Source, undisturbed: Source
) -> None:
    with offline.faults(airflow.rekognition, SLOW_JOBS):
        source.trigger(DEFERRABLE)
        all_submitted(source)
    until(lambda: "deferred" in airflow.states(DEFERRABLE, source.name, "analyse"), what="a task that waits")
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
        until(source.started, what="the first job", timeout=90)
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
    until(lambda: airflow.call("GET", f"/backfills/{made['id']}")["completed_at"], timeout=150)
    where = f"/dags/{PLAIN}/dagRuns?run_type=backfill&limit=10"
    (run,) = airflow.call("GET", where)["dag_runs"]
    assert run["state"] == "success"
    return str(run["dag_run_id"])
