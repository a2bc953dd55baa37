"""An upgrade and its way back: workers of two releases over the same buckets and databases."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from compatibility import archive, tables
from local_aws.rekognition.launch import Rekognition
from support import airflow_home, pictures
from support import rekognition_server as offline
from support.postgres_fixtures import postgres_server, postgres_uri  # noqa: F401 - fixtures
from support.postgres_server import Postgres
from support.releases import Refused, Release, checkout

BEFORE = "d1c3e25"
"""The release before: the last one whose database of verdicts has no checksums."""

IMAGES = 24  # three manifests
ALL = ("old", "new")

pytestmark = [
    pytest.mark.long,
    *(pytest.mark.filterwarnings(warning) for warning in airflow_home.WARNINGS_OF_AIRFLOW),
]


@dataclass(frozen=True)
class Beside:
    """Two workers, and what they share."""

    workers: dict[str, Release]
    server: Rekognition
    s3: Any
    catalog: str
    review: str
    warehouse: str
    folder: Path

    def __getitem__(self, name: str) -> Release:
        return self.workers[name]

    def upload(self, prefix: str, count: int = IMAGES) -> str:
        """Distinct images; returns the source."""
        for number in range(count):
            body = pictures.jpeg(90, 80) + f"{prefix} {number}".encode()
            self.s3.put_object(Bucket="side-input", Key=f"{prefix}/{number:03d} ü.jpg", Body=body)
        return f"s3://side-input/{prefix}/"

    def tasks(self, run_id: str) -> str:
        """Where the run's tasks remember."""
        (self.folder / run_id).mkdir(exist_ok=True)
        return str(self.folder / run_id)

    def plan(self, name: str, run_id: str, source: str, backend: str) -> str:
        """Plan a run."""
        found = self[name].stage("plan", source=source, run_id=run_id, backend=backend)
        assert isinstance(found, str)
        return found

    def analyse(self, names: list[str], run_id: str, plan_uri: str, backend: str) -> list[str]:
        """The mapped tasks, all workers at once and in turn."""
        given = self[names[0]].stage("arguments", plan_uri=plan_uri)
        ids: list[str] = []
        for first in range(0, len(given), len(names)):
            busy = list(zip(names, range(first, len(given)), strict=False))
            for name, index in busy:
                task = {"folder": self.tasks(run_id)}
                if backend == "bulk":
                    task |= {"arguments": given[index], "map_index": index, "try_number": 1}
                else:
                    task |= {"plan_uri": plan_uri, "index": index}
                stage = "submit" if backend == "bulk" else "detect"
                self[name].begin("stage", name=stage, **task)
            ids += [self[name].end() for name, _ in busy]
        return ids if backend == "bulk" else []

    def night(self, name: str, source: str, count: int = IMAGES) -> str:
        """A whole run by one worker; returns its source."""
        uploaded = self.upload(source, count)
        run_id = source.replace(" ", "-")
        plan_uri = self.plan(name, run_id, uploaded, "bulk")
        self.finish(name, plan_uri, self.analyse([name], run_id, plan_uri, "bulk"))
        return uploaded

    def finish(self, name: str, plan_uri: str, job_ids: list[str]) -> str:
        """Publish, load and report."""
        load_id = self[name].stage("publish", plan_uri=plan_uri, job_ids=job_ids)
        self[name].stage("load", load_id=load_id)
        self[name].stage("report", plan_uri=plan_uri, load_id=load_id)
        assert isinstance(load_id, str)
        return load_id

    def objects(self) -> dict[str, bytes]:
        """All that lies in S3."""
        return archive.objects_in(self.s3, ["side-work", "side-tables"])

    def assert_exact(self, *sources: str, images: int = IMAGES) -> None:
        """Each image is in the tables and in the warehouse once, with its answer, and was paid once."""
        found = tables.read(self.catalog)
        rows = [row for row in found["images"].to_pylist() if row["source_ref"].startswith(sources)]
        told = Counter(row["source_ref"] for row in rows)
        assert len(told) == images * len(sources)
        assert set(told.values()) == {1}
        assert {row["status"] for row in rows} == {"moderated"}
        billed = Counter(
            entry["source_ref"]
            for entry in offline.ledger(self.server)
            if entry["event"] in {"image_billed", "detect_billed"} and entry["source_ref"].startswith(sources)
        )
        assert billed == told
        with psycopg.connect(self.warehouse) as connection:
            for table in ("images", "labels_l3", "loads"):
                loaded = connection.execute(f"SELECT count(*) FROM moderation.{table}".encode()).fetchone()
                assert loaded == (found[table].num_rows,), table

    def assert_all_is_known(self, name: str, source: str) -> None:
        """Another run pays nothing."""
        again = self.plan(name, f"again-{name}", source, "bulk")
        assert self[name].stage("arguments", plan_uri=again) == []
        assert self[name].stage("publish", plan_uri=again, job_ids=[]) is None


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(BEFORE, tmp_path_factory.mktemp("release-before"))


