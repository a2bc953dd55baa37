"""A catalog or a table that has lost what was published is noticed before anything is paid for again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from moderation import stages
from moderation.cli import main
from moderation.maintenance.rebuild import rebuild
from moderation.publish.commit import publish
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables import register
from moderation.tables.history import HistoryLostError, prove_history
from support import planned_runs
from support.planned_runs import Run, answer, line, weapon_violence

Damage = Callable[[Path], object]


@pytest.fixture
def settings(tmp_path: Path, bucket: str, aws_env: pytest.MonkeyPatch) -> Settings:
    return planned_runs.make_settings(tmp_path, bucket, tables="local")


@pytest.fixture
def loads(settings: Settings, s3_client: Any, bucket: str) -> list[str]:
    """Two published loads of two images each."""
    published = []
    for name in ("first", "second"):
        run = Run(settings, s3_client, name)
        refs = [f"s3://{bucket}/{name}-{number}.jpg" for number in range(2)]
        run.manifest(refs, b"\n".join(line(ref, answer(weapon_violence(60.0))) for ref in refs))
        plan = run.store()
        for record in run.records:
            s3_objects.put(s3_client, plan.analysis_record_uri(record.manifest_id), record.to_json())
        published.append(publish(settings, plan, run.records).load_id)
    return published


def catalog_file(settings: Settings) -> Path:
    return Path(settings.catalog_uri.removeprefix("sqlite:///"))


def edited(statement: str) -> Damage:
    def edit(path: Path) -> None:
        with sqlite3.connect(path) as database:
            assert database.execute(statement).rowcount == 1
        database.close()

    return edit


def set_back(table: str) -> Damage:
    return edited(
        "UPDATE iceberg_tables SET metadata_location = previous_metadata_location "
        f"WHERE table_name = '{table}'"
    )


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(Path.unlink, id="deleted"),
        pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
        pytest.param(edited("DELETE FROM iceberg_tables WHERE table_name = 'loads'"), id="loads forgotten"),
        pytest.param(
            edited("DELETE FROM iceberg_tables WHERE table_name = 'images'"),
            id="images forgotten",
            marks=pytest.mark.long,
        ),
        pytest.param(set_back("loads"), id="loads set back", marks=pytest.mark.long),
        pytest.param(set_back("images"), id="images set back"),
        pytest.param(set_back("labels_l2"), id="labels set back"),
        pytest.param(edited("DELETE FROM iceberg_tables WHERE table_name = 'jobs'"), id="jobs forgotten"),
    ],
)
def test_a_catalog_that_knows_less_stops_the_run_and_a_rebuild_mends_it(
    settings: Settings, s3_client: Any, loads: list[str], damage: Damage
) -> None:
    prove_history(settings, s3=s3_client)
    damage(catalog_file(settings))
    run = stages.Run("dag", "next", datetime(2026, 6, 1, tzinfo=UTC))
    with pytest.raises(HistoryLostError, match="rebuild"):
        stages.discover(run, source="s3://nowhere/", settings=settings)
    rebuild(settings)
    prove_history(settings, s3=s3_client)


def test_another_catalog_than_the_one_published_to_is_named(
    settings: Settings, s3_client: Any, loads: list[str], tmp_path: Path
) -> None:
    wrong = replace(settings, catalog_uri=f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(HistoryLostError, match=r"0 of 2 published loads.*MODERATION_CATALOG_URI"):
        prove_history(wrong, s3=s3_client)


def test_loads_from_before_there_was_a_register_count_as_well(
    settings: Settings, s3_client: Any, loads: list[str], bucket: str
) -> None:
    for entry in list(s3_objects.list_objects(s3_client, f"{settings.work_uri}/published/")):
        s3_client.delete_object(Bucket=bucket, Key=entry["Key"])
    catalog_file(settings).unlink()
    with pytest.raises(HistoryLostError, match="0 of 2"):
        prove_history(settings, s3=s3_client)
    assert register.load_ids(s3_client, settings) == set(loads)


def test_a_first_run_has_no_history_to_lose_and_a_dry_run_begins_none(
    settings: Settings, s3_client: Any
) -> None:
    prove_history(settings, s3=s3_client, remember=False)
    assert register.load_ids(s3_client, settings) is None
    prove_history(settings, s3=s3_client)
    assert register.load_ids(s3_client, settings) == set()


def test_a_publish_into_a_catalog_that_lost_the_others_stops_before_it_shows_a_part(
    settings: Settings, s3_client: Any, loads: list[str], bucket: str
) -> None:
    prove_history(settings, s3=s3_client)
    run = Run(settings, s3_client, "third")
    run.manifest([f"s3://{bucket}/third.jpg"], line(f"s3://{bucket}/third.jpg", answer()))
    plan = run.store()
    catalog_file(settings).unlink()
    with pytest.raises(HistoryLostError):
        stages.publish(plan.uri, [], describe_job=lambda _: {}, list_jobs=lambda _: [], settings=settings)


def test_who_reads_published_files_is_told_what_the_catalog_has_lost(
    settings: Settings, loads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (["query", "--published", "SELECT count(*) AS n FROM labels_l2"], ["files", "labels_l2"])
    for command in asked:
        assert main.main(command, settings=settings) == 0
        assert "has lost" not in capsys.readouterr().err
    set_back("labels_l2")(catalog_file(settings))
    for command in asked:
        assert main.main(command, settings=settings) == 0
        assert "the table labels_l2 has lost 2 rows" in capsys.readouterr().err
