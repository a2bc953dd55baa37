"""The names below a prefix are those of all runs, each once, in order, whatever they are cut into."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.row_file import rebatched
from moderation.tables.ledger import runs
from moderation.tables.ledger.layout import COLUMNS, LedgerDamagedError, part_uri
from moderation.tables.ledger.names import NAMES, at_most_below, names_below
from moderation.tables.ledger.orders import BY_NAME, MD5, by_name
from moderation.tables.ledger.runs import Files, write_run

FOLDERS = ("a", "a/", "b/1/", "b/10/", "b/\U0001f600/", "\uffee/")
REFS = sorted(f"s3://photos/{folder}{number}.jpg" for folder in FOLDERS for number in range(40))


def test_names_below_a_prefix_are_found_and_nothing_else_is_read(
    files: Files, settings: Settings, s3_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PART_ROWS", 50)
    order, chance = replace(BY_NAME, group_rows=7), random.Random(3)
    made = []
    for _ in range(3):
        refs = sorted(chance.choices(REFS, k=150))
        rows = [dict.fromkeys(COLUMNS) | {"source_ref": ref, "etag": "e", "status": "failed"} for ref in refs]
        table = by_name(
            pa.Table.from_pylist(rows, schema=BY_NAME.schema.remove(BY_NAME.schema.get_field_index(MD5)))
        )
        made.append((refs, write_run(s3_client, settings, order, rebatched([table], 7), tmp_path)))
    opened: Counter[str] = Counter()
    really = files.open

    def note(part: Any, order: Any = None) -> Any:
        opened[part.name] += 1
        return really(part, order)

    monkeypatch.setattr(files, "open", note)
    more = ["s3://photos/a/zz.jpg"]
    for prefix in ("", "s3://photos/", *(f"s3://photos/{folder}" for folder in FOLDERS), "s3://q", "s3://p"):
        also = [pa.table([more], schema=NAMES)] if more[0].startswith(prefix) else []
        wanted = {ref for refs, _ in made for ref in refs} | (set(more) if also else set())
        found = [name for part in names_below(files, [run for _, run in made], prefix, also) for name in part]
        assert [name.as_py() for name in found] == sorted(name for name in wanted if name.startswith(prefix))
        below = sum(ref.startswith(prefix) for refs, _ in made for ref in refs)
        assert below <= at_most_below([run for _, run in made], prefix) <= below + 2 * 3 * 50
    opened.clear()
    list(names_below(files, [run for _, run in made], "s3://photos/b/10/"))
    assert sum(opened.values()) < sum(len(run) for _, run in made)

    s3_objects.put(s3_client, part_uri(settings, made[0][1][0].name), b"")
    with pytest.raises(LedgerDamagedError):
        list(names_below(files, [run for _, run in made], "s3://photos/"))
