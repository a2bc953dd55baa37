"""Runs that an earlier release has begun are ended by this one, on real servers."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from compatibility import archive, current, tables
from compatibility.archive import Archive
from local_aws.rekognition import launch
from local_aws.rekognition.launch import Rekognition
from local_aws.seaweedfs import Credentials, SeaweedFS
from support import airflow_home, pictures
from support import rekognition_server as offline

ARCHIVES = sorted(Path(archive.__file__).parent.glob("state-*.tar.xz"))
FORGETFUL = offline.quick(token_memory_seconds=0.001, retention_seconds=1e10)
"""The service has forgotten all tokens, and none of its jobs: what was sent, the state alone can tell."""
LIKE_OTHERS = {
    "backend chosen",
    "planned, claim run out",
    "jobs ended",
    "single calls answered",
    "planned, images claimed",
    "account closed to bulk jobs",
    "redo planned",
    "second night answered",
    "single calls answered, marker missing",
    "load committed, plan not marked",
}
"""States with no file of a form that the others lack; the long suite has them."""
OPEN = [
    pytest.param(
        path,
        name,
        marks=[pytest.mark.long] if name in LIKE_OTHERS else [],
        id=f"{archive.read(path).facts['commit']}: {name}",
    )
    for path in ARCHIVES
    for name, state in archive.read(path).states.items()
    if state["facts"]["stopped_at"] != "nothing"
]

of_each_release = pytest.mark.parametrize(
    "path", [pytest.param(path, id=archive.read(path).facts["commit"]) for path in ARCHIVES]
)

pytestmark = [
    pytest.mark.slow,
    *(pytest.mark.filterwarnings(warning) for warning in airflow_home.WARNINGS_OF_AIRFLOW),
]


@dataclass(frozen=True)
class World:
    """A state that was brought back, and the servers around it."""

    archive: Archive
    facts: dict[str, Any]
    server: Rekognition
    folder: Path

    @property
    def end(self) -> dict[str, Any]:
        """What the release that began the run comes to when it goes on with it."""
        found: dict[str, Any] = self.archive.facts["ends"][self.facts["end"]]
        return found

    @property
    def tasks(self) -> Path:
        """What the run's tasks remember."""
        return self.folder / str(self.facts["tasks"])

    def tables(self) -> tables.Tables:
        """The published rows."""
        return tables.read(f"sqlite:///{self.folder}/catalog.db")

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The published rows of one table."""
        found: list[dict[str, Any]] = self.tables()[table].to_pylist()
        return found

    def billed(self) -> Counter[str]:
        """How often each image was billed, the earlier release's part included."""
        return Counter(
            entry["source_ref"]
            for entry in offline.ledger(self.server)
            if entry["event"] in {"image_billed", "detect_billed"}
        )

    def plan(self, **changes: Any) -> current.Planned:
        """Plan the run again, or another one."""
        run = {name: self.facts[name] for name in ("run_id", "source", "backend", "redo")}
        return current.plan(**{**run, **changes})

    def end_run(self) -> None:
        """Whatever the run still lacks."""
        stopped_at, plan_uri, job_ids = (self.facts[name] for name in ("stopped_at", "plan_uri", "job_ids"))
        if stopped_at in {"plan", "submit", "detect"}:
            with offline.faults(
                self.server, *(self.archive.facts["faults"] if self.facts["redo"] is None else ())
            ):
                job_ids = current.analyse(plan_uri, folder=self.tasks)
        if stopped_at == "load":
            current.load(self.facts["load_id"])
            self.assert_warehouses_have_all()
        else:
            assert current.publish(plan_uri, job_ids) == self.facts["load_id"]

    def assert_ended_as_before(self) -> None:
        """The tables hold what the earlier release would have put there, and nothing was paid twice."""
        name = "same_answers" if self.facts["is_answered"] else "equal_answers"
        columns = self.end["columns"]
        found = tables.digests(self.tables(), columns, answered=self.facts["is_answered"])
        # The digest in `loads` names also the format of the files, another since they carry checksums.
        loads = {"loads": tables.digests(self.tables(), columns, answered=False)["loads"]}
        assert found | loads == self.end[name] | {"loads": self.end["equal_answers"]["loads"]}
        assert self.billed() == self.end["billed"]

    def assert_warehouses_have_all(self) -> None:
        """Each published row is in the DuckDB file and in the mirror, once."""
        published = self.tables()
        with duckdb.connect(str(self.folder / "warehouse.duckdb"), read_only=True) as connection:
            for table, rows in published.items():
                mirrored = [*(self.folder / "mirror" / table).glob("*.parquet")]
                assert sum(pq.read_metadata(file).num_rows for file in mirrored) == len(rows), table
                loaded = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
                assert loaded == (len(rows),), table

    def assert_another_run_asks_for(self, owed: list[str]) -> None:
        """All others are recognised as moderated."""
        totals = self.plan(run_id="yet-another", redo=None, dry_run=True).totals
        assert (totals["to_analyse"], totals["rejected"], totals["claimed_elsewhere"]) == (len(owed), 0, 0)
        assert totals["already_moderated"] == totals["listed"] - totals["ignored"] - len(owed)


