"""The Dag ``moderate_images`` against a real S3 and the offline Rekognition, one environment a test."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.asset import AssetEvent
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import handle_event_submit
from airflow.sdk import DAG, timezone
from airflow.triggers.base import TriggerEvent
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from local_aws.rekognition.launch import Rekognition
from moderation import schema
from moderation.plan.plan import Plan
from moderation.plan.store import load_plan
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables import catalog, published
from support import airflow_runs, pictures
from support import rekognition_server as offline
from support.airflow_home import REPOSITORY

DAG_ID = "moderate_images"


@dataclass(frozen=True)
class World:
    """One test's bucket, server and Dag."""

    server: Rekognition
    s3: Any
    bucket: str
    dag: DAG

    @property
    def source(self) -> str:
        """The folder that pictures are uploaded to."""
        return f"s3://{self.bucket}/images"

    def upload(self, names: Iterable[str]) -> list[str]:
        """Store a tiny picture under each name, all different; returns their source-refs."""
        refs = []
        for name in names:
            body = pictures.jpeg(80, 80) + name.encode()
            self.s3.put_object(Bucket=self.bucket, Key=f"images/{name}", Body=body)
            refs.append(f"{self.source}/{name}")
        return refs

    def run(self, **conf: Any) -> DagRun:
        """Run the Dag to its end; params as given."""
        return airflow_runs.run(self.dag, run_conf={"source": self.source, **conf})

    def plan(self, dag_run: DagRun) -> Plan:
        """The run's plan."""
        (uri,) = airflow_runs.returned(dag_run, "discover")
        return load_plan(uri, s3=self.s3)

    def text(self, dag_run: DagRun) -> str:
        """The run's report for a terminal."""
        return s3_objects.read_text(self.s3, self.plan(dag_run).report_uri)

    def completion(self, dag_run: DagRun) -> dict[str, Any]:
        """The run's completion report."""
        found: dict[str, Any] = json.loads(s3_objects.read(self.s3, self.plan(dag_run).completion_uri).body)
        return found

    def states(self, dag_run: DagRun) -> dict[str, set[str]]:
        """States of the task instances by task."""
        with create_session() as session:
            found: dict[str, set[str]] = {}
            for ti in dag_run.get_task_instances(session=session):
                found.setdefault(ti.task_id, set()).add(str(ti.state))
        return found

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All published rows of a table, as readers see them."""
        settings = Settings.from_env()
        with catalog.open_catalog(settings) as opened:
            return [
                row
                for load in published.loads_in(opened).to_pylist()
                for batch in published.read_load(opened, schema.TABLES[table], load)
                for row in batch.to_pylist()
            ]

    def statuses(self) -> Counter[str]:
        """Published images by status."""
        return Counter(row["status"] for row in self.rows("images"))

    def warehouse(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the DuckDB file."""
        with duckdb.connect(str(Settings.from_env().warehouse_path), read_only=True) as connection:
            return connection.execute(query).fetchall()

    def paid(self) -> Counter[str]:
        """How often each picture was billed."""
        prefix = f"s3://{self.bucket}/"
        return Counter(
            entry["source_ref"]
            for entry in offline.ledger(self.server)
            if entry["event"] in {"detect_billed", "image_billed"} and entry["source_ref"].startswith(prefix)
        )

    def assert_nothing_twice(self) -> None:
        """No image and no label stands twice in the tables, and none was paid for twice."""
        for table, key in (("images", ("source_ref",)), ("labels_l1", ("source_ref", "name"))):
            found = Counter(tuple(row[name] for name in key) for row in self.rows(table))
            assert set(found.values()) <= {1}, found
        assert set(self.paid().values()) <= {1}


@contextmanager
def person(option: str, bucket: str) -> Iterator[list[str]]:
    """Answer the questions of runs over a bucket as the API does for a person; gives what was asked."""
    asked: list[str] = []
    done = threading.Event()

    def answer() -> None:
        while not done.wait(0.2):
            # A lock of SQLite is tried again; so is a task that parked itself after its answer was stored.
            with suppress(OperationalError), create_session() as session:
                waiting = select(TaskInstance).where(TaskInstance.state == TaskInstanceState.AWAITING_INPUT)
                for ti in session.scalars(waiting):
                    detail = session.get(HITLDetail, ti.id)
                    if detail is None or bucket not in detail.subject:
                        continue  # another test left a run that waits
                    if not detail.response_received:
                        asked.append(detail.subject)
                        detail.responded_by = {"id": "ops", "name": "ops"}
                        detail.responded_at = timezone.utcnow()
                        detail.chosen_options = [option]
                        detail.params_input = {}
                    event = TriggerEvent(detail.as_resume_event_payload())
                    handle_event_submit(event, task_instance=ti, session=session)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        done.set()
        thread.join()


def asset_events() -> list[AssetEvent]:
    """All events of assets, oldest first."""
    with create_session() as session:
        return list(session.scalars(select(AssetEvent).order_by(AssetEvent.id)))


def environment(monkeypatch: pytest.MonkeyPatch, server: Rekognition, bucket: str, folder: Path) -> None:
    """Set what the pipeline and its Dag read, all below one bucket and one folder."""
    for name, value in {
        "AWS_ENDPOINT_URL_REKOGNITION": server.endpoint_url,
        "AIRFLOW_CONN_AWS_DEFAULT": '{"conn_type": "aws"}',
        "MODERATION_WORK_URI": f"s3://{bucket}/work",
        "MODERATION_INPUT_URI": f"s3://{bucket}/input",
        "MODERATION_TABLES_URI": str(folder / "tables"),
        "MODERATION_CATALOG_URI": f"sqlite:///{folder}/catalog.db",
        "MODERATION_WAREHOUSE": str(folder / "warehouse.duckdb"),
        "MODERATION_MODEL": "offline-hash-1",
        "MODERATION_SPOOL_DIR": str(folder / "spool"),
        "MODERATION_DETECT_TPS": "1000",
        "MODERATION_POLL_SECONDS": "0.05",
    }.items():
        monkeypatch.setenv(name, value)


def read_dag() -> DAG:
    """The Dag as its file makes it now, without retries: a test waits for none."""
    bag = DagBag(str(REPOSITORY / "dags" / "moderate_images.py"))
    assert not bag.import_errors
    dag = bag.dags[DAG_ID]
    for task in dag.tasks:
        (task.partial_kwargs if task.is_mapped else vars(task))["retries"] = 0
    return dag
