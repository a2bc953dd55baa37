"""Answers by content: every one that is published and no other, without reading the published images."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from moderation.maintenance.compaction import compact
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.row_file import rebatched
from moderation.tables.ledger import contents, runs, upkeep
from moderation.tables.ledger.contents import found_in
from moderation.tables.ledger.layout import CONTENT_COLUMNS, Run, part_uri, read_index
from moderation.tables.ledger.orders import BY_CONTENT, bits_of
from moderation.tables.ledger.runs import Files, write_run
from support.copied_images import Gallery

CHANCE = random.Random(11)
BEGINNINGS = [f"{CHANCE.getrandbits(40):010x}" for _ in range(60)]
ETAGS = [f"{CHANCE.choice(BEGINNINGS)}{CHANCE.getrandbits(88):022x}" for _ in range(400)]
"""Some of them differ in their last digits alone."""


@pytest.fixture
def gallery(settings: Settings, bucket: str, s3_client: Any) -> Gallery:
    made = Gallery(settings, s3_client, bucket)
    made.put(a=1, b=1, c=2, d=3)
    return made


@pytest.mark.slow
def test_exactly_the_rows_that_begin_alike_are_found_wherever_they_lie(
    settings: Settings, files: Files, s3_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PART_ROWS", 90)
    monkeypatch.setattr(runs, "_BITS_GROUP_ROWS", 32)
    monkeypatch.setattr(contents, "_GROUPS_A_TASK", 2)
    order = replace(BY_CONTENT, group_rows=7)
    stored: list[Run] = []
    for number in range(3):
        rows = [
            dict.fromkeys(CONTENT_COLUMNS) | {"etag": etag, "line_number": number}
            for etag in sorted(CHANCE.choices(ETAGS[::2], k=200))
        ]
        table = pa.Table.from_pylist(rows, schema=BY_CONTENT.schema)
        stored.append(write_run(s3_client, settings, order, rebatched([table], 7), tmp_path))
    every = [row for run in stored for table in files.stream(run, order) for row in table.to_pylist()]
    for asked in ([], ETAGS[:1], ETAGS[5:40], ETAGS):
        bits = np.unique(bits_of(pa.array(asked, pa.string())))
        found = found_in(files, [part for run in stored for part in run], bits)
        told = [(row["etag"], row["line_number"]) for batch in found for row in batch.to_pylist()]
        begin = {etag[:10] for etag in asked}
        wanted = [(row["etag"], row["line_number"]) for row in every if row["etag"][:10] in begin]
        assert sorted(told) == sorted(wanted)


@pytest.mark.slow
def test_a_known_content_is_found_without_reading_the_published_images(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.run("night")
    upkeep.bring_up(gallery.settings)
    gallery.put(x=1, y=9)
    asked = []
    real = contents.scan
    monkeypatch.setattr(
        contents, "scan", lambda *args, **given: asked.append(given["load_ids"]) or real(*args, **given)
    )
    plan = gallery.plan("next")
    assert (plan.totals.to_analyse, plan.totals.copies, asked) == (1, 1, [])
    later = gallery.publish(plan)
    gallery.put(z=9)
    assert gallery.plan("last").totals.copies == 1
    assert asked == [[later.load_id]]  # what the ledger does not have yet
    compact(gallery.settings)
    asked.clear()
    assert gallery.plan("last, compacted").totals.copies == 0  # they are the first one's
    assert gallery.plan("last", dry_run=True).totals.copies == 1
    assert asked == []


@pytest.mark.slow
@pytest.mark.parametrize("which", ["whole answers", "first bits"])
@pytest.mark.parametrize(
    ("body", "noticed_by"),
    [
        pytest.param(None, "a plan", id="deleted"),
        pytest.param(b"PAR1", "a plan", id="cut off", marks=pytest.mark.long),
        pytest.param(None, "the command", id="deleted, looked for", marks=pytest.mark.long),
    ],
)
def test_damage_is_noticed_and_what_is_known_stays_known(
    gallery: Gallery, which: str, body: bytes | None, noticed_by: str
) -> None:
    gallery.run("night")
    upkeep.bring_up(gallery.settings)
    index = read_index(gallery.s3, gallery.settings)
    ((part,),) = index.contents
    name = part.bits.name if which == "first bits" and part.bits else part.name
    uri = part_uri(gallery.settings, name)
    s3_objects.delete(gallery.s3, uri) if body is None else s3_objects.put(gallery.s3, uri, body)
    gallery.put(x=1)
    if noticed_by == "a plan":
        assert gallery.plan("next", dry_run=True).totals.copies == 1
    made = upkeep.bring_up(gallery.settings, prove=True)
    assert made.added == index.entries
    assert (name in made.damage) == (noticed_by == "the command")
    assert gallery.plan("next").totals.copies == 1
