"""Who reads a warehouse is told what of all that is published it lacks."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from moderation import stages
from moderation.cli import main
from moderation.errors import WarehouseError
from moderation.settings import Settings
from moderation.storage import s3_objects
from support.planned_runs import Run, answer, line, weapon_violence
from support.published_loads import publish_plain
from support.put_back import MadeOnce
from support.table_fixtures import local_settings

__all__ = ["local_settings"]  # a fixture

LINE = "the warehouse lacks 1 of 2 published loads: moderation load\n"


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    return MadeOnce(tmp_path_factory.mktemp("behind"))


@pytest.fixture
def behind(made_once: MadeOnce, bucket: str, aws_env: Any, s3_client: Any) -> Settings:
    """A warehouse that was set back to a copy of before the second load."""

    def make(settings: Settings) -> None:
        publish_plain(settings, s3_client, "first", images=2)
        stages.load(settings=settings)
        before = settings.warehouse_path.read_bytes()
        publish_plain(settings, s3_client, "second", images=2)
        stages.load(settings=settings)
        settings.warehouse_path.write_bytes(before)

    return made_once.get(s3_client, bucket, make).settings


@pytest.mark.slow
def test_queries_replays_and_pages_say_it_until_all_is_brought_in(behind, capsys, tmp_path):
    asked = (
        ["query", "top_l3"],
        ["replay", "--min-confidence", "80"],
        ["report-page", "--folder", str(tmp_path / "pages")],
    )
    for arguments in asked:
        assert main.main(arguments, settings=behind) == 0
        assert capsys.readouterr().err == LINE
    assert "lacks 1 of 2 published loads" in (tmp_path / "pages" / "index.html").read_text()

    assert main.main(["load"], settings=behind) == 0

    for arguments in asked:
        assert main.main(arguments, settings=behind) == 0
        assert capsys.readouterr().err == ""
    assert "lacks" not in (tmp_path / "pages" / "index.html").read_text()


def test_loads_of_another_install_are_told_of(local_settings, s3_client, capsys):
    publish_plain(local_settings, s3_client, "first", images=2)
    stages.load(settings=local_settings)
    with duckdb.connect(str(local_settings.warehouse_path)) as connection:
        connection.execute("INSERT INTO loads BY NAME SELECT 'theirs' AS load_id")

    assert main.main(["query", "select 1"], settings=local_settings) == 0
    assert "not published here, of another install" in capsys.readouterr().err


@pytest.mark.slow
def test_a_load_of_which_rows_were_deleted_counts_as_lacking(local_settings, s3_client, capsys):
    for name in ("first", "second"):
        publish_plain(local_settings, s3_client, name, images=2)
    stages.load(settings=local_settings)
    with duckdb.connect(str(local_settings.warehouse_path)) as connection:
        connection.execute("DELETE FROM images WHERE load_id = (SELECT min(load_id) FROM loads)")

    assert main.main(["query", "select 1"], settings=local_settings) == 0
    assert capsys.readouterr().err == LINE


@pytest.mark.slow
def test_a_load_that_failed_because_somebody_held_the_file_is_told_of(local_settings, s3_client, capsys):
    for name in ("first", "second"):
        publish_plain(local_settings, s3_client, name, images=2)
        if name == "first":
            stages.load(settings=local_settings)
    held = local_settings.warehouse_path.read_bytes()
    local_settings.warehouse_path.write_bytes(b"held, or damaged")
    with pytest.raises(WarehouseError):
        stages.load(settings=local_settings)
    local_settings.warehouse_path.write_bytes(held)

    assert main.main(["query", "select 1"], settings=local_settings) == 0
    assert capsys.readouterr().err == LINE


@pytest.mark.slow
def test_a_load_that_nobody_began_to_bring_in_is_told_of_by_its_publish(local_settings, s3_client, capsys):
    publish_plain(local_settings, s3_client, "first", images=2)
    stages.load(settings=local_settings)
    run = Run(local_settings, s3_client, name="second")
    ref = "s3://archive/second/a.jpg"
    run.manifest([ref], line(ref, answer(weapon_violence(90.0))))
    plan = run.store()
    for record in run.records:
        s3_objects.put(s3_client, plan.analysis_record_uri(record.manifest_id), record.to_json())

    stages.publish(plan.uri, [], describe_job=_no_job, list_jobs=_no_jobs, settings=local_settings)

    assert main.main(["query", "select 1"], settings=local_settings) == 0
    assert capsys.readouterr().err == LINE


def _no_job(job_id: str) -> dict[str, Any]:
    raise AssertionError(job_id)


def _no_jobs(*_: Any) -> list[Any]:
    return []


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"load_ids": 1, "checksum": "x"}'])
def test_a_note_that_is_lost_or_damaged_is_no_error_and_written_anew(behind, capsys, content):
    (note,) = behind.warehouse_path.parent.glob(".*.published.json")
    note.unlink()
    if content is not None:
        note.write_bytes(content)
    assert main.main(["query", "select 1"], settings=behind) == 0
    assert capsys.readouterr().err == ""
    stages.load(settings=behind)
    with duckdb.connect(str(behind.warehouse_path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM loads").fetchone() == (2,)
    assert note.stat().st_mode & 0o077 == 0
