from __future__ import annotations

import hashlib
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import EndpointConnectionError

from moderation import schema
from moderation.publish import commit, raw_answers, strays
from moderation.publish.commit import PublishError, ReconciliationError, publish
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.files import Storage, local_path
from moderation.tables import published, writer
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.published import published_images, read_loads
from moderation.tables.swap import data_files
from support import planned_runs
from support.killed import killed_at
from support.odd_s3 import MODIFIED, serving, whole
from support.planned_runs import Run, answer, content_types, line, weapon_violence
from support.published_loads import expected


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.long)])
def settings(request: pytest.FixtureRequest, tmp_path: Path, bucket: str, aws_env: Any) -> Settings:
    return planned_runs.make_settings(tmp_path, bucket, tables=request.param)


@pytest.fixture
def local_settings(tmp_path: Path, bucket: str, aws_env: Any) -> Settings:
    return planned_runs.make_settings(tmp_path, bucket, tables="local")


in_s3_too = pytest.mark.parametrize("settings", ["local", "s3"], indirect=True)
"""What S3 could break by itself is shown there in the short suite too."""


def small_run(settings: Settings, s3_client: Any, **options: Any) -> Run:
    """Two manifests and a rejected input: every status and two content types."""
    run = Run(settings, s3_client, **options)
    name = run.name
    refs = [f"s3://archive/{name}/{n}.jpg" for n in range(5)]
    animated = content_types(Animated=72.7257)
    run.manifest(
        refs[:3],
        b"\n".join(
            [
                line(refs[1], answer(weapon_violence(), ContentTypes=animated)),
                line(refs[0], answer(weapon_violence(80.0))),
            ]
        ),
        summary={
            "errors": [{"line-numer": 3, "source-ref": refs[2], "code": "ImageTooLarge", "message": "big"}]
        },
    )
    run.manifest(refs[3:], line(refs[3], answer()))
    run.reject([f"s3://archive/{name}/x.webp"], "InvalidImageFormat")
    return run


