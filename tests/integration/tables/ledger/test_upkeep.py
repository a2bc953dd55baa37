"""The ledger says of every image what the tables say, whatever happened to it, and is never ahead of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from moderation.cli.main import main
from moderation.maintenance.compaction import compact
from moderation.publish.commit import publish
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.ledger import known, upkeep
from moderation.tables.ledger.layout import COLUMNS, Index, part_uri, read_index, rows_in
from moderation.tables.published import published_images
from moderation.tables.source_ref_ranges import range_of
from support import planned_runs
from support.planned_runs import Run, answer, line


class Killed(BaseException):
    """Stands for kill -9."""


@pytest.fixture
def settings(tmp_path: Path, bucket: str, aws_env: pytest.MonkeyPatch) -> Settings:
    return planned_runs.make_settings(tmp_path, bucket, tables="local")


@pytest.fixture
def load(settings: Settings, s3_client: Any, bucket: str) -> Any:
    """Publishes a load of two images under its name."""

    def load(name: str) -> str:
        run = Run(settings, s3_client, name)
        refs = [f"s3://{bucket}/{name}-{number}.jpg" for number in range(2)]
        run.manifest(refs, b"\n".join(line(ref, answer()) for ref in refs))
        plan = run.store()
        for record in run.records:
            s3_objects.put(s3_client, plan.analysis_record_uri(record.manifest_id), record.to_json())
        return publish(settings, plan, run.records).load_id

    return load


def told(settings: Settings, names: pa.ChunkedArray) -> set[tuple[Any, ...]]:
    between = range_of(names)
    batches = known.stream_known(settings, COLUMNS, between=between, names=names)
    return {tuple(row.values()) for batch in batches for row in batch.to_pylist()}


def assert_as_the_tables(settings: Settings) -> None:
    rows = published_images(settings, COLUMNS)
    names = pa.chunked_array([*rows["source_ref"].chunks, pa.array(["s3://never/asked.jpg"])])
    assert told(settings, names) == {tuple(row.values()) for row in rows.to_pylist()}
    one = rows["source_ref"].slice(1, 1)
    assert {row[0] for row in told(settings, one)} == {one[0].as_py()}


def in_s3(settings: Settings, s3: Any) -> list[str]:
    bucket = s3_objects.split_uri(settings.work_uri).bucket
    entries = s3_objects.list_objects(s3, part_uri(settings, ""))
    return [f"s3://{bucket}/{entry['Key']}" for entry in entries]


@pytest.mark.slow
def test_what_it_lacks_is_read_from_the_tables_and_nothing_else_is(
    settings: Settings, load: Any, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    load("first")
    assert_as_the_tables(settings)  # there is no ledger yet
    assert upkeep.bring_up(settings).added == 2
    later = load("second")
    assert_as_the_tables(settings)
    asked = []
    real = known.scan
    monkeypatch.setattr(
        known, "scan", lambda *args, **given: asked.append(given["load_ids"]) or real(*args, **given)
    )
    assert_as_the_tables(settings)
    assert asked == [{later}, {later}]
    names = published_images(settings, COLUMNS)["source_ref"]
    rows = pa.Table.from_batches(list(known.stream_known(settings, COLUMNS, names=names)))
    assert len(rows) == 4  # of both, as one table
    assert upkeep.bring_up(settings).added == 2
    asked.clear()
    assert_as_the_tables(settings)
    assert asked == []
    assert upkeep.bring_up(settings).written == 0
    assert read_index(s3_client, settings).entries == 4


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(s3_objects.delete, id="deleted"),
        pytest.param(lambda s3, uri: s3_objects.put(s3, uri, b""), id="emptied", marks=pytest.mark.long),
        pytest.param(
            lambda s3, uri: s3_objects.put(
                s3, uri, bytes([(body := s3_objects.read(s3, uri).body)[0] ^ 1]) + body[1:]
            ),
            id="first bit",
            marks=pytest.mark.long,
        ),
        pytest.param(
            lambda s3, uri: s3_objects.put(
                s3,
                uri,
                (body := s3_objects.read(s3, uri).body)[: (at := len(body) // 3)]
                + bytes([body[at] ^ 1])
                + body[at + 1 :],
            ),
            id="bit within",
        ),
    ],
)
@pytest.mark.parametrize("which", ["index", "part"])
def test_a_damaged_ledger_is_noticed_and_made_anew(
    settings: Settings, load: Any, s3_client: Any, damage: Any, which: str
) -> None:
    load("first")
    upkeep.bring_up(settings)
    for uri in in_s3(settings, s3_client):
        if uri.endswith("index.json") == (which == "index"):
            damage(s3_client, uri)
    assert_as_the_tables(settings)
    upkeep.bring_up(settings)
    assert read_index(s3_client, settings).entries == 2
    assert_as_the_tables(settings)


@pytest.mark.parametrize("step", ["written", "merged", "named"])
def test_an_update_that_is_killed_leaves_what_was_before_and_is_made_up_for(
    settings: Settings, load: Any, s3_client: Any, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "FAN_IN", 2)
    load("first")
    upkeep.bring_up(settings)
    load("second")

    def die(reached: str) -> None:
        if reached == step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "reached", die)
        with pytest.raises(Killed):
            upkeep.bring_up(settings)
    assert_as_the_tables(settings)
    upkeep.bring_up(settings)
    index = read_index(s3_client, settings)
    assert (index.entries, len(index.runs), index.written) == (4, 1, 8)
    assert_as_the_tables(settings)
    upkeep.tidy(settings, age=upkeep.UNNAMED_AGE * 0)
    assert len(in_s3(settings, s3_client)) == 1 + sum(map(len, index.runs))


def test_of_two_updates_at_once_one_gives_way_and_nothing_counts_twice(
    settings: Settings, load: Any, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    load("first")
    met = []

    def meet(step: str) -> None:
        if step == "written" and not met:
            met.append(step)
            upkeep.bring_up(settings)

    monkeypatch.setattr(upkeep, "reached", meet)
    upkeep.bring_up(settings)
    assert met
    assert read_index(s3_client, settings).entries == 2


def test_loads_that_are_not_published_make_a_ledger_count_for_nothing(
    settings: Settings, load: Any, s3_client: Any, tmp_path: Path
) -> None:
    load("first")
    catalog = Path(settings.catalog_uri.removeprefix("sqlite:///"))
    before = catalog.read_bytes()
    load("second")
    upkeep.bring_up(settings)
    catalog.write_bytes(before)
    assert_as_the_tables(settings)
    upkeep.bring_up(settings)
    assert read_index(s3_client, settings).entries == 2


@pytest.mark.slow
def test_a_compaction_merges_it_and_changes_no_answer(
    settings: Settings, load: Any, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "FAN_IN", 2)
    monkeypatch.setattr(upkeep, "ROWS_BESIDE_A_RUN", 0)
    for name in ("first", "second"):
        load(name)
        upkeep.bring_up(settings, most_rows=0)
    assert len(read_index(s3_client, settings).runs) == 2
    compact(settings)
    index: Index = read_index(s3_client, settings)
    assert [rows_in(run) for run in index.runs] == [4]
    assert_as_the_tables(settings)


def test_a_plan_under_way_goes_on_when_its_runs_are_merged_and_deleted(
    settings: Settings, load: Any, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        load(name)
        upkeep.bring_up(settings)
    rows = published_images(settings, COLUMNS)
    with known.stream_known.begin(settings) as begun:
        monkeypatch.setattr(upkeep, "FAN_IN", 2)
        load("third")
        upkeep.bring_up(settings, most_rows=None)
        upkeep.tidy(settings, age=upkeep.UNNAMED_AGE * 0)
        found = pa.Table.from_batches(begun(settings, COLUMNS, names=rows["source_ref"]))
    assert found.sort_by("source_ref").to_pylist() == rows.sort_by("source_ref").to_pylist()
    assert len(read_index(s3_client, settings).loads) == 3


def test_its_command_brings_it_up_and_makes_it_anew(
    settings: Settings,
    load: Any,
    s3_client: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Settings, "from_env", classmethod(lambda cls: settings))

    def told_by(*options: str) -> dict[str, int]:
        capsys.readouterr()
        assert main(["ledger", "--json", *options]) == 0
        counts: dict[str, int] = json.loads(capsys.readouterr().out)
        return {name: counts[name] for name in ("entries", "runs", "loads", "added", "written")}

    load("first")
    load("second")
    made = {"entries": 4, "runs": 1, "loads": 2, "added": 4, "written": 4}
    assert told_by() == made
    assert told_by() == {**made, "added": 0, "written": 0}
    before = read_index(s3_client, settings).runs
    assert told_by("--rebuild") == made
    index = read_index(s3_client, settings)
    assert index.runs != before
    assert main(["ledger"]) == 0
    assert capsys.readouterr().out.startswith("4 entries of 2 loads in 1 runs")
    uri = part_uri(settings, index.files[0].name)
    body = bytearray(s3_objects.read(s3_client, uri).body)
    body[len(body) // 3] ^= 1
    s3_objects.put(s3_client, uri, bytes(body))
    assert main(["ledger"]) == 0
    told = capsys.readouterr().out
    assert uri in told
    assert "the ledger is made anew" in told
    assert told_by() == {**made, "added": 0, "written": 0}
    assert_as_the_tables(settings)
