"""Every load, and a run with nothing new, brings in all that is published and a warehouse lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from moderation import stages
from moderation.errors import WarehouseError
from moderation.settings import Settings
from support.published_loads import publish_plain
from support.put_back import MadeOnce


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    return MadeOnce(tmp_path_factory.mktemp("loads"))


@pytest.fixture
def settings(made_once: MadeOnce, bucket: str, aws_env: Any, s3_client: Any) -> Settings:
    """Three published loads, all of them in both warehouses."""

    def make(settings: Settings) -> list[str]:
        published = [publish_plain(settings, s3_client, f"run-{n}", images=2) for n in range(3)]
        assert stages.load(settings=settings) == sorted(published)
        return published

    return made_once.get(s3_client, bucket, make).settings


@pytest.fixture
def loads(made_once: MadeOnce, settings: Settings) -> list[str]:
    return made_once.made


def in_duckdb(settings: Settings) -> set[str]:
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
        rows = connection.execute("SELECT load_id FROM images GROUP BY load_id HAVING count(*) = 2")
        return {load_id for (load_id,) in rows.fetchall()}


def in_folder(settings: Settings) -> set[str]:
    assert settings.parquet_mirror
    table = pq.read_table(settings.parquet_mirror / "images", partitioning=None)
    return set(table.column("load_id").to_pylist())


def another_file(settings: Settings) -> None:
    settings.warehouse_path.unlink()
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        connection.execute("CREATE TABLE notes AS SELECT 1 AS n")


def older_file(settings: Settings, load_id: str) -> None:
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        for table in ("images", "loads"):
            connection.execute(f"DELETE FROM {table} WHERE load_id = ?", [load_id])


def lost_rows(settings: Settings, load_id: str) -> None:
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        connection.execute("DELETE FROM images WHERE load_id = ?", [load_id])


def dropped_table(settings: Settings, _: str) -> None:
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        connection.execute("DROP TABLE anomalies")  # none of the loads has rows of it


def lost_copy(settings: Settings, load_id: str) -> None:
    assert settings.parquet_mirror
    for path in (settings.parquet_mirror / "images").glob(f"{load_id}-*.parquet"):
        path.unlink()


DAMAGES: dict[str, Callable[[Settings, str], object]] = {
    "file lost": lambda settings, _: settings.warehouse_path.unlink(),
    "file emptied": lambda settings, _: settings.warehouse_path.write_bytes(b""),
    "another file in its place": lambda settings, _: another_file(settings),
    "a load was never brought in": older_file,
    "a load's rows lost": lost_rows,
    "a table lost": dropped_table,
    "a file of the folder lost": lost_copy,
}
WITH_A_LOAD = ("file lost",)
"""The run that has a load looks for what is lacking as the other does."""


@pytest.mark.parametrize(
    ("next_run", "damage"),
    [
        *(pytest.param("with nothing new", damage, id=f"with nothing new-{damage}") for damage in DAMAGES),
        *(
            pytest.param(
                "with a load",
                damage,
                id=f"with a load-{damage}",
                marks=() if damage in WITH_A_LOAD else pytest.mark.long,
            )
            for damage in DAMAGES
        ),
    ],
)
def test_what_a_warehouse_lacks_is_brought_in_by_the_next_run(
    settings: Settings,
    s3_client: Any,
    loads: list[str],
    next_run: str,
    damage: str,
) -> None:
    DAMAGES[damage](settings, loads[1])
    new = publish_plain(settings, s3_client, "run-new", images=2) if next_run == "with a load" else None
    stages.load(new, settings=settings)
    wanted = {*loads, *([new] if new else [])}
    assert (in_duckdb(settings), in_folder(settings)) == (wanted, wanted)
    assert stages.load(settings=settings) == []


def test_a_damaged_file_is_named_with_a_remedy_that_works(settings: Settings, loads: list[str]) -> None:
    settings.warehouse_path.write_bytes(b"no database" * 1000)
    with pytest.raises(WarehouseError, match=r"move it away and run `moderation load`"):
        stages.load(settings=settings)
    settings.warehouse_path.unlink()
    stages.load(settings=settings)
    assert in_duckdb(settings) == set(loads)


@pytest.mark.slow
def test_all_loads_can_be_brought_in_again(settings: Settings, loads: list[str]) -> None:
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        connection.execute("UPDATE images SET source_ref = 'edited'")
    assert stages.load(settings=settings) == []
    assert stages.load(settings=settings, again=True) == sorted(loads)
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
        assert not connection.execute("SELECT 1 FROM images WHERE source_ref = 'edited'").fetchone()


def test_a_load_that_is_not_published_is_refused(settings: Settings, loads: list[str]) -> None:
    with pytest.raises(WarehouseError, match="not published"):
        stages.load("20990101T000000Z-000000000000", settings=settings)