def all_rows(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Every row that a reader sees, without the time of the publish."""
    rows = {name: table.to_pylist() for name, table in expected(settings).items()}
    for row in rows["loads"]:
        row.pop("published_at")
    return {name: sorted(table, key=repr) for name, table in rows.items()}


def test_everything_a_run_answered_is_published_and_every_input_is_a_row(settings, s3_client):
    run = small_run(settings, s3_client)
    load = publish(settings, run.store(), run.records)
    rows = all_rows(settings)
    assert Counter(row["status"] for row in rows["images"]) == {
        "moderated": 3,
        "failed": 2,
        "not_attempted": 1,
    }
    assert {name: len(table) for name, table in rows.items()} == {
        "images": 6,
        "labels_l1": 2,
        "labels_l2": 2,
        "labels_l3": 2,
        "jobs": 2,
        "anomalies": 0,
        "loads": 1,
    }
    assert {row["confidence"] for row in rows["labels_l3"]} == {99.86129760742188, 80.0}
    assert {row["content_type"] for row in rows["labels_l3"]} == {"none", "animated"}
    assert load.row["moderated"] == 3
    assert load.row["billed"] == 3
    assert load.row["cost_usd"] == pytest.approx(0.003)
    assert load.row["published_at"].tzinfo is not None


@in_s3_too
def test_files_lie_in_hive_folders_and_carry_their_checksum(settings, s3_client):
    run = small_run(settings, s3_client)
    load = publish(settings, run.store(), run.records)
    with Storage(settings) as storage:
        assert load.files
        for table, uri, rows, size, sha256 in load.files:
            body = storage.read(uri)
            assert hashlib.sha256(body).hexdigest() == sha256
            assert (len(body), rows > 0) == (size, True)
            assert f"/{table}/" in uri
            assert "/dt=2026-11-22/" in uri
            assert f"/{run.load_id}-" in uri
            assert ("/content_type=" in uri) == table.startswith("labels")


def test_a_published_plan_is_marked_so_that_the_next_run_plans_anew(settings, s3_client):
    run = small_run(settings, s3_client)
    plan = run.store()
    publish(settings, plan.uri, run.records)
    with Storage(settings) as storage:
        assert f"{plan.folder_uri}/published.json" in storage.list(plan.folder_uri)


def test_publishing_again_changes_nothing_and_says_so(settings, s3_client):
    run = small_run(settings, s3_client)
    plan = run.store()
    first = publish(settings, plan, run.records)
    before = all_rows(settings)
    again = publish(settings, plan, run.records)
    assert (first.repeated, again.repeated) == (False, True)
    assert again.row["published_at"] == first.row["published_at"]
    assert all_rows(settings) == before


def test_the_same_answers_give_the_same_bytes_whatever_their_order(settings, s3_client, tmp_path):
    refs = [f"s3://archive/{n}.jpg" for n in range(50)]
    lines = [line(ref, answer(weapon_violence(50.0 + n))) for n, ref in enumerate(refs)]
    checksums = []
    for folder, ordered in (("one", lines), ("two", lines[::-1] + lines[:1])):
        (tmp_path / folder).mkdir()
        own = replace(
            settings,
            tables_uri=str(tmp_path / folder / "t"),
            catalog_uri=f"sqlite:///{tmp_path / folder}/c.db",
        )
        run = Run(own, s3_client)
        run.manifest(refs, b"\n".join(ordered))
        s3_objects.delete(s3_client, raw_answers.uri_of(run.store()))  # else they were changed
        load = publish(own, run.store(), run.records)
        checksums.append(
            {table: sha for table, *_, sha in load.files if table.startswith(("images", "labels"))}
        )
    assert len(checksums[0]) == 4
    assert checksums[0] == checksums[1]


def steps_of(settings: Settings, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    monkeypatch.setattr(commit, "reached", seen.append)
    run = small_run(settings, s3_client)
    publish(settings, run.store(), run.records)
    return seen


STEPS = [
    "built",
    *(f"uploaded {name}" for name in ("images", "labels_l1", "labels_l2", "labels_l3", "jobs")),
    *(f"added {name}" for name in ("images", "labels_l1", "labels_l2", "labels_l3", "jobs", "anomalies")),
    "uploaded loads",
    "committed",
    "marked",
]


def test_the_steps_that_a_publish_is_killed_at_are_all_there_are(settings, s3_client, monkeypatch):
    assert list(dict.fromkeys(steps_of(settings, s3_client, monkeypatch))) == STEPS


SHOWN_IN_S3 = ("added labels_l3",)
SHOWN = {"built", "added images", "committed"}
"""Before anything is there, among the tables, after the commit; the long suite has every step."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "step"),
    [
        *(pytest.param("local", step, marks=() if step in SHOWN else pytest.mark.long) for step in STEPS),
        *(pytest.param("s3", step, marks=() if step in SHOWN_IN_S3 else pytest.mark.long) for step in STEPS),
    ],
    indirect=["settings"],
)
def test_killed_at_any_step_nothing_is_half_visible_and_a_rerun_publishes_once(
    settings, s3_client, monkeypatch, step
):
    other = small_run(settings, s3_client, name="run-before")
    publish(settings, other.store(), other.records)
    run = small_run(settings, s3_client)
    plan = run.store()

    with killed_at(step, commit):
        publish(settings, plan, run.records)
    visible = Counter(published_images(settings, ["load_id"]).column("load_id").to_pylist())
    done = step in ("committed", "marked")
    assert visible == ({other.load_id: 6, run.load_id: 6} if done else {other.load_id: 6})
    load = publish(settings, plan, run.records)
    assert load.repeated == done
    rows = all_rows(settings)
    assert Counter(row["load_id"] for row in rows["images"]) == {other.load_id: 6, run.load_id: 6}
    assert Counter(row["load_id"] for row in rows["labels_l3"]) == {other.load_id: 2, run.load_id: 2}
    assert Counter(row["load_id"] for row in rows["loads"]) == {other.load_id: 1, run.load_id: 1}


@pytest.mark.parametrize(
    "step",
    ["uploaded images", "added labels_l3"]
    + [pytest.param(step, marks=pytest.mark.long) for step in ("added images", "uploaded loads")],
)
def test_a_rerun_with_other_answers_leaves_no_row_or_file_of_the_first_attempt(
    settings, s3_client, monkeypatch, step
):
    run = small_run(settings, s3_client)
    plan = run.store()

    with killed_at(step, commit):
        publish(settings, plan, run.records)
    failed = [replace(run.records[0], status="FAILED", results_uri=None, summary_uri=None), run.records[1]]
    load = publish(settings, plan, failed)
    rows = all_rows(settings)
    assert len(rows["images"]) == 6
    assert rows["labels_l3"] == []
    with open_catalog(settings) as catalog:
        for name in ("images", "labels_l3"):
            table = load_table(catalog, schema.TABLES[name])
            assert table is not None
            files = {task.file.file_path for task in table.scan().plan_files()}
            assert files == {uri for owner, uri, *_ in load.files if owner == name}


