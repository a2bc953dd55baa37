from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moderation import schema
from moderation.flatten.flatten import Flattened, flatten_manifest
from moderation.tables import writer
from moderation.tables.writer import DataFile, LoadWriter
from support.planned_runs import CONTEXT, RECORD, answer, inputs_table, line, weapon_violence


def flattened(first: int, count: int) -> Flattened:
    refs = [f"s3://b/{n}" for n in range(first, first + count)]
    block = b"\n".join(line(ref, answer(weapon_violence(n % 97))) for n, ref in enumerate(refs))
    return flatten_manifest(CONTEXT, RECORD, inputs_table(refs), blocks=[(block, 1)])


def write(folder: Path, portions: list[int]) -> list[DataFile]:
    folder.mkdir()
    first = 0
    with LoadWriter(folder, "load") as load:
        for count in portions:
            part = flattened(first, count)
            load.write(schema.IMAGES, part.images)
            for (level, _), rows in part.labels.items():
                load.write(schema.LABELS[level], rows)
            first += count
        return load.finish()


def test_every_column_has_its_contracted_type_and_no_unsigned_or_nested_one(tmp_path):
    for file in write(tmp_path / "t", [10]):
        found = pq.read_schema(file.path)
        expected = schema.physical_schema(schema.TABLES[file.table])
        assert found.names == expected.names
        for entry in expected:
            assert found.field(entry.name).type == entry.type


def test_files_are_zstd_with_dictionaries_only_where_values_repeat(tmp_path):
    (images,) = [file for file in write(tmp_path / "t", [2000]) if file.table == "images"]
    group = pq.ParquetFile(images.path).metadata.row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    encoded = {name for name, column in columns.items() if "RLE_DICTIONARY" in column.encodings}
    assert encoded == set(schema.IMAGES.dictionary)


def test_row_groups_and_bytes_do_not_depend_on_the_portions_written(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "ROW_GROUP_ROWS", 100)
    monkeypatch.setattr(writer, "MAX_FILE_ROWS", 300)
    one = write(tmp_path / "one", [700])
    many = write(tmp_path / "many", [1, 99, 250, 350])
    names = [file.relative_path for file in one if file.table == "images"]
    assert names == [f"images/dt=2026-11-22/load-{n}.parquet" for n in range(3)]
    for file in one:
        groups = pq.ParquetFile(file.path).metadata
        assert {groups.row_group(n).num_rows for n in range(groups.num_row_groups)} == {100}
    rows = [
        pa.concat_tables(pq.read_table(f.path) for f in files if f.table == "images") for files in (one, many)
    ]
    columns = [
        name
        for name in schema.IMAGES.schema.names
        if name not in ("line_number", "size_bytes", "max_confidence")
    ]
    assert rows[0].select(columns).equals(rows[1].select(columns))


@pytest.mark.parametrize("most_in_memory", [0, 40])
def test_rows_that_wait_on_the_disk_give_the_same_bytes_as_rows_that_wait_in_memory(
    tmp_path, monkeypatch, most_in_memory
):
    monkeypatch.setattr(writer, "ROW_GROUP_ROWS", 100)
    portions = [30, 30, 60, 7, 170, 1, 2]
    in_memory = write(tmp_path / "memory", portions)
    monkeypatch.setattr(writer, "_MOST_HELD_ROWS", most_in_memory)

    on_disk = write(tmp_path / "disk", portions)

    assert [(file.relative_path, file.sha256) for file in on_disk] == [
        (file.relative_path, file.sha256) for file in in_memory
    ]
    assert not [
        path for path in (tmp_path / "disk").rglob("*") if path.is_file() and path.suffix != ".parquet"
    ]


def test_the_same_rows_give_the_same_bytes(tmp_path):
    first, second = (write(tmp_path / name, [500, 20]) for name in ("a", "b"))
    assert [(f.relative_path, f.rows, f.sha256) for f in first] == [
        (f.relative_path, f.rows, f.sha256) for f in second
    ]
    assert all(hashlib.sha256(f.path.read_bytes()).hexdigest() == f.sha256 for f in first)


def test_no_rows_make_no_file(tmp_path):
    assert write(tmp_path / "t", []) == []


def test_a_failure_leaves_no_file_open(tmp_path):
    def fail() -> None:
        with LoadWriter(tmp_path, "load") as load:
            load.write(schema.IMAGES, flattened(0, 5).images)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()


@pytest.mark.parametrize("table", list(schema.TABLES.values()), ids=lambda table: table.name)
def test_every_column_is_described_and_of_a_plain_type(table):
    for entry in table.schema:
        assert entry.metadata[b"doc"]
        assert not pa.types.is_nested(entry.type)
        assert not pa.types.is_unsigned_integer(entry.type)
        assert entry.name == entry.name.lower()
    assert set(table.partition_by) <= set(table.schema.names)
    assert set(table.dictionary) <= set(table.schema.names)
