"""The frames are made of the published tables, and the page of the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from moderation.policy.thresholds import Thresholds
from moderation.report.review.page import render
from moderation.review.statistics import judged
from moderation.review.statistics.frames import DRAWS
from moderation.review.statistics.judged import frames_of
from moderation.review.statistics.numbers import NUMBERS, Numbers, numbers
from moderation.tables.standing import ALL_TABLES
from moderation.warehouses.duckdb import labels_view, verdicts_views
from support.small_warehouse import FIRST_LOAD, chain, image, tables
from support.verdict_rows import verdict_row, verdict_table

Rows = list[dict[str, Any]]
IMAGES = 40
FLAGGED = 10


def name(number: int) -> str:
    return f"{number:032x}-9"


def answers() -> dict[str, Rows]:
    """Forty contents, ten with Violence at 60 to 69 percent, one of these under a second key."""
    story = []
    for number in (*range(IMAGES), 3):
        labels = chain("Violence", confidence=60.0 + number) if number < FLAGGED else []
        line = len(story) + 1
        key = f"{line}.jpg"
        row = image(
            FIRST_LOAD, line, key, labels=labels, etag=f"{number:032x}", size_bytes=9, min_confidence=50.0
        )
        story.append((row, labels))
    return tables(story)


def verdict(number: int, of: int, **given: Any) -> dict[str, Any]:
    row = {"content": name(of), "load_id": FIRST_LOAD, "model_version": "7.0", "min_confidence": 50.0}
    row |= {"label": "Violence", "level": 1, "l1": "Violence", "l2": None}
    return verdict_row(number, **(row | given))


FLAGGED_DRAW = {"queue_id": "job-1", "seed": 1, "design": "simple", "inclusion_probability": 1.0}
OTHER_DRAW = {"queue_id": "random_unflagged-1", "seed": 1, "design": "simple", "inclusion_probability": 0.5}
NOTHING = {"subject": "image", "verdict": "nothing", "label": None, "level": None, "l1": None}

_SEEN = ("load_id", "model_version", "min_confidence", "confidence", "threshold")
BLIND = dict.fromkeys(_SEEN) | {"blind": True}


@pytest.fixture
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        rows = answers()
        for table in ALL_TABLES.values():
            blank = {
                field.name: None if field.nullable else {"bool": False, "string": ""}.get(str(field.type), 0)
                for field in table.schema
            }
            made = pa.Table.from_pylist([blank | row for row in rows.get(table.name, [])], table.schema)
            connection.register("incoming", made)
            connection.execute(f'CREATE TABLE "{table.name}" AS SELECT * FROM incoming')
        for statement in (labels_view(), *verdicts_views()):
            connection.execute(statement)
        yield connection


def tell(connection: duckdb.DuckDBPyConnection, verdicts: Rows, **how: Any) -> Numbers:
    connection.register("incoming", verdict_table(verdicts))
    connection.execute("INSERT INTO verdicts BY NAME SELECT * FROM incoming")
    return numbers(frames_of(connection, **how))


def reviewed() -> Rows:
    flagged = [
        verdict(i, i, verdict="absent" if i == 0 else "present", **FLAGGED_DRAW) for i in range(FLAGGED)
    ]
    others = [verdict(100 + i, FLAGGED + i, **OTHER_DRAW, **NOTHING) for i in range(14)]
    return [*flagged, *others, verdict(200, FLAGGED + 14, **OTHER_DRAW)]


def test_numbers_come_from_the_published_tables(warehouse):
    found = {row["measure"]: row for row in tell(warehouse, reviewed()).pick(label="Violence")}
    assert {measure: found[measure]["value"] for measure in ("tp", "fp", "fn", "tn", "not_verified")} == {
        "tp": 9,
        "fp": 1,
        "fn": 1,
        "tn": 14,
        "not_verified": 0,
    }
    assert (found["precision"]["value"], found["precision"]["high"]) == (
        pytest.approx(0.9),
        pytest.approx(0.9),
    )
    assert found["missed"]["value"] == pytest.approx(2)
    assert found["recall"]["value"] == pytest.approx(9 / 11)
    assert found["recall"]["population"] == "10 images flagged; 30 images not flagged"


def test_what_was_decided_blind_enters_rates_as_what_was_decided_with_the_answer_in_sight(warehouse):
    told = tell(warehouse, [row | BLIND for row in reviewed()])
    found = {row["measure"]: row["value"] for row in told.pick(label="Violence")}
    assert found["precision"] == pytest.approx(0.9)
    assert found["recall"] == pytest.approx(9 / 11)


def test_a_blind_draw_is_of_the_loads_that_it_was_made_from_alone(warehouse):
    blind = [row | BLIND for row in reviewed()]
    elsewhere = {"draw": "job-1:1", "load_id": "another load", "stratum_size": 10, "stratum_drawn": 10}
    draws = pa.Table.from_pylist([dict.fromkeys(DRAWS.names) | elsewhere | {"design": "simple"}], DRAWS)
    found = {row["measure"]: row for row in tell(warehouse, blind, draws=draws).pick(label="Violence")}
    assert found["precision"]["value"] is None
    assert found["tp"]["value"] == 9


def test_nothing_to_flag_says_so_of_every_label_and_of_the_image(warehouse):
    told = tell(warehouse, reviewed())
    for label in ("Weapons", "Gambling"):
        (row,) = told.pick("tn", label=label)
        assert row["value"] >= 14
    whole = {row["measure"]: row["value"] for row in told.pick("tp", "fp", "fn", "tn", label=None)}
    assert whole == {"tp": 9, "fp": 1, "fn": 1, "tn": 14}


def test_a_threshold_in_use_decides_what_was_flagged(warehouse):
    told = tell(warehouse, reviewed(), thresholds=Thresholds(labels={"Violence": 65.0}))
    (row,) = told.pick("fn", label="Violence")
    assert (row["threshold"], row["value"]) == (65, 5)  # four present below 65, one not listed


def test_a_content_under_two_keys_is_one_and_weighs_two_when_asked(warehouse):
    frames = frames_of(warehouse)
    assert sum(row["contents"] for row in frames.populations.to_pylist() if row["label"] is None) == IMAGES
    assert sum(row["copies"] for row in frames.populations.to_pylist() if row["label"] is None) == IMAGES + 1


def test_an_erased_verdict_still_counts(warehouse):
    gone = dict.fromkeys(("content", "source_ref", "load_id", "manifest_id", "line_number"))
    erased = verdict(300, 0, **(gone | {"erased": True, "verdict": "absent", "confidence": 90.0}))
    (row,) = tell(warehouse, [*reviewed(), erased]).pick("fp", label="Violence")
    assert row["value"] == 2


def test_the_page_says_what_is_measured_and_what_is_not_and_loads_nothing(warehouse):
    page = render(tell(warehouse, [*reviewed(), verdict(400, 5, reviewer="<b>eve</b>")]))
    assert "90.0% (90.0% to 90.0%)" in page
    assert "9 of 10; 10 images flagged" in page
    assert "not measurable" not in page.partition("Toward training")[0].partition("Violence")[0]
    assert "<b>eve" not in page
    assert not any(word in page for word in ("http://www.example", "<script", "url("))


def test_a_page_without_verdicts_says_that_nothing_is_known():
    assert "Nothing was flagged or verified yet" in render(Numbers(NUMBERS.empty_table()))


@pytest.mark.slow
def test_one_image_under_a_million_keys_that_somebody_spoke_of_needs_no_more_memory_than_any(tmp_path: Path):
    with duckdb.connect() as connection:
        connection.execute(f"SET temp_directory = '{tmp_path}'")
        connection.execute("SET memory_limit = '64MB'")
        connection.execute(
            "CREATE TABLE spoken_images AS SELECT 'load' AS load_id, 'manifest' AS manifest_id,"
            " '7.0' AS model_version, NULL::VARCHAR AS adapter, 'none' AS content_type,"
            " 'moderated' AS status,"
            " DATE '2026-11-16' AS dt, TIMESTAMPTZ '2026-11-16 00:00:00+00' AS moderated_at,"
            " 50.0 AS min_confidence, repeat('a', 40) AS content, hash(i) AS source,"
            " i::INTEGER AS line_number FROM range(1_000_000) AS t(i)"
        )
        connection.execute(judged._ANSWERED, dict.fromkeys(("load", "since", "until")))
        assert connection.execute("SELECT line_number, copies FROM answered").fetchall() == [(0, 1_000_000)]