def test_a_rerun_that_writes_other_bytes_under_the_same_names_tells_the_table(
    settings, s3_client, monkeypatch
):
    """As with another Parquet library: engines find a file's footer by the size that the table has."""
    run = small_run(settings, s3_client)
    plan = run.store()

    with monkeypatch.context() as patch, killed_at("added anomalies", commit):
        patch.setattr(writer, "ROW_GROUP_ROWS", 2)
        publish(settings, plan, run.records)
    load = publish(settings, plan, run.records)
    told = {}
    with open_catalog(settings) as catalog:
        for spec in schema.TABLES.values():
            table = load_table(catalog, spec)
            assert table is not None
            if spec is not schema.LOADS:
                told |= {file.file_path: file.file_size_in_bytes for file in data_files(table)}
    assert told == {uri: size for _, uri, _, size, _ in load.files}
    assert len(all_rows(settings)["images"]) == 6


@pytest.mark.slow
def test_loads_published_at_once_all_land_exactly_once(settings, s3_client):
    runs = [small_run(settings, s3_client, name=f"run-{n}") for n in range(4)]
    plans = [run.store() for run in runs]
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(lambda pair: publish(settings, pair[0], pair[1].records), zip(plans, runs, strict=True))
        )
    rows = all_rows(settings)
    assert Counter(row["load_id"] for row in rows["images"]) == {run.load_id: 6 for run in runs}
    assert Counter(row["load_id"] for row in rows["loads"]) == {run.load_id: 1 for run in runs}


def test_one_load_published_twice_at_once_is_there_once(settings, s3_client):
    run = small_run(settings, s3_client)
    plan = run.store()
    with ThreadPoolExecutor(3) as pool:
        loads = list(pool.map(lambda _: publish(settings, plan, run.records), range(3)))
    rows = all_rows(settings)
    assert len(rows["images"]) == 6
    assert len(rows["labels_l1"]) == 2
    assert len(rows["loads"]) == 1
    assert sorted(load.repeated for load in loads) == [False, True, True]


@pytest.mark.slow
def test_a_reader_that_polls_while_loads_are_published_sees_whole_loads_only(settings, s3_client):
    runs = [small_run(settings, s3_client, name=f"run-{n}") for n in range(3)]
    plans = [run.store() for run in runs]
    publish(settings, plans[0], runs[0].records)
    finished = threading.Event()
    seen: list[set[int]] = []

    def poll() -> None:
        while not finished.is_set():
            images = published_images(settings, ["load_id", "source_ref"])
            seen.append(set(Counter(images.column("load_id").to_pylist()).values()))

    with ThreadPoolExecutor(1) as pool:
        polling = pool.submit(poll)
        try:
            for plan, run in zip(plans[1:], runs[1:], strict=True):
                publish(settings, plan, run.records)
        finally:
            finished.set()
        polling.result(timeout=60)
    assert seen
    assert set().union(*seen) == {6}


def overlapping(settings: Settings, s3_client: Any, name: str, **options: Any) -> Run:
    run = Run(settings, s3_client, name=name, created_at=datetime.now(UTC), **options)
    refs = ["s3://archive/shared.jpg", f"s3://archive/{name}.jpg"]
    run.manifest(refs, b"\n".join(line(ref, answer(weapon_violence())) for ref in refs))
    return run


def test_an_image_that_another_load_published_meanwhile_gets_no_second_row(settings, s3_client):
    runs = [overlapping(settings, s3_client, name) for name in ("first", "second")]
    plans = [run.store() for run in runs]
    for plan, run in zip(plans, runs, strict=True):
        publish(settings, plan, run.records)
    rows = all_rows(settings)
    assert Counter(row["key"] for row in rows["images"]) == {"shared.jpg": 1, "first.jpg": 1, "second.jpg": 1}
    assert len(rows["labels_l3"]) == 3
    second = next(row for row in rows["loads"] if row["load_id"] == runs[1].load_id)
    assert (second["images"], second["superseded"], second["billed"]) == (1, 1, 2)


def test_what_is_refused_again_in_a_redo_of_refused_images_is_told_as_refused(settings, s3_client):
    """It began soon after the load that refused it, which is no other load that has the image."""
    ref = "s3://archive/broken.jpg"
    first, again = (Run(settings, s3_client, name=name, created_at=datetime.now(UTC)) for name in "ab")
    for run in (first, again):
        run.manifest([ref], b"", summary={"errors": [{"source-ref": ref, "code": "ImageTooLargeException"}]})
    publish(settings, first.store(), first.records)
    told = publish(settings, replace(again.store(), retries_refused=True), again.records)
    assert (told.row["failed"], told.row["superseded"]) == (1, 0)