Restore = Callable[[Path, str], World]


@pytest.fixture(scope="module")
def common_server(
    tmp_path_factory: pytest.TempPathFactory, s3_server: SeaweedFS, credentials: Credentials
) -> Iterator[tuple[Rekognition, Path]]:
    """A server for all states without an open job, and its database."""
    folder = tmp_path_factory.mktemp("rekognition-earlier")
    with launch.start(
        folder, credentials, s3_server.endpoint_url, settings=FORGETFUL, python_path=[offline.TESTS]
    ) as server:
        yield server, folder / "rekognition.db"


@pytest.fixture
def restore(
    *,
    aws_env: pytest.MonkeyPatch,
    s3_client: Any,
    start_rekognition: Callable[..., Rekognition],
    common_server: tuple[Rekognition, Path],
    credentials: Credentials,
    tmp_path: Path,
) -> Restore:
    """Brings a state back."""

    def bring_back(path: Path, name: str) -> World:
        found = archive.read(path)
        buckets = tuple(found.facts["buckets"])
        facts = archive.restore(found, name, s3=s3_client, buckets=buckets, folder=tmp_path)
        jobs = tmp_path / "rekognition" / "rekognition.db"
        with closing(sqlite3.connect(jobs, isolation_level=None)) as database:
            # The account stays the same; only that of these tests has a key of its own.
            database.execute("UPDATE jobs SET access_key = ?", [credentials.access_key])
            open_jobs = database.execute("SELECT 1 FROM jobs WHERE completed_at IS NULL").fetchall()
        if open_jobs:
            server = start_rekognition(settings=FORGETFUL)
        else:
            server, known = common_server
            replace_jobs(known, jobs)
        aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", server.endpoint_url)
        for variable, value in current.environment(tmp_path, buckets).items():
            aws_env.setenv(variable, value)
        world = World(found, facts, server, tmp_path)
        assert world.billed() == facts["billed"]
        return world

    return bring_back


def replace_jobs(database: Path, saved: Path) -> None:
    """Let a running server have these jobs and this ledger, and no others: a start takes a second."""
    with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as server:
        server.execute("ATTACH ? AS saved", [str(saved)])
        server.execute("BEGIN IMMEDIATE")
        server.execute("DROP TRIGGER IF EXISTS main.ledger_no_delete")
        for table in ("jobs", "ledger"):
            names = ", ".join(row[1] for row in server.execute(f"PRAGMA saved.table_info({table})"))
            server.execute(f"DELETE FROM main.{table}")
            server.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM saved.{table}")
        server.execute("COMMIT")


def answered(records: bytes) -> set[str]:
    """The images in a file of answers to single calls."""
    found = [json.loads(line[9:]) for line in records.splitlines()]
    return {record["source-ref"] for record in found if "answer" in record}


@pytest.mark.parametrize(("path", "name"), OPEN)
def test_a_run_stopped_at_any_stage_is_ended_with_the_same_tables_and_nothing_is_paid_twice(
    restore: Restore, path: Path, name: str
) -> None:
    world = restore(path, name)
    if world.facts["stopped_at"] != "load":
        planned = world.plan()
        assert (planned.uri, planned.load_id) == (world.facts["plan_uri"], world.facts["load_id"])
        assert planned.totals == world.facts["totals"]
    world.end_run()
    world.assert_ended_as_before()
    world.assert_another_run_asks_for(world.end["owed"])


@of_each_release
def test_images_claimed_by_a_plan_of_an_earlier_release_are_left_to_it(restore: Restore, path: Path) -> None:
    world = restore(path, "planned, images claimed")
    totals = world.plan(run_id="another", dry_run=True).totals
    mine = world.facts["totals"]
    assert totals["to_analyse"] == totals["rejected"] == 0
    assert totals["claimed_elsewhere"] == mine["to_analyse"] + mine["rejected"]


@of_each_release
def test_a_claim_of_an_earlier_release_that_has_run_out_lets_others_take_the_images_once(
    restore: Restore, path: Path
) -> None:
    world = restore(path, "planned, claim run out")
    time.sleep(1.1)  # a claim's age is told by S3's clock, in whole seconds
    other = world.plan(run_id="another")
    assert other.totals == world.facts["totals"]
    assert current.publish(other.uri, current.analyse(other.uri, folder=world.tasks)) == other.load_id
    again = world.plan()
    assert again.uri != world.facts["plan_uri"]
    assert again.totals["to_analyse"] == again.totals["rejected"] == 0
    assert current.publish(again.uri, []) is None
    assert set(world.billed().values()) == {1}
    assert {row["load_id"] for row in world.rows("loads")} == {other.load_id}


