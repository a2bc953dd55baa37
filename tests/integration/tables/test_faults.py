"""The remedies that the errors of the tables name do work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from moderation.cli import main
from moderation.publish.commit import publish
from moderation.schema import IMAGES
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.files import local_path
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.faults import TablesDamagedError, TablesUnavailableError, open_parquet
from moderation.tables.swap import data_files, swap
from support.planned_runs import Run, answer, line, weapon_violence
from support.published_loads import expected
from support.put_back import MadeOnce


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    return MadeOnce(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def published(made_once: MadeOnce, bucket: str, aws_env: Any, s3_client: Any) -> Settings:
    """Two loads, with the job records that the task publish keeps."""

    def make(settings: Settings) -> None:
        for name in ("first", "second"):
            run = Run(settings, s3_client, name=name)
            refs = [f"s3://archive/{name}/{number}.jpg" for number in range(3)]
            run.manifest(refs, b"\n".join(line(ref, answer(weapon_violence(60.0))) for ref in refs))
            plan = run.store()
            for record in run.records:
                s3_objects.put(s3_client, plan.analysis_record_uri(record.manifest_id), record.to_json())
            publish(settings, plan, run.records)

    return made_once.get(s3_client, bucket, make).settings


def catalog_file(settings: Settings) -> Path:
    return Path(settings.catalog_uri.removeprefix("sqlite:///"))


def remove(settings: Settings, folder: str, pattern: str) -> None:
    paths = list((local_path(settings.tables_uri) / folder).rglob(pattern))
    assert paths
    for path in paths:
        path.unlink()


def spoil_catalog(settings: Settings) -> None:
    catalog_file(settings).write_bytes(b"no database any more " * 1000)


@pytest.mark.parametrize(
    "damage",
    [
        spoil_catalog,
        lambda settings: remove(settings, "_iceberg", "*.metadata.json"),
        lambda settings: remove(settings, "_iceberg", "*.avro"),
        lambda settings: remove(settings, "loads", "*.parquet"),
    ],
    ids=["catalog", "metadata", "manifests", "files of loads"],
)
def test_a_catalog_that_is_moved_away_is_made_anew_by_a_rebuild(
    published: Settings, damage: Callable[[Settings], None], tmp_path: Path
) -> None:
    before = expected(published)
    damage(published)
    with pytest.raises(TablesDamagedError, match=f"move {catalog_file(published)} away, then .mod"):
        expected(published)

    catalog_file(published).rename(tmp_path / "away.db")

    assert main.main(["rebuild"], settings=published) == 0
    assert same(expected(published), before)


@pytest.mark.parametrize("content", [None, b"no Parquet"], ids=["gone", "damaged"])
@pytest.mark.parametrize("table", ["images", "labels_l3"])
def test_a_published_file_is_made_anew_by_a_rebuild(
    published: Settings, table: str, content: bytes | None
) -> None:
    before = expected(published)
    (path, *_) = sorted((local_path(published.tables_uri) / table).rglob("*.parquet"))
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TablesDamagedError, match=r"\.parquet cannot be read: .*`moderation rebuild`"):
        expected(published)

    assert main.main(["rebuild"], settings=published) == 0
    assert same(expected(published), before)


def test_a_file_that_is_replaced_while_it_is_to_be_read_is_nobodys_to_mend(published: Settings) -> None:
    with open_catalog(published) as reader, open_catalog(published) as other:
        table, there = load_table(reader, IMAGES), load_table(other, IMAGES)
        assert table is not None
        assert there is not None
        (file, *_) = data_files(there)
        swap(there, out=[file], into=[], properties={})
        local_path(file.file_path).unlink()

        with (
            pytest.raises(TablesUnavailableError, match=r"was replaced .* run again"),
            open_parquet(table, file.file_path),
        ):
            pass


def same(found: dict[str, pa.Table], before: dict[str, pa.Table]) -> bool:
    """All rows again; without the catalog only the plan's marker tells when a load was published."""
    return all(timeless(found[name]).equals(timeless(table)) for name, table in before.items())


def timeless(table: pa.Table) -> pa.Table:
    return table.drop_columns(set(table.column_names) & {"published_at"})