@pytest.fixture
def beside(
    *,
    aws_env: pytest.MonkeyPatch,
    s3_client: Any,
    start_rekognition: Callable[..., Rekognition],
    postgres_server: Postgres,  # noqa: F811
    old_code: Path,
    tmp_path: Path,
) -> Iterator[Beside]:
    buckets = ("side-input", "side-work", "side-tables")
    archive.clear(s3_client, buckets)
    server = start_rekognition()
    catalog, review, warehouse = (postgres_server.new_database() for _ in range(3))
    environment = {
        "PATH": os.environ["PATH"],
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
        "AIRFLOW_CONN_AWS_DEFAULT": '{"conn_type": "aws"}',
        "AWS_ENDPOINT_URL_REKOGNITION": server.endpoint_url,
        "MODERATION_INPUT_URI": "s3://side-input",
        "MODERATION_WORK_URI": "s3://side-work/work",
        "MODERATION_TABLES_URI": "s3://side-tables/tables",
        "MODERATION_CATALOG_URI": catalog.replace("postgresql://", "postgresql+psycopg://"),
        "MODERATION_WAREHOUSES": warehouse,
        "MODERATION_REVIEW_DB": review,
        "MODERATION_MODEL": "offline-hash-1",
    }
    with ExitStack() as stack:
        workers = {
            name: Release(code, tmp_path / name, environment)
            for name, code in {"old": old_code, "new": airflow_home.REPOSITORY}.items()
        }
        for worker in workers.values():
            stack.callback(worker.close)
        beside = Beside(
            workers, server, s3_client, environment["MODERATION_CATALOG_URI"], review, warehouse, tmp_path
        )
        beside.night("old", "before the upgrade", count=2)
        yield beside


@pytest.mark.parametrize("backend", ["bulk", "detect"])
def test_a_run_that_either_release_has_begun_is_worked_off_by_both_and_ended_by_the_other(
    beside: Beside, backend: str
) -> None:
    ends = {"old": "new", "new": "old"}
    sources = {name: beside.upload(name) for name in ends}
    plans = {name: beside.plan(name, f"night-{name}", sources[name], backend) for name in ends}
    ids = {name: beside.analyse([name, ends[name]], f"night-{name}", plans[name], backend) for name in ends}
    for begun, other in ends.items():
        beside[other].begin("stage", name="publish", plan_uri=plans[begun], job_ids=ids[begun])
    for other in ends.values():
        beside[other].end()
    for begun, other in ends.items():
        beside.finish(other, plans[begun], ids[begun])
    beside.assert_exact(*sources.values())
    for name in ends:
        for source in sources.values():
            beside.assert_all_is_known(name, source)


def test_two_releases_that_plan_the_same_images_at_the_same_time_pay_each_once(beside: Beside) -> None:
    source = beside.upload("shared")
    for name in ALL:
        beside[name].begin("stage", name="plan", source=source, run_id=f"night-{name}", backend="detect")
    plans = {name: beside[name].end() for name in ALL}
    # Each works off what is its own; the claim of the other keeps the rest away.
    for name, plan_uri in plans.items():
        ids = beside.analyse([name], f"night-{name}", plan_uri, "detect")
        if beside[name].stage("publish", plan_uri=plan_uri, job_ids=ids):
            beside.finish(name, plan_uri, ids)
    beside.assert_exact(source)


