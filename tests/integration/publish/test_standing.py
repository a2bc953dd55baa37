from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from moderation.publish import standing
from moderation.publish.standing import StandingBusyError, StandingError, open_standing
from moderation.settings import Settings
from moderation.storage.files import local_path
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.published import scan
from moderation.tables.standing import VERDICTS
from support.killed import killed_at
from support.verdict_rows import verdict_row, verdict_table

DAY_AND_A_BIT = 1_500  # minutes: the row of this number is of the next day


def append(settings: Settings, *numbers: int) -> int:
    with open_standing(settings, VERDICTS) as table:
        return table.append(verdict_table([verdict_row(number) for number in numbers]), key="verdict_id")


def seen(settings: Settings) -> list[str]:
    """What a reader finds, who settles nothing."""
    with open_catalog(settings) as catalog:
        batches = list(scan(load_table(catalog, VERDICTS), VERDICTS, ["verdict_id"]))
    return sorted(value for batch in batches for value in batch.column(0).to_pylist())


def files(settings: Settings) -> list[Path]:
    return sorted((local_path(settings.tables_uri) / "verdicts").rglob("*.parquet"))


def anonymous(rows: pa.Table) -> pa.Table | None:
    concerned = pc.equal(rows.column("content"), "c1").fill_null(False)
    if not pc.any(concerned).as_py():
        return None
    place = rows.schema.get_field_index("content")
    text = pc.if_else(concerned, pa.scalar(None, pa.string()), rows.column("content"))
    return rows.set_column(place, rows.schema.field("content"), text)


def test_a_row_that_comes_again_is_there_once(local_settings: Settings) -> None:
    assert append(local_settings, 1, 2) == 2
    assert append(local_settings, 1, 2, DAY_AND_A_BIT) == 1
    assert append(local_settings, DAY_AND_A_BIT) == 0
    assert seen(local_settings) == ["v1", "v1500", "v2"]


@pytest.mark.parametrize("step", ["uploaded", "listed", "shown"])
def test_a_writer_that_is_killed_and_repeated_gives_each_row_once_and_readers_never_half(
    local_settings: Settings, step: str
) -> None:
    append(local_settings, 1)
    with killed_at(step, standing):
        append(local_settings, 2, DAY_AND_A_BIT)
    assert seen(local_settings) in (["v1"], ["v1", "v1500", "v2"])
    append(local_settings, 2, DAY_AND_A_BIT, 3)  # what came meanwhile is in the next batch
    assert seen(local_settings) == ["v1", "v1500", "v2", "v3"]


def test_a_catalog_that_is_lost_or_set_back_gets_all_rows_again(
    local_settings: Settings, tmp_path: Path
) -> None:
    catalog = Path(local_settings.catalog_uri.removeprefix("sqlite:///"))
    append(local_settings, 1)
    older = catalog.read_bytes()
    append(local_settings, 2)
    catalog.write_bytes(older)
    assert append(local_settings, 3) == 1
    assert seen(local_settings) == ["v1", "v2", "v3"]
    lost = replace(local_settings, catalog_uri=f"sqlite:///{tmp_path / 'new.db'}")
    assert append(lost, 3) == 0
    assert seen(lost) == ["v1", "v2", "v3"]


def test_a_work_place_that_is_lost_gets_its_list_from_the_table(
    local_settings: Settings, tmp_path: Path, s3_client: Any
) -> None:
    append(local_settings, 1)
    s3_client.create_bucket(Bucket=(bucket := f"other-{tmp_path.name.replace('_', '-')}"[:60].strip("-")))
    elsewhere = replace(local_settings, work_uri=f"s3://{bucket}/work")
    assert append(elsewhere, 1, 2) == 1
    new_catalog = replace(elsewhere, catalog_uri=f"sqlite:///{tmp_path / 'new.db'}")
    append(new_catalog)
    assert seen(new_catalog) == ["v1", "v2"]


def test_a_file_that_the_list_names_and_that_is_gone_is_named_with_a_remedy(
    local_settings: Settings, tmp_path: Path
) -> None:
    append(local_settings, 1)
    (path,) = files(local_settings)
    path.unlink()
    lost = replace(local_settings, catalog_uri=f"sqlite:///{tmp_path / 'new.db'}")
    with pytest.raises(StandingError, match=rf"{path.name}.*bring it back"):
        append(lost, 2)


def test_a_writer_that_was_too_slow_changes_nothing(
    local_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(local_settings, 1)
    with open_standing(local_settings, VERDICTS) as slow:
        quick = replace_lease(slow)

        def meanwhile(step: str) -> None:
            monkeypatch.undo()
            quick.append(verdict_table([verdict_row(2)]), key="verdict_id")

        monkeypatch.setattr(standing, "reached", meanwhile)
        with pytest.raises(StandingBusyError, match="came in between"):
            slow.append(verdict_table([verdict_row(3)]), key="verdict_id")
    assert seen(local_settings) == ["v1", "v2"]


def replace_lease(table: standing.StandingTable) -> standing.StandingTable:
    """Another writer that believes the lock its own, as after a pause longer than the lock lives."""
    return standing.StandingTable(table.settings, table.spec, table.storage, table.catalog, table.lease)


def test_days_of_many_files_become_one_file_each_and_changed_rows_stand_in_place(
    local_settings: Settings,
) -> None:
    for number in (1, 2, DAY_AND_A_BIT):
        append(local_settings, number)
    with open_standing(local_settings, VERDICTS) as table:
        assert table.merge() == 2
        assert table.merge() == 0
        assert len(table.data_files()) == 2
        assert table.rewrite(anonymous) == 1
        assert table.rewrite(anonymous) == 0
        rows = pa.Table.from_batches(table.rows()).sort_by("verdict_id").to_pylist()
    assert [row["content"] for row in rows] == [None, "c1500", "c2"]
