from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from moderation.cli import main
from moderation.policy.rules import PolicyError, parse_policy, read_policy
from moderation.publish.commit import publish
from moderation.query.replay import ReplayError, replay
from moderation.settings import Settings
from moderation.warehouses.duckdb import DuckDBWarehouse
from moderation.warehouses.reading import open_warehouse
from support.planned_runs import Run, answer, content_types, label, line, weapon_violence

POLICY = """
name = "strict"
[[rules]]
decision = "allow"
label = "Violence"
content_type = "illustrated"
[[rules]]
decision = "block"
label = "weapon violence"
min_confidence = 90
content_type = ["none"]
[[rules]]
decision = "review"
level = 1
"""

LABELS: list[list[dict[str, Any]]] = [
    [*weapon_violence(95.0), label("Smoking", "Drugs & Tobacco Paraphernalia & Use", 3, 70.0)],
    weapon_violence(80.0),
    weapon_violence(79.99999999999999),
    [label("Alcohol", "", 1, 60.0), label("Not In The Taxonomy", "", 1, 90.0)],
    [],
]
# What a run leaves of its own, which a replay cannot have.
OWN = {"load_id", "source_ref", "bucket", "key", "job_id", "manifest_id", "asked_min_confidence"}


def publish_at(settings: Settings, s3_client: Any, name: str, threshold: float) -> str:
    """The same pictures, answered with this MinConfidence."""
    run = Run(settings, s3_client, name=name)
    refs = [f"s3://archive/{name}/{n}.jpg" for n in range(len(LABELS) + 1)]
    kept = [[entry for entry in labels if entry["Confidence"] >= threshold] for labels in LABELS]
    drawn = content_types(Illustrated=60)
    bodies = [answer(labels, ContentTypes=drawn if n == 1 else []) for n, labels in enumerate(kept)]
    run.manifest(
        refs,
        b"\n".join(line(ref, body) for ref, body in zip(refs, bodies, strict=False)),
        min_confidence=threshold,
    )
    load_id = publish(settings, run.store(), run.records).load_id
    DuckDBWarehouse(settings).load(load_id)
    return load_id


def rows(relation: duckdb.DuckDBPyRelation, load_id: str) -> list[dict[str, Any]]:
    table = relation.to_arrow_table().to_pylist()
    return [
        {name: value for name, value in row.items() if name not in OWN}
        for row in sorted(table, key=lambda row: row["source_ref"])
        if row["load_id"] == load_id
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "threshold", [80.0, *(pytest.param(one, marks=pytest.mark.long) for one in (50.0, 99.5))]
)
def test_a_replay_gives_what_asking_with_that_min_confidence_gave(local_settings, s3_client, threshold):
    asked_low = publish_at(local_settings, s3_client, "low", 50.0)
    asked_high = publish_at(local_settings, s3_client, "high", threshold)
    with open_warehouse(local_settings.warehouse_path) as connection:
        found = replay(connection, min_confidence=threshold)
        assert rows(found, asked_low) == rows(found, asked_high)
        labels = "SELECT level, name, confidence FROM labels_at(?) WHERE load_id = ? ORDER BY ALL"
        replayed, answered = (
            connection.execute(labels, [threshold, load_id]).fetchall() for load_id in (asked_low, asked_high)
        )
        assert replayed == answered


def test_the_warehouse_itself_answers_by_threshold(local_settings, s3_client):
    publish_at(local_settings, s3_client, "low", 50.0)
    with duckdb.connect(str(local_settings.warehouse_path), read_only=True) as connection:
        sql = "SELECT sum(label_count), count(top_l1) FROM images_at(80)"
        assert connection.execute(sql).fetchone() == (7, 3)


@pytest.mark.slow
def test_what_was_asked_with_a_higher_threshold_is_told_apart_and_not_guessed(
    local_settings, s3_client, capsys
):
    publish_at(local_settings, s3_client, "high", 80.0)
    publish_at(local_settings, s3_client, "low", 50.0)
    with open_warehouse(local_settings.warehouse_path) as connection:
        found = replay(connection, min_confidence=60).filter("NOT is_answerable")
        assert {row[0] for row in found.project("asked_min_confidence").fetchall()} == {80.0}
    assert command(local_settings, "--min-confidence", "60") == 0
    said = capsys.readouterr().out
    assert "4 of 5 images have a label" in said
    assert "5 images were asked with a higher MinConfidence (up to 80)" in said  # the sixth has no answer


@pytest.mark.slow
@pytest.mark.parametrize("policy", [pytest.param(None, marks=pytest.mark.long), POLICY])
def test_an_image_that_was_moderated_again_counts_once_by_its_latest_answer_that_can_tell(
    local_settings, s3_client, tmp_path, capsys, policy
):
    """Asked with 50, again with 50 when a label was gone, then with 80: at 60 the second answer tells."""
    for name, threshold, labels in (
        ("20", 50.0, weapon_violence(90.0)),
        ("21", 50.0, []),
        ("22", 80.0, weapon_violence(90.0)),
    ):
        run = Run(local_settings, s3_client, name=name, force=True)
        completed = datetime(2026, 11, int(name), tzinfo=UTC)
        run.manifest(
            ["s3://archive/a.jpg"], line("s3://archive/a.jpg", answer(labels)), min_confidence=threshold
        )
        run.records = [replace(record, completed_at=completed) for record in run.records]
        DuckDBWarehouse(local_settings).load(publish(local_settings, run.store(), run.records).load_id)
    target = tmp_path / "all.parquet"
    arguments = ["--min-confidence", "60", "-o", str(target)]
    if policy is not None:
        (tmp_path / "strict.toml").write_text(policy)
        arguments += ["--policy", str(tmp_path / "strict.toml")]
    assert command(local_settings, *arguments) == 0
    said = capsys.readouterr().out
    assert ("0 of 1 images have a label" if policy is None else "1 allow, 0 review, 0 block") in said
    assert "higher MinConfidence" not in said
    assert pq.read_metadata(target).num_rows == 3  # every answer is in the file


