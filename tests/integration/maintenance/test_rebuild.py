from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from moderation import schema
from moderation.cli import main
from moderation.maintenance import rebuild
from moderation.maintenance.compaction import compact
from moderation.maintenance.rebuild import RebuildError, other_tables
from moderation.publish import raw_answers
from moderation.publish.commit import publish
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.files import Storage, local_path
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.published import read_loads
from moderation.tables.swap import data_files
from support.killed import killed_at
from support.planned_runs import Run, answer, line, weapon_violence
from support.published_loads import expected, rows
from support.put_back import MadeOnce


def publish_run(settings: Settings, s3_client: Any, name: str, *, etag: str = "e1") -> Run:
    """A load whose job records are kept, as the publish stage leaves them; one image is in every load."""
    run = Run(settings, s3_client, name=name, created_at=datetime.now(UTC))
    refs = ["s3://archive/shared.jpg", *(f"s3://archive/{name}/{n}.jpg" for n in range(3))]
    lines = [line(ref, answer(weapon_violence(60.0 + n))) for n, ref in enumerate(refs)]
    run.manifest(refs, b"\n".join(lines), etag=etag)
    run.reject([f"s3://archive/{name}/x.webp"], "InvalidImageFormat")
    plan = run.store()
    for record in run.records:
        bucket, _, key = plan.analysis_record_uri(record.manifest_id).removeprefix("s3://").partition("/")
        s3_client.put_object(Bucket=bucket, Key=key, Body=record.to_json())
    return run


def two_loads(settings: Settings, s3_client: Any) -> list[Run]:
    """Both are planned before either is published: the second leaves out what the first answered."""
    runs = [publish_run(settings, s3_client, name) for name in ("first", "second")]
    for run in runs:
        publish(settings, run.store(), run.records)
    return runs


@pytest.fixture(scope="module")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    return MadeOnce(tmp_path_factory.mktemp("two-loads"))


@pytest.fixture
def of_two_loads(published_once: MadeOnce, s3_client: Any, bucket: str, aws_env: Any) -> Settings:
    """Tables on a disk with what `two_loads` publishes, as it was published."""
    return published_once.get(s3_client, bucket, lambda settings: two_loads(settings, s3_client)).settings


def contents(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    return {name: rows(table) for name, table in expected(settings).items()}


def bodies(settings: Settings) -> dict[str, bytes]:
    """Every data file of the current snapshots, below the tables' root."""
    found = {}
    with open_catalog(settings) as catalog, Storage(settings) as storage:
        for name, spec in schema.TABLES.items():
            table = load_table(catalog, spec)
            assert table is not None
            for file in data_files(table) if spec is not schema.LOADS else ():
                found[f"{name}/{file.file_path.rpartition(f'/{name}/')[2]}"] = storage.read(file.file_path)
    return found


@pytest.mark.slow
def test_tables_rebuilt_elsewhere_have_the_same_rows_and_the_same_bytes(settings, s3_client, tmp_path):
    two_loads(settings, s3_client)
    target = other_tables(settings, str(tmp_path / "again"), None)
    done = rebuild.rebuild(settings, into=target)
    assert [(load.rows > 0, load.is_proven, load.is_same_digest) for load in done] == [(True, True, True)] * 2
    assert contents(target) == contents(settings)
    assert bodies(target) == bodies(settings)
    assert read_loads(target).column("superseded").to_pylist() == [0, 1]


def test_in_place_nothing_is_written_when_the_tables_are_as_they_should_be(of_two_loads):
    settings = of_two_loads
    before = bodies(settings)
    with open_catalog(settings) as catalog:

        def snapshots() -> list[Any]:
            tables = [load_table(catalog, spec) for spec in schema.TABLES.values()]
            return [table.current_snapshot() for table in tables if table is not None]

        there = snapshots()
        rebuild.rebuild(settings)
        assert snapshots() == there
    assert bodies(settings) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "harm",
    [
        "deleted",
        "catalog lost",
        *(pytest.param(harm, marks=pytest.mark.long) for harm in ("damaged", "compacted")),
    ],
)
def test_in_place_whatever_was_lost_comes_back(of_two_loads, harm):
    settings = of_two_loads
    before, truth = bodies(settings), contents(settings)
    victim = next(local_path(settings.tables_uri).rglob("labels_l3/**/*.parquet"))
    if harm == "deleted":
        victim.unlink()
    elif harm == "damaged":
        victim.write_bytes(b"no Parquet")
    elif harm == "compacted":
        compact(settings)
    else:
        local_path(settings.catalog_uri.removeprefix("sqlite:///")).unlink()
    done = rebuild.rebuild(settings)
    found = contents(settings)
    if harm == "catalog lost":
        assert not any(load.is_proven for load in done)
        found["loads"] = truth["loads"]  # the markers tell the time of the publish, to the second or so
        assert read_loads(settings).num_rows == 2
    assert found == truth
    assert sorted(bodies(settings).values()) == sorted(before.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [
        "switched images",
        *(
            pytest.param(step, marks=pytest.mark.long)
            for step in ("built", "switched labels_l3", "switched loads")
        ),
    ],
)
def test_killed_at_any_step_readers_see_the_same_rows_and_a_rerun_finishes(of_two_loads, step):
    settings = of_two_loads
    compact(settings)
    truth = contents(settings)
    is_last = step == "switched loads"  # on the way there all other steps are passed

    def look(_: str) -> None:
        assert not is_last or contents(settings) == truth

    with killed_at(step, rebuild, at_each=look):
        rebuild.rebuild(settings)
    assert contents(settings) == truth
    rebuild.rebuild(settings)
    assert contents(settings) == truth


