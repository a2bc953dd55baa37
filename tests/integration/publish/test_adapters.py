"""The table `adapters` says of every adapter what is known, at once and after a kill."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import Any

import pytest

from moderation.adapters import registry
from moderation.cli.main import main
from moderation.publish import standing
from moderation.publish.adapters import publish_adapters, publish_after
from moderation.publish.commit import publish
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.files import local_path
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.published import scan
from moderation.tables.standing import ADAPTERS
from support import compared
from support.killed import killed_at
from support.planned_runs import Run, answer, line

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)


def seen(settings: Settings) -> dict[str, dict[str, Any]]:
    with open_catalog(settings) as catalog:
        batches = list(scan(load_table(catalog, ADAPTERS), ADAPTERS, ADAPTERS.schema.names))
    return {row["version_name"]: row for batch in batches for row in batch.to_pylist()}


def snapshots(settings: Settings) -> int:
    with open_catalog(settings) as catalog:
        table = load_table(catalog, ADAPTERS)
        assert table is not None
        return len(table.snapshots())


def test_an_adapter_has_one_row_that_follows_what_people_do_with_it_also_after_a_kill(
    local_settings: Settings, s3_client: Any
) -> None:
    settings = local_settings
    assert publish_adapters(settings) == 0
    better = compared.comparison([f"s3://photos/card-{n}" for n in range(25)])
    new, old = compared.arn_of("new"), compared.arn_of("old")
    compared.note(settings, new, better)
    compared.note(settings, old, None)
    with killed_at("listed", standing):
        publish_adapters(settings)
    assert publish_adapters(settings) == 2
    registry.promote(settings, new, person="ana", now=NOW, older_share=0.1)
    publish_adapters(settings)
    rows = seen(settings)
    assert {name: row["state"] for name, row in rows.items()} == {"new": "in use", "old": "in training"}
    told = rows["new"]
    assert (str(told["dt"]), told["labels"], told["gate"]) == ("2023-11-14", "Gambling", "passes")
    assert (told["became_right"], told["became_wrong"], told["cost_usd"]) == (25, 0, 1.5)
    assert (told["promoted_at"], told["promoted_by"], told["older_share"]) == (NOW, "ana", 0.1)
    (label,) = json.loads(told["evaluation"])
    assert (label["outcome"], label["adapter"]["recall"]["k"]) == ("better", 25)
    assert "s3://" not in json.dumps(rows, default=str)

    registry.roll_back(settings, person="ben", now=NOW, reason="too strict")
    registry.retire(settings, old, person="cem", now=NOW)
    publish_adapters(settings)
    rows = seen(settings)
    assert (rows["new"]["state"], rows["new"]["reason"]) == ("compared", "too strict")
    assert (rows["old"]["state"], rows["old"]["retired_by"]) == ("retired", "cem")
    before = snapshots(settings)
    publish_adapters(settings)
    assert snapshots(settings) == before


def test_a_table_that_cannot_be_written_now_never_undoes_what_a_person_did(
    local_settings: Settings, s3_client: Any, caplog: Any
) -> None:
    compared.note(local_settings, compared.arn_of("new"), None)
    publish_adapters(local_settings)
    uri = standing._uri(local_settings, "adapters")
    kept = s3_objects.read(s3_client, uri).body
    s3_objects.put(s3_client, uri, kept[:-9])
    registry.retire(local_settings, compared.arn_of("new"), person="cem", now=NOW)
    publish_after(local_settings)
    assert "adapter publish" in caplog.text
    s3_objects.put(s3_client, uri, kept)
    publish_adapters(local_settings)
    assert seen(local_settings)["new"]["state"] == "retired"


@pytest.mark.parametrize(
    "lost",
    [
        "files",
        "tables and catalog",
        *(pytest.param(one, marks=pytest.mark.long) for one in ("catalog", "emptied")),
    ],
)
def test_the_table_comes_back_by_a_rebuild_whatever_of_it_was_lost(
    lost: str, local_settings: Settings, s3_client: Any
) -> None:
    settings = local_settings
    run = Run(settings, s3_client)
    run.manifest(["s3://archive/1.jpg"], line("s3://archive/1.jpg", answer()))
    plan = run.store()
    for record in run.records:
        place = s3_objects.split_uri(plan.analysis_record_uri(record.manifest_id))
        s3_client.put_object(Bucket=place.bucket, Key=place.key, Body=record.to_json())
    publish(settings, plan, run.records)
    compared.note(settings, compared.arn_of("new"), compared.comparison(["s3://photos/card"]))
    publish_adapters(settings)
    before = seen(settings)
    assert [*before] == ["new"]
    if "catalog" in lost:
        local_path(settings.catalog_uri.removeprefix("sqlite:///")).unlink()
    if lost == "emptied":
        (file,) = (local_path(settings.tables_uri) / "adapters").rglob("*.parquet")
        file.write_bytes(b"")
    elif lost != "catalog":
        root = local_path(settings.tables_uri)
        shutil.rmtree(root if lost.startswith("tables") else root / "adapters")
    assert main(["rebuild"], settings=settings) == 0
    assert seen(settings) == before
