from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyiceberg.table import Table

from moderation import schema
from moderation.cli import main
from moderation.errors import WarehouseError
from moderation.maintenance import cleaning, compaction
from moderation.maintenance.compaction import compact
from moderation.publish import commit, strays
from moderation.publish.commit import publish
from moderation.query.published_views import open_published
from moderation.settings import Settings
from moderation.storage import probe, s3_objects
from moderation.storage.files import Storage, is_s3, local_path
from moderation.tables import writer
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.faults import TablesDamagedError
from moderation.tables.published import files_of_load, known_load_ids, published_images, read_loads
from moderation.tables.swap import data_files
from moderation.warehouses.duckdb import DuckDBWarehouse
from moderation.warehouses.folder import FolderMirror
from support.killed import killed_at
from support.planned_runs import Run, answer, line, weapon_violence
from support.published_loads import expected, publish_odd, publish_plain, rows
from support.put_back import MadeOnce

DATA_TABLES = ("images", "labels_l1", "labels_l2", "labels_l3", "jobs")
AT_ONCE = timedelta(0)


def contents(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that a reader sees."""
    return {name: rows(table) for name, table in expected(settings).items()}


def files(settings: Settings, name: str = "images") -> list[str]:
    with open_catalog(settings) as catalog:
        return [file.file_path for file in data_files(opened(catalog, name))]


def opened(catalog: Any, name: str) -> Table:
    table = load_table(catalog, schema.TABLES[name])
    assert table is not None
    return table


def unfinished_run(settings: Settings, s3_client: Any, monkeypatch: pytest.MonkeyPatch, step: str) -> Run:
    """A run whose publish died after its rows were added and before they were committed."""
    run = Run(settings, s3_client, name="unfinished")
    refs = [f"s3://archive/unfinished/{n}.jpg" for n in range(3)]
    run.manifest(refs, b"\n".join(line(ref, answer(weapon_violence())) for ref in refs))

    with killed_at(step, commit):
        publish(settings, run.store(), run.records)
    return run


@pytest.mark.slow
def test_small_files_of_several_loads_become_one_a_partition_and_no_row_changes(settings, s3_client):
    publish_odd(settings, s3_client)
    for number in range(2):
        publish_plain(settings, s3_client, f"plain-{number}")
    before = contents(settings)
    assert len(files(settings)) == 3
    done = {table.table: table for table in compact(settings)}
    assert (done["images"].merged, done["images"].written) == (3, 1)
    assert contents(settings) == before
    assert len(files(settings)) == len(files(settings, "loads")) == 1
    assert len(files(settings, "labels_l3")) == 4  # one for each content type


@pytest.fixture(scope="module")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    return MadeOnce(tmp_path_factory.mktemp("two-loads"))


@pytest.fixture
def of_two_loads(published_once: MadeOnce, s3_client: Any, bucket: str, aws_env: Any) -> Settings:
    """Tables on a disk with the loads *plain-0* and *plain-1*, as they were published."""

    def make(settings: Settings) -> None:
        for number in range(2):
            publish_plain(settings, s3_client, f"plain-{number}")

    return published_once.get(s3_client, bucket, make).settings


@pytest.fixture
def two_loads(request: pytest.FixtureRequest, settings: Settings, s3_client: Any) -> Settings:
    """As `of_two_loads`; in S3 they are published anew."""
    if is_s3(settings.tables_uri):
        for number in range(2):
            publish_plain(settings, s3_client, f"plain-{number}")
        return settings
    found: Settings = request.getfixturevalue("of_two_loads")
    return found


@pytest.mark.slow
def test_a_second_compaction_finds_nothing_to_do(of_two_loads):
    settings = of_two_loads
    compact(settings)
    there = files(settings)
    again = compact(settings)
    assert all((table.merged, table.written) == (0, 0) for table in again)
    assert files(settings) == there


def test_files_of_the_target_size_are_left_alone(of_two_loads):
    settings = of_two_loads
    before = files(settings)
    compact(settings, target_bytes=100)
    assert files(settings) == before


def test_the_same_files_give_the_same_compacted_bytes(of_two_loads):
    settings = of_two_loads
    with killed_at("uploaded images", compaction):
        compact(settings)
    (written,) = local_path(settings.tables_uri).rglob("images/**/compacted-*.parquet")
    body = written.read_bytes()
    compact(settings)
    assert files(settings) == [f"file://{written}"]
    assert written.read_bytes() == body


STEPS = [
    "committed images",
    *(  # in the tables as the one before, or as of images
        pytest.param(step, marks=pytest.mark.long)
        for step in (
            "uploaded images",
            "expired images",
            "written images",
            "removed images",
            "committed jobs",
            "uploaded loads",
            "committed loads",
        )
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_readers_see_the_same_and_a_rerun_finishes(of_two_loads, step):
    settings = of_two_loads
    before = contents(settings)

    with killed_at(step, compaction):
        compact(settings, keep=AT_ONCE, orphan_age=AT_ONCE)
    assert contents(settings) == before
    compact(settings, keep=AT_ONCE, orphan_age=AT_ONCE)
    assert contents(settings) == before
    assert all(len(files(settings, name)) == 1 for name in (*DATA_TABLES, "loads"))
    on_disk = {f"file://{path}" for path in local_path(settings.tables_uri).glob("images/**/*.parquet")}
    assert on_disk == set(files(settings))


@pytest.mark.slow
def test_rows_of_a_publish_under_way_stay_apart_and_it_can_finish(of_two_loads, s3_client, monkeypatch):
    settings = of_two_loads
    run = unfinished_run(settings, s3_client, monkeypatch, "added labels_l3")
    before = contents(settings)
    compact(settings, keep=AT_ONCE, orphan_age=AT_ONCE)
    assert contents(settings) == before
    assert [f"/{run.load_id}-" in uri for uri in files(settings)].count(True) == 1
    publish(settings, run.store(), run.records)
    assert Counter(published_images(settings, ["load_id"]).column("load_id").to_pylist())[run.load_id] == 3


def test_files_that_an_unfinished_publish_uploaded_are_kept_however_old(two_loads, s3_client, monkeypatch):
    settings = two_loads
    run = unfinished_run(settings, s3_client, monkeypatch, "uploaded images")
    compact(settings, keep=AT_ONCE, orphan_age=-timedelta(days=1))
    with Storage(settings) as storage:
        uploaded = storage.list(f"{settings.tables_uri}/images")
    assert any(f"/{run.load_id}-" in uri for uri in uploaded)


@pytest.mark.slow
def test_loads_published_during_a_compaction_land_and_the_compaction_too(
    of_two_loads, s3_client, monkeypatch
):
    settings = of_two_loads
    late = iter(range(3))

    def interfere(step: str) -> None:
        if step in {"uploaded images", "uploaded labels_l3", "uploaded loads"}:
            publish_plain(settings, s3_client, f"late-{next(late)}")

    monkeypatch.setattr(compaction, "reached", interfere)
    done = {table.table: table for table in compact(settings)}
    assert (done["images"].merged, done["images"].written) == (2, 1)
    found = contents(settings)
    assert len(found["images"]) == len(set(found["images"])) == 5 * 6
    assert len(found["labels_l3"]) == 5 * 6
    assert len(found["loads"]) == 5


@pytest.mark.slow
def test_a_publish_that_another_attempt_finished_and_a_compaction_moved_adds_no_row(
    of_two_loads, s3_client, monkeypatch
):
    settings = of_two_loads
    run = Run(settings, s3_client, name="twice")
    refs = [f"s3://archive/twice/{n}.jpg" for n in range(3)]
    run.manifest(refs, b"\n".join(line(ref, answer(weapon_violence())) for ref in refs))
    plan = run.store()
    waiting: list[Callable[[], Any]] = [
        lambda: compact(settings),
        lambda: publish(settings, plan, run.records),
    ]

    def interfere(step: str) -> None:
        if step == "uploaded jobs":
            while waiting:
                waiting.pop()()

    monkeypatch.setattr(commit, "reached", interfere)
    monkeypatch.setattr(strays, "_OWN_LOCK_SECONDS", 0.5)  # the other attempt soon believes us dead
    with pytest.raises(commit.PublishError, match="another attempt publishes it"):
        publish(settings, plan, run.records)
    assert publish(settings, plan, run.records).repeated
    found = contents(settings)
    assert len(found["images"]) == 2 * 6 + 3
    assert len(found["labels_l3"]) == 2 * 6 + 3


@pytest.mark.long
def test_a_reader_that_polls_during_compactions_gets_one_answer_only(of_two_loads):
    settings = of_two_loads
    truth = contents(settings)
    finished = threading.Event()
    seen = 0

    def poll() -> None:
        nonlocal seen
        while True:
            last = finished.is_set()
            assert contents(settings) == truth
            seen += 1
            if last:
                return

    with ThreadPoolExecutor(1) as pool:
        polling = pool.submit(poll)
        try:
            compact(settings)
            compact(settings)
        finally:
            finished.set()
        polling.result(timeout=120)
    assert seen


def test_a_snapshot_that_is_kept_stays_readable_after_the_merge(of_two_loads):
    settings = of_two_loads
    with open_catalog(settings) as catalog:
        table = opened(catalog, "images")
        snapshot = table.current_snapshot()
        assert snapshot is not None
        before = table.scan().to_arrow().num_rows
        compact(settings, orphan_age=-timedelta(days=1))
        table.refresh()
        assert table.current_snapshot() != snapshot
        assert table.scan(snapshot_id=snapshot.snapshot_id).to_arrow().num_rows == before == 12


def test_a_snapshot_that_was_current_until_now_does_not_expire_for_being_old(of_two_loads, s3_client):
    settings = of_two_loads
    with open_catalog(settings) as catalog:
        table = opened(catalog, "images")
        old = table.current_snapshot()
        assert old is not None
        publish_plain(settings, s3_client, "later")
        table.refresh()
        log = table.metadata.snapshot_log
        limit = next(after.timestamp_ms for entry, after in pairwise(log)
                     if entry.snapshot_id == old.snapshot_id)  # fmt: skip
        moment = compaction.datetime.fromtimestamp(limit / 1000, compaction.UTC)
        assert old.timestamp_ms < limit
        cleaning.expire_snapshots(table, before=moment)
        assert table.snapshot_by_id(old.snapshot_id) is not None
        cleaning.expire_snapshots(table, before=moment + timedelta(milliseconds=1))
        assert table.snapshot_by_id(old.snapshot_id) is None


@pytest.mark.slow
def test_replaced_and_stray_files_go_when_they_are_old_and_unneeded(of_two_loads):
    settings = of_two_loads
    root = local_path(settings.tables_uri)
    stray = root / "images" / "dt=2026-11-22" / "compacted-000000000000-0.parquet"
    stray.write_bytes(b"left by a compaction that died")
    others = root / "images" / "notes.txt"
    others.write_text("not ours")
    replaced = [local_path(uri) for uri in files(settings)]
    compact(settings)
    assert stray.exists()
    assert all(path.exists() for path in replaced)
    for path in root.rglob("*.*"):
        os.utime(path, (0, 0))
    compact(settings)
    assert not stray.exists()
    assert all(path.exists() for path in replaced)  # a snapshot that is kept names them
    compact(settings, keep=AT_ONCE)
    assert not any(path.exists() for path in replaced)
    assert others.exists()
    assert len(contents(settings)["images"]) == 12


@pytest.mark.slow
def test_warehouses_load_from_compacted_files_each_load_alone(settings, s3_client, tmp_path):
    load_ids = [
        publish_odd(settings, s3_client),
        *(publish_plain(settings, s3_client, f"p{n}") for n in (1, 2)),
    ]
    mirrors = [FolderMirror(replace(settings, parquet_mirror=tmp_path / name)) for name in ("old", "new")]
    mirrors[0].load(load_ids[1])
    copied = {path.name: path.read_bytes() for path in (tmp_path / "old").rglob("*.parquet")}
    compact(settings)
    truth = expected(settings)
    for load_id in (*load_ids, load_ids[0]):
        mirrors[0].load(load_id)
        mirrors[1].load(load_id)
        DuckDBWarehouse(settings).load(load_id)
    for name, table in truth.items():
        for folder in ("old", "new"):
            if table.num_rows:
                found = ds.dataset(tmp_path / folder / name, format="parquet").to_table(
                    columns=table.schema.names
                )
                assert rows(found.cast(table.schema)) == rows(table)
        with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (table.num_rows,)
    assert (
        copied.items()
        <= {path.name: path.read_bytes() for path in (tmp_path / "old").rglob("*.parquet")}.items()
    )


@pytest.mark.slow
def test_a_load_is_found_in_compacted_files_and_others_are_not(of_two_loads, s3_client):
    settings = of_two_loads
    first, second = read_loads(settings).column("load_id").to_pylist()
    compact(settings)
    third = publish_plain(settings, s3_client, "three")
    with open_catalog(settings) as catalog:
        images = opened(catalog, "images")
        found = {
            load_id: [file.file_path for file in files_of_load(images, load_id, "2026-11-22")]
            for load_id in (first, second, third)
        }
    assert found[first] == found[second]
    assert len(found[first]) == 1
    assert [f"/{third}-" in uri for uri in found[third] if "compacted" not in uri] == [True]


@pytest.mark.slow
@pytest.mark.parametrize(
    "cleaned",
    [
        pytest.param(False, marks=pytest.mark.long, id="old files still there"),
        pytest.param(True, id="old files gone"),
    ],
)
def test_readers_of_the_published_files_see_each_row_once_after_a_compaction(two_loads, s3_client, cleaned):
    settings = two_loads
    load_ids = read_loads(settings).column("load_id").to_pylist()
    with open_published(settings) as before:
        compact(settings, keep=AT_ONCE if cleaned else compaction.KEEP, orphan_age=AT_ONCE)
        if not cleaned:  # who began before goes on with the files of then
            assert before.execute("SELECT count(*) FROM images").fetchone() == (12,)
    publish_plain(settings, s3_client, "later")
    truth = expected(settings)
    with open_published(settings) as connection:
        for name in DATA_TABLES:
            found = connection.table(name).to_arrow_table()
            assert rows(found.cast(truth[name].schema)) == rows(truth[name]), name
    with open_published(settings, load_id=load_ids[1]) as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (6,)
    with open_published(settings, since=date(2026, 11, 23)) as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (0,)
    with open_published(settings, since=date(2026, 11, 22), until=date(2026, 11, 22)) as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (18,)


@pytest.mark.slow
def test_the_command_lists_the_files_that_hold_each_row_once(two_loads, s3_client, capsys):
    settings = two_loads
    compact(settings)
    publish_plain(settings, s3_client, "later")

    def listed(*arguments: str) -> list[str]:
        assert main.main(["files", *arguments], settings=settings) == 0
        return capsys.readouterr().out.split()

    assert sorted(listed("images")) == sorted(files(settings))
    assert listed("images", "--since", "2026-11-23") == []
    with open_catalog(settings) as catalog:
        stored = opened(catalog, "images").io
        paths = [stored.new_input(uri) for uri in listed("images")]
        assert sum(pq.read_metadata(path.open()).num_rows for path in paths) == 3 * 6


@pytest.mark.slow
def test_published_loads_are_told_by_the_names_of_files_as_long_as_none_is_compacted(
    two_loads, s3_client, monkeypatch
):
    settings = two_loads
    load_ids = {*read_loads(settings).column("load_id").to_pylist()}
    with open_catalog(settings) as catalog, monkeypatch.context() as patch:
        patch.setattr("moderation.tables.faults.pq.ParquetFile", None)  # whoever opens a file fails
        assert known_load_ids(catalog) == load_ids
        assert known_load_ids(catalog, "dt >= '2999-01-01'") == set()
    compact(settings)
    load_ids.add(publish_plain(settings, s3_client, "later"))
    with open_catalog(settings) as catalog:
        assert known_load_ids(catalog) == load_ids


def test_a_publish_that_died_is_not_among_the_published_files(two_loads, s3_client, monkeypatch):
    settings = two_loads
    unfinished_run(settings, s3_client, monkeypatch, "added anomalies")
    with open_published(settings) as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (12,)


@pytest.mark.slow
@pytest.mark.parametrize(
    "folder",
    ["dt=2020-01-01/status=new"]
    + [pytest.param(name, marks=pytest.mark.long) for name in ("env=prod", "source=cameras")],
)
def test_folders_above_the_tables_that_are_named_like_a_column_change_no_value(
    local_settings, s3_client, tmp_path, folder
):
    settings = replace(local_settings, tables_uri=f"{tmp_path}/{folder}/tables")
    publish_plain(settings, s3_client, "run-a")
    truth = expected(settings)
    with open_published(settings) as connection:
        for name, table in truth.items():
            found = connection.table(name).to_arrow_table().cast(table.schema)
            assert rows(found) == rows(table), name


def test_before_the_first_publish_the_published_files_are_said_to_be_none(local_settings):
    with pytest.raises(WarehouseError, match="nothing was published yet"), open_published(local_settings):
        pass


def test_files_are_merged_to_the_size_asked_for_however_many_rows_that_takes(of_two_loads, monkeypatch):
    """A load's own files end at a number of rows; rows of labels are so small that these would stay small."""
    settings = of_two_loads
    monkeypatch.setattr(writer, "MAX_FILE_ROWS", 4)
    before = contents(settings)
    assert {table.table: table.written for table in compact(settings)}["labels_l3"] == 1
    assert len(files(settings, "labels_l3")) == 1
    assert contents(settings) == before


def test_a_damaged_file_stops_the_compaction_and_names_the_remedy(of_two_loads):
    settings = of_two_loads
    local_path(files(settings)[0]).write_bytes(b"PAR1 no more")
    with pytest.raises(TablesDamagedError, match=r"images.*\.parquet cannot be read: .*moderation rebuild"):
        compact(settings)
    assert len(files(settings)) == 2


def test_two_compactions_at_once_are_kept_apart(of_two_loads):
    settings = of_two_loads
    with compaction.maintenance(settings, "first"), pytest.raises(compaction.lease.LeaseBusy, match="first"):
        compact(settings)


def test_before_the_first_publish_there_is_nothing_to_compact(local_settings):
    settings = local_settings
    assert all(table.merged == table.removed == 0 for table in compact(settings))
    assert read_loads(settings).num_rows == 0


@pytest.mark.slow
def test_the_probe_of_a_doctor_that_was_killed_goes_when_it_is_old(local_settings, s3_client):
    settings = local_settings
    probes = [probe.new_uri(settings.work_uri) for _ in range(2)]
    for uri in probes:
        s3_objects.put(s3_client, uri, probe.BODY)
    compact(settings)
    assert all(s3_objects.exists(s3_client, uri) for uri in probes)
    compact(settings, orphan_age=timedelta(seconds=-60))
    assert not any(s3_objects.exists(s3_client, uri) for uri in probes)