def test_a_policy_decides_by_label_level_confidence_and_content_type(
    local_settings, s3_client, tmp_path, capsys
):
    publish_at(local_settings, s3_client, "low", 50.0)
    policy = tmp_path / "strict.toml"
    policy.write_text(POLICY)
    target = tmp_path / "decisions.parquet"
    arguments = ("--min-confidence", "80", "--policy", str(policy), "--output", str(target))
    assert command(local_settings, *arguments) == 0
    assert "Policy strict at MinConfidence 80: 3 allow, 1 review, 1 block" in capsys.readouterr().out
    found = sorted(pq.read_table(target).to_pylist(), key=lambda row: row["source_ref"])
    assert [(row["decision"], row["rule"]) for row in found] == [
        ("block", 2),  # the severest of its labels, not the first
        ("allow", 1),  # drawn
        ("allow", None),  # below the threshold
        ("review", 3),  # an unknown label is a label of its level
        ("allow", None),  # no labels: the default
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"p.toml: expected at least one \[\[rules\]\]"),
        ("[[rules]]\nlabel = 'Violence'", "rule 1: decision is missing; expected one of allow"),
        ("[[rules]]\ndecision = 'ban'", "rule 1: decision: expected one of allow, review, block, not 'ban'"),
        ("default = 'no'\n[[rules]]\ndecision = 'block'", "default: expected one of"),
        ("[[rules]]\ndecision = 'block'\nlable = 'Violence'", "unknown key 'lable'; did you mean 'label'"),
        ("[[rules]]\ndecision = 'block'\nlabel = 'Weapon'", "taxonomy 7.0; did you mean 'Weapons'"),
        ("[[rules]]\ndecision = 'block'\nlabel = 'Weapons'\nlevel = 3", "Weapons is at level 2, so"),
        ("[[rules]]\ndecision = 'block'\nlevel = 4", "level: expected 1, 2 or 3, not 4"),
        ("[[rules]]\ndecision = 'block'\nlevel = true", "level: expected 1, 2 or 3, not True"),
        ("[[rules]]\ndecision = 'block'\nmin_confidence = 101", "expected a number from 0 to 100, not 101"),
        ("[[rules]]\ndecision = 'block'\nmin_confidence = nan", "expected a number from 0 to 100, not nan"),
        ("[[rules]]\ndecision = 'block'\ncontent_type = 'drawn'", "content_type: expected some of none"),
        ("[[rules]]\ndecision = 'block'\ncontent_type = []", "an empty list meets nothing"),
        ("[[rules]\n", "is not TOML: .*line 1"),
    ],
)  # fmt: skip
def test_a_policy_file_that_cannot_be_meant_is_refused_with_its_place(tmp_path, text, message):
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(PolicyError, match=message):
        read_policy(path)


def test_a_policy_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PolicyError, match=r"none.toml: cannot be read"):
        read_policy(tmp_path / "none.toml")


def test_a_policy_without_a_name_is_named_like_its_file():
    assert parse_policy({"rules": [{"decision": "block"}]}, where="x/strict.toml").name == "strict"


def test_a_threshold_that_is_none_and_a_missing_warehouse_are_errors(local_settings, s3_client, capsys):
    assert command(local_settings, "--min-confidence", "80") == 2
    assert "no such warehouse" in capsys.readouterr().err
    publish_at(local_settings, s3_client, "low", 50.0)
    with open_warehouse(local_settings.warehouse_path) as connection, pytest.raises(ReplayError, match="150"):
        replay(connection, min_confidence=150)


def command(settings: Settings, *arguments: str) -> int:
    return main.main(["replay", *arguments], settings=settings)


def test_a_label_of_model_6_1_is_met_by_its_name_in_7_0(local_settings, s3_client, tmp_path: Path):
    run = Run(local_settings, s3_client, name="old")
    labels = [label("Weapon Violence", "Violence", None, 90.0), label("Violence", "", None, 90.0)]
    refs = ["s3://archive/old.jpg"]
    run.manifest(refs, line(refs[0], answer(labels, model="6.1")), model_version="6.1")
    DuckDBWarehouse(local_settings).load(publish(local_settings, run.store(), run.records).load_id)
    rule = {"decision": "block", "label": "Weapon Violence", "level": 3}
    for content, decision in ((rule, "allow"), (rule | {"level": None}, "block")):
        kept = {name: value for name, value in content.items() if value is not None}
        policy = parse_policy({"rules": [kept]}, where="p")
        with open_warehouse(local_settings.warehouse_path) as connection:
            found = replay(connection, min_confidence=50, policy=policy)
            assert found.project("decision").fetchall() == [(decision,)]