@of_each_release
def test_what_an_earlier_release_has_learnt_of_the_account_is_still_known(
    restore: Restore, s3_client: Any, path: Path
) -> None:
    world = restore(path, "account closed to bulk jobs")
    bucket = world.archive.facts["buckets"][1]
    s3_client.put_object(Bucket=bucket, Key="more/1.jpg", Body=pictures.jpeg(90, 80))
    other = world.plan(run_id="another", source=f"s3://{bucket}/more/")
    assert other.totals["to_analyse"] == 1
    assert current.bulk_jobs(other.uri) == 0


@of_each_release
def test_single_calls_that_an_earlier_release_chose_stay_when_the_account_is_open_to_jobs_again(
    restore: Restore, s3_client: Any, path: Path
) -> None:
    world = restore(path, "account closed to bulk jobs")
    work = world.archive.facts["buckets"][0]
    (learnt,) = s3_client.list_objects_v2(Bucket=work, Prefix="work/account/")["Contents"]
    s3_client.delete_object(Bucket=work, Key=learnt["Key"])
    assert current.bulk_jobs(world.facts["plan_uri"]) == 0


@of_each_release
def test_jobs_of_an_earlier_release_are_known_by_what_its_tasks_remember_where_jobs_may_not_be_listed(
    restore: Restore, path: Path
) -> None:
    world = restore(path, "jobs started")
    remembered = [json.loads(file.read_text()) for file in sorted(world.tasks.glob("state-*.json"))]
    with offline.faults(world.server, {"kind": "ineligible", "operation": "ListMediaAnalysisJobs"}):
        job_ids = current.analyse(world.facts["plan_uri"], folder=world.tasks)
    assert job_ids == [task["rekognition_submission"]["job_id"] for task in remembered]
    assert {entry["job_id"] for entry in offline.ledger(world.server)} == set(job_ids)


@of_each_release
def test_a_redo_of_a_load_of_an_earlier_release_pays_for_what_is_owed_alone(
    restore: Restore, path: Path
) -> None:
    world = restore(path, "loaded, images owed")
    before, owed = world.billed(), world.end["owed"]
    redo = world.plan(run_id="redo", redo=world.facts["load_id"])
    assert redo.totals["to_analyse"] == len(owed) > 0
    assert current.publish(redo.uri, current.analyse(redo.uri, folder=world.tasks)) == redo.load_id
    current.load(redo.load_id)
    assert world.billed() - before == Counter(owed)
    images = [row for row in world.rows("images") if row["load_id"] == redo.load_id]
    assert [(row["source_ref"], row["status"]) for row in images] == [(ref, "moderated") for ref in owed]
    world.assert_warehouses_have_all()
    world.assert_another_run_asks_for([])


@of_each_release
@pytest.mark.long
def test_single_calls_of_an_earlier_release_that_are_given_up_are_published_without_another_call(
    restore: Restore, path: Path
) -> None:
    world = restore(path, "single calls in mid-run")
    world.plan()
    assert current.publish(world.facts["plan_uri"], []) == world.facts["load_id"]
    assert world.billed() == world.facts["billed"]
    rows = world.rows("images")
    assert {row["source_ref"] for row in rows if row["status"] == "moderated"} == set(world.billed())
    owed = [row["source_ref"] for row in rows if row["error_code"] == "NotAttempted"]
    assert len(rows) == sum(world.end["statuses"].values())
    world.assert_another_run_asks_for(owed)


@of_each_release
@pytest.mark.long
def test_single_calls_of_an_earlier_release_go_on_from_s3_where_its_disk_is_gone(
    restore: Restore, path: Path
) -> None:
    world = restore(path, "single calls in mid-run")
    (spool,) = (world.folder / "spool").glob("*.spool")
    on_disk, in_s3 = answered(spool.read_bytes()), set()
    for name, digest in world.archive.states["single calls in mid-run"]["objects"].items():
        if "/checkpoint/part-" in name:
            in_s3 |= answered(world.archive.blobs[digest])
    assert in_s3 < on_disk
    spool.unlink()
    world.end_run()
    assert world.billed() - Counter(world.end["billed"]) == Counter(on_disk - in_s3)


@of_each_release
def test_compacted_tables_of_an_earlier_release_are_read_loaded_and_rebuilt_as_they_are(
    restore: Restore, path: Path
) -> None:
    world = restore(path, "second night loaded, tables compacted")
    world.assert_ended_as_before()
    loads = sorted(row["load_id"] for row in world.rows("loads"))
    for load_id in loads:
        current.load(load_id)
    world.assert_warehouses_have_all()
    assert current.rebuilt() == dict.fromkeys(loads, (True, False))
    world.assert_ended_as_before()
    world.assert_another_run_asks_for([])


@of_each_release
def test_the_state_of_an_earlier_release_costs_a_clone_no_more_than_300_kb(path: Path) -> None:
    assert path.stat().st_size <= 300_000
