"""What was answered and flagged is counted the same, whatever part of it is in memory at once."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from moderation.policy.thresholds import Thresholds
from moderation.review.statistics.answered import populations
from moderation.review.statistics.answered.apart import Apart
from moderation.review.statistics.judged import frames_of
from support import small_warehouse
from support.small_warehouse import FIRST_LOAD, SECOND_LOAD, chain, image, tables

LABELS = ("Violence", "Weapons", "Violence > Weapon Violence")
IMAGES = 60


def story() -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Two loads of forty contents under many keys, each content with the labels that its number draws."""
    chance = random.Random(7)
    rows = []
    for load_id in (FIRST_LOAD, SECOND_LOAD):
        for line in range(1, IMAGES + 1):
            content = chance.randrange(40)
            picked = random.Random(content)
            labels = [
                one
                for path in picked.sample(LABELS, content % 3)
                for one in chain(path, confidence=float(picked.randrange(50, 100)))
            ]
            row = image(
                load_id,
                line,
                f"{chance.randrange(30)}.jpg",
                labels=labels,
                etag=f"{content:032x}",
                size_bytes=9,
                min_confidence=50.0,
                content_type="Illustrated" if content % 2 else "none",
            )
            rows.append((row, labels))
    return rows


def expected(least: float) -> dict[tuple[Any, ...], tuple[int, int, int, int]]:
    """Contents, their keys, and both of what is flagged, by label, content type and load: on paper."""
    newest: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    keys = defaultdict(set)
    for row, labels in story():
        keys[row["etag"]].add(row["source_ref"])
        newest[row["etag"]] = (row, labels)
    found: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    names = {path.split(" > ")[-1] for path in LABELS}
    for etag, (row, labels) in newest.items():
        met = {one["name"] for one in labels if one["confidence"] >= least}
        for label in (*names, None):
            counts = found[label, row["content_type"], row["load_id"]]
            is_met = bool(met) if label is None else label in met
            for place, number in enumerate((1, len(keys[etag]), is_met, is_met * len(keys[etag]))):
                counts[place] += number
    return {key: tuple(counts) for key, counts in found.items()}  # type: ignore[misc]


@pytest.mark.parametrize("at_once", [1, 7, 50_000])
@pytest.mark.parametrize("least", [50.0, 75.0])
def test_each_content_is_counted_once_with_its_latest_answer(tmp_path: Path, monkeypatch, at_once, least):
    for name, most in (("_CONTENTS", at_once), ("_IMAGES", at_once), ("_BATCH", 11)):
        monkeypatch.setattr(populations, name, most)
    path = small_warehouse.write(tmp_path / "small.duckdb", tables(story()))
    with duckdb.connect(str(path)) as connection:
        frames = frames_of(connection, thresholds=Thresholds(default=least))
    wanted = expected(least)
    rows = frames.populations.to_pylist()
    assert {
        (row["label"], row["content_type"], row["load_id"]): (
            *(row[name] for name in ("contents", "copies", "flagged", "flagged_copies")),
        )
        for row in rows
        if (row["label"], row["content_type"], row["load_id"]) in wanted
    } == wanted
    assert {row["week"] for row in rows} <= {"2026-11-16", "2026-11-23"}


def test_a_load_that_is_read_in_several_steps_is_counted_as_one(tmp_path: Path, monkeypatch):
    rows = [
        (image(FIRST_LOAD, line, f"{line}.jpg", labels=chain("Violence", 90.0), manifest_id=manifest), labels)
        for manifest in ("m1", "m2", "m3")
        for line in range(1, 4)
        if (labels := chain("Violence", 90.0))
    ]
    monkeypatch.setattr(populations, "_IMAGES", 4)
    path = small_warehouse.write(tmp_path / "small.duckdb", tables(rows))
    with duckdb.connect(str(path)) as connection:
        told = frames_of(connection).populations.to_pylist()
    whole = [row for row in told if row["label"] is None]
    assert [(row["contents"], row["copies"], row["flagged"]) for row in whole] == [(3, 3, 3)]


def test_one_image_under_a_million_keys_is_looked_through_a_few_keys_at_a_time(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(populations, "_CONTENTS", 100)
    keys = np.arange(1000, dtype=np.uint64)
    with Apart(tmp_path / "seen", 1) as seen:
        seen.add(pa.record_batch({"source": keys}), np.zeros(keys.size, np.int64))
        pieces = [piece["source"].to_pylist() for piece in populations._pieces(seen, 0)]
    assert max(map(len, pieces)) <= 200
    assert sorted(key for piece in pieces for key in piece) == keys.tolist()


def test_where_nothing_was_answered_nothing_is_counted(tmp_path: Path):
    path = small_warehouse.write(tmp_path / "none.duckdb", {})
    with duckdb.connect(str(path)) as connection:
        assert frames_of(connection).populations.num_rows == 0