@pytest.mark.parametrize("backend", ["bulk", "detect"])
def test_a_plan_that_tells_what_the_release_before_does_not_know_is_refused_by_it_and_costs_nothing(
    beside: Beside, backend: str
) -> None:
    source = beside.upload("ours", count=2)
    first = beside.plan("new", "night-1", source, backend)
    beside.finish("new", first, beside.analyse(["new"], "night-1", first, backend))
    beside.s3.delete_object(Bucket="side-input", Key="ours/000 ü.jpg")
    beside.upload("ours/more", count=12)
    plan_uri = beside.plan("new", "night-2", source, backend)
    before, billed = beside.objects(), offline.ledger(beside.server)
    orders: dict[str, dict[str, Any]] = {"arguments": {}, "publish": {"job_ids": []}}
    if backend == "detect":
        orders["detect"] = {"index": 0, "folder": beside.tasks("night-2")}
    for name, arguments in orders.items():
        with pytest.raises(Refused, match="a later release, which tells gone; keep it, bring this worker"):
            beside["old"].stage(name, plan_uri=plan_uri, **arguments)
    assert beside.objects() == before
    assert offline.ledger(beside.server) == billed
    beside.finish("new", plan_uri, beside.analyse(["new"], "night-2", plan_uri, backend))
    beside.assert_exact(source, images=14)


def test_after_a_load_of_this_release_and_a_compaction_the_one_before_has_a_night_of_its_own_and_back(
    beside: Beside,
) -> None:
    sources = []
    for number, name in enumerate(("old", "new", "old", "new")):
        sources.append(beside.night(name, f"night-{number}", count=12))
        done = beside[name].does("command", words=["compact", "--keep-days", "0.00001"])
        assert done["code"] == 0, done
        for reader in ALL:
            for source in sources:
                beside.assert_all_is_known(reader, source)
    beside.assert_exact(*sources, images=12)
    done = beside["new"].does("command", words=["verify"])
    assert done["code"] == 0, done


def test_views_get_the_columns_of_this_release_when_told_and_without_them_the_one_before_loads_again(
    beside: Beside,
) -> None:
    sources = [beside.night(name, f"{name} beside", count=2) for name in ("new", "old")]
    done = beside["new"].does("command", words=["load", "--new-columns"])
    assert done["code"] == 0, done
    with psycopg.connect(beside.warehouse) as connection:
        named = "SELECT count(transcoded_from), count(*) FROM moderation.images_in_use"
        assert connection.execute(named).fetchone() == (0, 6)
    with pytest.raises(Refused, match="cannot drop columns from view"):
        beside.night("old", "back too early", count=2)
    with psycopg.connect(beside.warehouse) as connection:  # the guide's way back
        connection.execute("DROP VIEW moderation.images_in_use")
    done = beside["old"].does("command", words=["load"])
    assert done["code"] == 0, done
    sources += [beside.night(name, f"{name} after", count=2) for name in ("old", "new")]
    beside.assert_exact(*sources, f"{sources[0].rpartition('/new')[0]}/back too early/", images=2)


def verdict(name: str, number: int) -> dict[str, Any]:
    """Of a person of either console."""
    return {
        "verdict_id": f"{name}-{number:04d}-4000-8000-000000000000",
        "reviewer": f"{name}@example.com",
        "content": f"{number:064x}",
        "source_ref": f"s3://side-input/{number}.jpg",
        "subject": "label",
        "label": "Violence",
        "level": 1,
        "l1": "Violence",
        "verdict": "absent",
    }


def test_a_console_of_the_release_before_goes_on_while_this_one_works_on_the_same_database(
    beside: Beside,
) -> None:
    old, new = beside["old"], beside["new"]
    old.does("open")
    assert old.does("append", verdicts=[verdict("old", 1)]) == [1, 0]
    new.does("open")
    assert old.does("append", verdicts=[verdict("old", 1), verdict("old", 2)]) == [1, 1]
    assert new.does("append", verdicts=[verdict("new", 3), verdict("old", 2)]) == [1, 1]
    for worker in (old, new):
        told = {person: len(worker.does("by_reviewer", name=f"{person}@example.com")) for person in ALL}
        assert told == {"old": 2, "new": 1}


def test_a_database_of_verdicts_goes_back_to_the_release_before_with_all_that_was_said(
    beside: Beside,
) -> None:
    old, new = beside["old"], beside["new"]
    new.does("open")
    new.does("append", verdicts=[verdict("new", 1)])
    new.does("close")
    with pytest.raises(Refused, match=r"a later release \(revision 0004, this one knows 0002\)"):
        old.does("open")
    done = new.does("command", words=["verdicts", "downgrade", "0002"])
    assert done["code"] == 0, done
    old.does("open")
    assert old.does("append", verdicts=[verdict("old", 2), verdict("new", 1)]) == [1, 1]
    old.does("close")
    new.does("open")
    told = [new.does("by_reviewer", name=f"{name}@example.com") for name in ALL]
    assert [len(rows) for rows in told] == [1, 1]
