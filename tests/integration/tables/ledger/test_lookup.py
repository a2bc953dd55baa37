"""Whatever part of a listing is asked for, in whatever order, exactly the entries of its names are found."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from moderation.settings import Settings
from moderation.storage.row_file import rebatched
from moderation.tables.ledger import lookup, runs
from moderation.tables.ledger.layout import COLUMNS, Run
from moderation.tables.ledger.lookup import Lookup
from moderation.tables.ledger.orders import BY_NAME, MD5, by_name, with_etags
from moderation.tables.ledger.runs import Files, write_run
from support.each_once import each_once

LETTERS = [chr(first + number) for number in range(100) for first in (0x20AC, 0xFF21, 0x1F600)]
NAMES = sorted(f"s3://photos/{number * 37 % 11}/{letter}.jpg" for number, letter in enumerate(LETTERS))


@pytest.fixture
def stored(settings: Settings, s3_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Three runs of small row groups in several parts; a name may be in each of them, and twice in one."""
    order = replace(BY_NAME, group_rows=7)
    monkeypatch.setattr(runs, "PART_ROWS", 50)
    chance = random.Random(5)
    made = []
    for number in range(3):
        names = sorted(chance.choices(NAMES[::2], k=120))
        rows = [
            dict.fromkeys(COLUMNS)
            | {"source_ref": name, "etag": chance.choice([f"{number}", f"{number:032x}"]), "status": "failed"}
            for name in names
        ]
        types = BY_NAME.schema.remove(BY_NAME.schema.get_field_index(MD5))
        table = by_name(pa.Table.from_pylist(rows, schema=types))
        made.append(write_run(s3_client, settings, order, rebatched([table], 7), tmp_path))
    return made


def rows_of(batches: list[pa.RecordBatch]) -> list[tuple[str, str]]:
    return sorted((row["source_ref"], row["etag"]) for batch in batches for row in batch.to_pylist())


@pytest.mark.slow
@each_once("order,held", ["sorted", "shuffled"], {"kept decoded": 1 << 20, "no room": 0})
def test_parts_of_a_listing_get_exactly_the_entries_of_their_names(
    files: Files, stored: list[Run], order: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "_HELD_BYTES", held)
    tables = [with_etags(table) for run in stored for table in files.stream(run, BY_NAME)]
    every = rows_of([batch for table in tables for batch in table.to_batches()])
    names = ["", *NAMES, "z"]
    if order == "shuffled":
        random.Random(7).shuffle(names)
    with Lookup(files, stored) as opened:
        for size in (1, 13, 500):
            for at in range(0, len(names), size):
                asked = names[at : at + size]
                found = opened.about(["etag", "source_ref"], pa.chunked_array([asked]))
                assert rows_of(found) == [row for row in every if row[0] in set(asked)]
                assert all(batch.schema.names == ["etag", "source_ref"] for batch in found)
        assert opened.about(COLUMNS, pa.chunked_array([], pa.string())) == []


def test_a_listing_in_order_decodes_no_column_of_a_row_group_twice(
    files: Files, stored: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[tuple[str, int, str]] = Counter()
    opened_files: Counter[str] = Counter()
    real = lookup._with_columns
    of_file: dict[int, tuple[str, Any]] = {}  # with the file, lest another gets its number
    really_open = files.open

    def note_open(part: Any, order: Any) -> Any:
        opened_files[part.name] += 1
        return really_open(part, order)

    def note(table: pa.Table | None, file: Any, number: int, columns: Any) -> pa.Table:
        there = table.column_names if table is not None else []
        name, _ = of_file.setdefault(id(file), (f"{file.metadata.metadata}", file))
        read.update((name, number, column) for column in columns if column not in there)
        return real(table, file, number, columns)

    monkeypatch.setattr(lookup, "_with_columns", note)
    monkeypatch.setattr(files, "open", note_open)
    with Lookup(files, stored) as opened:
        for at in range(0, len(NAMES), 3):
            opened.about(COLUMNS, pa.chunked_array([NAMES[at : at + 3]]))
    assert set(read.values()) == {1}
    assert len({key[:2] for key in read}) == sum(-(-part.rows // 7) for run in stored for part in run)
    assert max(opened_files.values()) <= lookup._AT_ONCE


def test_a_file_that_a_listing_in_order_has_passed_stays_open_no_longer(
    files: Files, stored: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: Counter[str] = Counter()
    really_open = files.open

    @contextmanager
    def noted(part: Any, order: Any) -> Iterator[Any]:
        with really_open(part, order) as file:
            readers[part.name] += 1
            yield file
        readers[part.name] -= 1

    monkeypatch.setattr(files, "open", noted)
    last = {part.name: part.last for run in stored for part in run}
    with Lookup(files, stored) as opened:
        for at in range(0, len(NAMES), 3):
            opened.about(COLUMNS, pa.chunked_array([NAMES[at : at + 3]]))
            assert not [name for name in +readers if last[name] < NAMES[at]]
    assert readers.keys() == last.keys()
    assert not +readers
