"""What was answered and flagged is counted the same, whatever part of it is in memory at once."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb
import pytest

from moderation.policy.thresholds import Thresholds
from moderation.review.statistics import populations
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
    monkeypatch.setattr(populations, "_AT_ONCE", at_once)
    monkeypatch.setattr(populations, "_ROWS", dict.fromkeys(populations._ROWS, 11))
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


def test_where_nothing_was_answered_nothing_is_counted(tmp_path: Path):
    path = small_warehouse.write(tmp_path / "none.duckdb", {})
    with duckdb.connect(str(path)) as connection:
        assert frames_of(connection).populations.num_rows == 0


@pytest.mark.slow
def test_one_image_under_a_million_keys_needs_no_more_memory_than_any(tmp_path: Path):
    with duckdb.connect() as connection:
        connection.execute(f"SET temp_directory = '{tmp_path}'")
        connection.execute("SET memory_limit = '64MB'")
        connection.execute(
            "CREATE TABLE seen AS SELECT 'load' AS load_id, 'manifest' AS manifest_id,"
            " '7.0' AS model_version, NULL::VARCHAR AS adapter, 'none' AS content_type,"
            " DATE '2026-11-16' AS dt, TIMESTAMPTZ '2026-11-16 00:00:00+00' AS moderated_at,"
            " 50.0 AS min_confidence, repeat('a', 40) AS content, hash(i) AS source,"
            " i::INTEGER AS line_number FROM range(1_000_000) AS t(i)"
        )
        query = f"SELECT line_number, copies FROM ({populations.latest('seen')})"
        assert connection.execute(query).fetchall() == [(0, 1_000_000)]
