"""What shadows answered, in a table that may lose its files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moderation.adapters import erasure, registry
from moderation.adapters.registry import Version
from moderation.adapters.shadow import answers, budget, sample
from moderation.analyse.detect.budget import FixedBudget
from moderation.analyse.detect.request import DetectOptions
from moderation.maintenance import standing
from moderation.maintenance.rebuild import other_tables, rebuild
from moderation.maintenance.shadow_answers import forget_in_shadows
from moderation.publish.adapters import publish_adapters
from moderation.publish.shadow_answers import publish_shadow
from moderation.publish.standing import StandingGoneError, open_standing
from moderation.schema import TableSpec
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.standing import ADAPTERS, SHADOW_ANSWERS
from support import rekognition_server as offline
from support.judged import publish_judged
from support.planned_runs import make_settings

ARN = "arn:aws:rekognition:us-east-1:123456789012:project/p/version/v/1700000000000"


@pytest.fixture
def settings(
    aws_env: pytest.MonkeyPatch, bucket: str, tmp_path: Path, s3_client: Any, rekognition_server: Any
) -> Iterator[Settings]:
    """A shadow of six images, answered and published."""
    offline.local(rekognition_server, "/adapters", method="PUT", body={ARN: "TRAINING_COMPLETED"})
    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", rekognition_server.endpoint_url)
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    aws_env.setenv("MODERATION_SPOOL_DIR", str(tmp_path / "spool"))
    made = dataclasses.replace(make_settings(tmp_path, bucket, tables="local"), region="us-east-1")
    publish_judged(made, s3_client, bucket, red=1, images=6)
    shadow = sample.prepare(made, ARN, images=6, max_cost_usd=1.0, name="s")
    options = DetectOptions(max_in_flight=budget.IN_FLIGHT)
    assert answers.ask(made, shadow, options=options, budget=FixedBudget(1000.0), quota=1000.0)
    publish_shadow(made, shadow.shadow_id)
    registry.note(made, Version(arn=ARN, project="p", labels=("Gambling",), set_uri=f"s3://{bucket}/set"))
    publish_adapters(made)
    yield made
    offline.local(rekognition_server, "/adapters", method="PUT", body={})


def rows(settings: Settings, spec: TableSpec = SHADOW_ANSWERS) -> list[dict[str, Any]]:
    """What readers have."""
    with open_standing(settings, spec) as table:
        found = [row for batch in table.rows() for row in batch.to_pylist()]
    return sorted(found, key=str)


def file_of(settings: Settings, spec: TableSpec = SHADOW_ANSWERS) -> Path:
    (path,) = Path(settings.tables_uri).glob(f"{spec.name}/*/*.parquet")
    return path


def damage(path: Path, how: str) -> None:
    body = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    elif how == "one bit":
        body[len(body) // 2] ^= 1
        path.write_bytes(body)
    elif how == "truncated":
        path.write_bytes(body[:-9])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "elsewhere"),
    [
        pytest.param("gone", True, marks=pytest.mark.long),
        pytest.param("gone", False, marks=pytest.mark.long),
        ("one bit", False),
        pytest.param("one bit", True, marks=pytest.mark.long),
        pytest.param("truncated", False, marks=pytest.mark.long),
    ],
)
def test_a_rebuild_makes_what_shadows_and_adapters_keep_anew_where_its_files_are_lost_or_damaged(
    how: str, elsewhere: bool, settings: Settings, tmp_path: Path
) -> None:
    before = [rows(settings, spec) for spec in (SHADOW_ANSWERS, ADAPTERS)]
    assert [len(found) >= least for found, least in zip(before, (6, 1), strict=True)] == [True, True]
    for spec in (SHADOW_ANSWERS, ADAPTERS):
        damage(file_of(settings, spec), how)
    into = other_tables(settings, str(tmp_path / "others"), None) if elsewhere else None
    rebuild(settings, into=into)
    assert [rows(into or settings, spec) for spec in (SHADOW_ANSWERS, ADAPTERS)] == before


@pytest.mark.slow
def test_what_an_erasure_left_of_a_shadow_is_not_given_up_for_a_lost_file(settings: Settings) -> None:
    content = rows(settings)[0]["content"]
    forget_in_shadows(settings, {content})
    erasure.forget(settings, {content}, set())
    kept = rows(settings)
    assert {row["content"] for row in kept}.isdisjoint({content})
    path = file_of(settings)
    body = path.read_bytes()
    damage(path, "gone")
    with pytest.raises(StandingGoneError, match="cannot be made anew: the table alone has"):
        standing.bring_back(settings)
    path.write_bytes(body)
    standing.bring_back(settings)
    assert rows(settings) == kept


@pytest.mark.slow
def test_where_list_and_catalog_are_lost_the_shadows_tell_their_answers_again(
    settings: Settings, s3_client: Any
) -> None:
    before = rows(settings)
    bucket = settings.work_uri.split("/")[2]
    for entry in list(s3_objects.list_objects(s3_client, f"{settings.work_uri}/standing/")):
        s3_client.delete_object(Bucket=bucket, Key=entry["Key"])
    elsewhere = dataclasses.replace(settings, catalog_uri=settings.catalog_uri.replace("catalog", "new"))
    rebuild(elsewhere)
    assert rows(elsewhere) == before