def test_what_was_published_meanwhile_is_looked_for_in_files_of_its_days_alone(
    local_settings, s3_client, monkeypatch
):
    """Else a publish beside another one would read all images of all years: here one of them is gone."""
    settings = local_settings
    old = overlapping(settings, s3_client, "old")
    publish(settings, replace(old.store(), dt="2020-01-01"), old.records)
    (file,) = local_path(settings.tables_uri).rglob("images/dt=2020-01-01/*.parquet")
    file.unlink()
    now = datetime.now(UTC)
    monkeypatch.setattr(commit, "published_since", lambda _: now)
    for run in [overlapping(settings, s3_client, name) for name in ("first", "second")]:
        load = publish(settings, run.store(), run.records)
    assert load.row["superseded"] == 1


@pytest.mark.slow
def test_loads_are_read_several_at_a_time(local_settings, s3_client, monkeypatch):
    """A publish each: in S3 one after the other takes minutes once there are a thousand."""
    for number in range(4):
        run = small_run(local_settings, s3_client, name=f"run-{number}")
        publish(local_settings, run.store(), run.records)
    together = threading.Barrier(4, timeout=30)
    real = published.batches_between

    def meet(*arguments: Any) -> Any:
        together.wait()
        return real(*arguments)

    monkeypatch.setattr(published, "batches_between", meet)
    loads = read_loads(local_settings)
    assert loads.column("published_at").to_pylist() == sorted(loads.column("published_at").to_pylist())
    assert loads.num_rows == 4


def test_forced_runs_repeat_an_image_on_purpose(settings, s3_client):
    runs = [overlapping(settings, s3_client, "first"), overlapping(settings, s3_client, "second", force=True)]
    plans = [run.store() for run in runs]
    for plan, run in zip(plans, runs, strict=True):
        publish(settings, plan, run.records)
    assert len(all_rows(settings)["images"]) == 4


@pytest.mark.slow
def test_an_overlap_that_appears_just_before_the_commit_is_left_out_too(settings, s3_client, monkeypatch):
    first, second = (overlapping(settings, s3_client, name) for name in ("first", "second"))
    plans = first.store(), second.store()
    waiting = [lambda: publish(settings, plans[1], second.records)]

    def interfere(step: str) -> None:
        if step == "uploaded loads" and waiting:
            waiting.pop()()

    monkeypatch.setattr(commit, "reached", interfere)
    publish(settings, plans[0], first.records)
    rows = all_rows(settings)
    assert Counter(row["key"] for row in rows["images"]) == {"shared.jpg": 1, "first.jpg": 1, "second.jpg": 1}
    assert Counter(row["load_id"] for row in rows["labels_l1"]) == {first.load_id: 1, second.load_id: 2}


def test_answers_that_fit_no_input_are_recorded_or_stop_the_publish(settings, s3_client):
    run = Run(settings, s3_client)
    asked, unasked = "s3://archive/a.jpg", "s3://archive/never-asked.jpg"
    run.manifest([asked], line(asked, answer()) + b"\n" + line(unasked, answer()) + b"\n{cut off")
    plan = run.store()
    with pytest.raises(ReconciliationError, match=r"1 answers are not.*results.jsonl line 2.*never-asked"):
        publish(settings, plan, run.records, stop_on_mismatch=True)
    assert read_loads(settings).num_rows == 0
    publish(settings, plan, run.records)
    rows = all_rows(settings)
    assert {(row["kind"], row["line_number"], row["source_ref"]) for row in rows["anomalies"]} == {
        ("UnexpectedResult", 2, unasked),
        ("MalformedLine", 3, None),
    }
    assert [row["source_ref"] for row in rows["images"]] == [asked]


def test_a_run_with_nothing_in_it_publishes_an_empty_load(settings, s3_client):
    run = Run(settings, s3_client)
    load = publish(settings, run.store(), [])
    assert load.row["images"] == 0
    assert read_loads(settings).num_rows == 1
    assert published_images(settings, ["source_ref"]).num_rows == 0


def test_before_the_first_publish_readers_get_empty_tables(settings):
    images = published_images(settings, ["source_ref", "etag", "status"])
    assert images.schema.names == ["source_ref", "etag", "status"]
    assert images.num_rows == 0