@pytest.mark.slow
def test_a_load_published_during_the_rebuild_stays(of_two_loads, s3_client, monkeypatch):
    settings = of_two_loads
    compact(settings)
    late = publish_run(settings, s3_client, "late", etag="e2")

    def interfere(step: str) -> None:
        if step == "switched images":
            publish(settings, late.store(), late.records)

    monkeypatch.setattr(rebuild, "reached", interfere)
    rebuild.rebuild(settings)
    found = expected(settings)
    assert found["loads"].num_rows == 3
    assert found["images"].column("load_id").to_pylist().count(late.load_id) == 5


def at_twice_the_price(settings: Settings) -> Settings:
    tiers = [replace(tier, usd_per_image=tier.usd_per_image * 2) for tier in settings.price_tiers]
    return replace(settings, price_tiers=tuple(tiers))


@pytest.mark.slow
def test_a_price_list_that_changes_over_the_years_leaves_what_loads_have_cost(
    local_settings, s3_client, tmp_path
):
    dearer = at_twice_the_price(local_settings)
    publish(local_settings, (first := publish_run(local_settings, s3_client, "first")).store(), first.records)
    publish(dearer, (second := publish_run(dearer, s3_client, "second")).store(), second.records)
    truth = contents(dearer)
    target = other_tables(dearer, str(tmp_path / "again"), None)
    for settings in (dearer, at_twice_the_price(dearer)):
        assert [load.is_proven for load in rebuild.rebuild(settings)] == [True, True]
        assert contents(settings) == truth
    rebuild.rebuild(dearer, into=target)
    assert contents(target) == truth
    assert bodies(target) == bodies(dearer)


@pytest.mark.parametrize(
    "harm",
    ["answers", "plan", *(pytest.param(harm, marks=pytest.mark.long) for harm in ("inputs", "prices"))],
)
def test_answers_that_changed_since_are_named_and_nothing_is_switched(
    of_two_loads, published_once, s3_client, harm
):
    settings, run = of_two_loads, replace(published_once.made[0], s3=s3_client)
    truth = contents(settings)
    plan = run.store()
    message = {
        "answers": rf"load {run.load_id}: the kept answers give moderated 0 instead of 4",
        "inputs": "was changed after it was planned",
        "plan": rf"no plan of load {run.load_id}",
        "prices": "MODERATION_PRICE_TIERS",
    }[harm]
    uri = {"answers": run.records[0].results_uri, "inputs": plan.inputs_uri, "plan": plan.uri}.get(harm)
    if harm == "prices":
        settings = at_twice_the_price(settings)
        for jobs in local_path(settings.tables_uri).rglob("jobs/**/*.parquet"):
            jobs.unlink()
    else:
        s3_objects.delete(s3_client, str(uri))
        if harm != "plan":
            s3_objects.put(s3_client, str(uri), b"{}\n")
        # A load of an earlier release has no note of what its answers were: the counts tell.
        s3_objects.delete(s3_client, raw_answers.uri_of(plan))
    with pytest.raises(RebuildError, match=message):
        rebuild.rebuild(settings)
    if harm != "prices":
        assert contents(settings) == truth


@pytest.mark.slow
def test_the_command_says_what_it_proved(of_two_loads, tmp_path, capsys):
    settings = of_two_loads

    def command(*arguments: str) -> int:
        return main.main(arguments, settings=settings)

    assert command("rebuild", "--into", str(tmp_path / "again")) == 0
    assert capsys.readouterr().out.count("counts and digest agree") == 2
    assert command("rebuild", "--into", settings.tables_uri) == 2
    assert "leave it out" in capsys.readouterr().err
    assert command("compact", "--json") == 0
    assert '"merged": 2' in capsys.readouterr().out


def test_before_the_first_publish_there_is_nothing_to_rebuild(local_settings):
    assert rebuild.rebuild(local_settings) == []


def test_tables_in_s3_get_a_catalog_beside_the_one_in_use(local_settings):
    other = other_tables(local_settings, "s3://elsewhere/tables", None)
    assert other.catalog_uri != local_settings.catalog_uri
    assert (
        Path(other.catalog_uri.removeprefix("sqlite:///")).parent
        == Path(local_settings.catalog_uri.removeprefix("sqlite:///")).parent
    )
    with pytest.raises(RebuildError, match="--catalog"):
        other_tables(replace(local_settings, catalog_uri="glue"), "s3://elsewhere/tables", None)