def test_unwritable_tables_and_missing_answers_are_named_and_nothing_is_visible(
    tmp_path, bucket, aws_env, s3_client
):
    settings = planned_runs.make_settings(tmp_path, bucket, tables="s3")
    run = small_run(settings, s3_client)
    plan = run.store()

    (tmp_path / "file").touch()
    unwritable = replace(settings, tables_uri=str(tmp_path / "file" / "tables"))
    with pytest.raises(PublishError, match=r"Not a directory: .*tables"):
        publish(unwritable, plan, run.records)
    lost = replace(run.records[0], results_uri=f"s3://{bucket}/lost.jsonl")
    with pytest.raises(PublishError, match=r"lost\.jsonl"):
        publish(settings, plan, [lost, run.records[1]])
    assert read_loads(settings).num_rows == 0
    publish(settings, plan, run.records)
    assert published_images(settings, ["source_ref"]).num_rows == 6


@pytest.mark.slow
def test_s3_gone_in_the_middle_is_a_named_error_and_nothing_is_visible(
    tmp_path, bucket, aws_env, s3_client, monkeypatch
):
    settings = planned_runs.make_settings(tmp_path, bucket, tables="s3")
    run = small_run(settings, s3_client)
    plan = run.store()
    real = Storage.put_file
    monkeypatch.setattr(strays, "_OWN_LOCK_SECONDS", 0.5)  # unplugged, it cannot give back its lock

    def unplugged(storage: Storage, source: Path, uri: str) -> None:
        if "/labels_l3/" in uri:
            storage.s3_client.meta.events.register("before-send.s3", _refuse)
        real(storage, source, uri)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "put_file", unplugged)
        patch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))  # between its retries
        with pytest.raises(PublishError, match=r"Unreachable.*AWS_ENDPOINT_URL_S3.*run again"):
            publish(settings, plan, run.records)
    assert read_loads(settings).num_rows == 0
    publish(settings, plan, run.records)
    assert published_images(settings, ["source_ref"]).num_rows == 6


def _refuse(request: Any, **_: Any) -> None:
    raise EndpointConnectionError(endpoint_url=request.url)


@pytest.mark.slow
def test_results_that_s3_sends_half_of_are_not_taken_for_all_of_them(local_settings, s3_client, aws_env):
    run = small_run(local_settings, s3_client)
    plan = run.store()
    bucket, key = s3_objects.split_uri(run.records[0].results_uri)
    stored = s3_client.get_object(Bucket=bucket, Key=key)
    body = stored["Body"].read()
    lines = body[: body.index(b"\n") + 1]  # whole ones
    half = whole("200 OK", MODIFIED + f"ETag: {stored['ETag']}\r\n".encode(), lines, length=str(len(body)))
    server = s3_client.meta.endpoint_url
    with serving({key.rpartition("/")[2]: half}, before=server) as address:
        aws_env.setenv("AWS_ENDPOINT_URL_S3", address)
        with pytest.raises(PublishError, match="run again"):
            publish(local_settings, plan, run.records)
        assert read_loads(local_settings).num_rows == 0
    aws_env.setenv("AWS_ENDPOINT_URL_S3", server)
    publish(local_settings, plan, run.records)
    assert published_images(local_settings, ["source_ref"]).num_rows == 6


def test_a_full_disk_is_a_named_error_and_nothing_is_visible(local_settings, s3_client, monkeypatch):
    run = small_run(local_settings, s3_client)
    plan = run.store()
    real = Storage.put_file

    def full(storage: Storage, source: Path, uri: str) -> None:
        if "/labels_l3/" in uri:
            raise OSError(28, "No space left on device", str(local_path(uri)))
        real(storage, source, uri)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "put_file", full)
        with pytest.raises(PublishError, match=r"No space left on device.*labels_l3.*run again"):
            publish(local_settings, plan, run.records)
    assert read_loads(local_settings).num_rows == 0
    publish(local_settings, plan, run.records)
    assert len(all_rows(local_settings)["images"]) == 6
    assert list((local_path(local_settings.tables_uri) / "_spool").iterdir()) == []


def test_plain_parquet_readers_get_the_same_rows_as_iceberg(local_settings, s3_client):
    run = small_run(local_settings, s3_client)
    publish(local_settings, run.store(), run.records)
    root = local_path(local_settings.tables_uri)
    rows = all_rows(local_settings)
    for name in schema.TABLES:
        files = sorted(root.glob(f"{name}/**/*.parquet"))
        if not files:
            assert rows[name] == []
            continue
        glob = str(root / name / "**" / "*.parquet")
        with duckdb.connect() as connection:
            found = connection.sql(f"select * from read_parquet('{glob}')").to_arrow_table()
        assert sorted(found.column_names) == sorted(schema.TABLES[name].schema.names)
        assert found.num_rows == len(rows[name])
        assert pq.read_schema(files[0]).names == schema.TABLES[name].schema.names
