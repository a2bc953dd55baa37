from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow.parquet
import pytest

from moderation.query.answers import QueryError
from moderation.query.formats import ENDINGS, Format, export, format_of, write

EXACT = 99.86129760742188
ROWS = f"""
    select E'a|b<i>\\n*[x](y)' as text, {EXACT}::double as confidence, null::varchar as nothing,
        'nan'::double as nan, '-inf'::double as inf, [1, 2] as list, {{'x': 'é'}} as struct,
        12345678901234567.89::decimal(38, 2) as cost, sum(range) as huge,
        timestamptz '2026-11-22 02:00:00+00' as at, date '2026-11-22' as dt, interval 3 day as span,
        '\\xff'::blob as bytes, true as flag, 1 as a, 2 as a
    from range(3)
"""


@pytest.fixture
def answer() -> duckdb.DuckDBPyRelation:
    return duckdb.connect().sql(ROWS)


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".ndjson"])
def test_json_is_strict_and_keeps_every_bit(
    answer: duckdb.DuckDBPyRelation, tmp_path: Path, ending: str
) -> None:
    export(answer, tmp_path / f"a{ending}")
    text = (tmp_path / f"a{ending}").read_text(encoding="utf-8")

    def refuse(word: str) -> None:
        raise AssertionError(word)

    found = json.loads(text, parse_constant=refuse, parse_float=str)
    row = found[0] if ending == ".json" else found
    assert float(row.pop("confidence")) == EXACT
    assert datetime.fromisoformat(row.pop("at")) == datetime(2026, 11, 22, 2, tzinfo=UTC)
    assert row == {
        "text": "a|b<i>\n*[x](y)",
        "nothing": None,
        "nan": None,
        "inf": None,
        "list": [1, 2],
        "struct": {"x": "é"},
        "cost": "12345678901234567.89",
        "huge": 3,
        "dt": "2026-11-22",
        "span": "3 days",
        "bytes": "ff",
        "flag": True,
        "a": 1,
        "a_1": 2,
    }


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (".json", "[]\n"),
        (".jsonl", ""),
        (".csv", "n\n"),
        (".md", "| n |\n| ---: |\n"),
        (".txt", "n\n"),
    ],
)
def test_no_rows_are_an_answer_too(tmp_path: Path, ending: str, text: str) -> None:
    export(duckdb.connect().sql("select 1 as n where false"), tmp_path / f"a{ending}")
    assert (tmp_path / f"a{ending}").read_text() == text


def test_nothing_in_a_cell_of_markdown_is_markup(answer: duckdb.DuckDBPyRelation, tmp_path: Path) -> None:
    export(answer.project("text, nothing, cost"), tmp_path / "a.md")
    assert (tmp_path / "a.md").read_text().splitlines() == [
        "| text | nothing | cost |",
        "| --- | --- | ---: |",
        "| a\\|b&lt;i><br>\\*\\[x](y) |  | 12345678901234567.89 |",
    ]


CELLS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "a=1", " =1", "'=1", "", "-", 'a"b,c']
SAFE = [*(f"'{cell}" for cell in CELLS[:7]), *CELLS[7:11], "'-", CELLS[12]]


@pytest.mark.parametrize(("safe", "expected"), [(False, CELLS), (True, SAFE)])
def test_cells_that_spreadsheets_take_for_formulas_are_made_harmless_on_demand(
    tmp_path: Path, safe: bool, expected: list[str]
) -> None:
    relation = duckdb.connect().sql(
        "select unnest($1) as \"=c\", -5 as n, null as \"@nothing\", '=x'::enum('=x') as e", params=[CELLS]
    )
    export(relation, tmp_path / "a.csv", safe_cells=safe)
    with (tmp_path / "a.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    mark = "'" if safe else ""
    assert header == [f"{mark}=c", "n", f"{mark}@nothing", "e"]
    assert [row[0] for row in rows] == expected
    assert {tuple(row[1:]) for row in rows} == {("-5", "", f"{mark}=x")}


def test_a_format_is_taken_whatever_the_name_and_a_name_without_one_is_refused(tmp_path: Path) -> None:
    relation = duckdb.connect().sql("select 1 as n")
    export(relation, tmp_path / "answer", Format.PARQUET)
    assert pyarrow.parquet.read_table(tmp_path / "answer").to_pylist() == [{"n": 1}]
    with pytest.raises(QueryError, match=r"must end in \.csv, .* or \.parquet; or name the format"):
        format_of(tmp_path / "answer")
    assert {format_of(Path(f"A{ending.upper()}")) for ending in ENDINGS} == set(Format)


@pytest.mark.parametrize(("rows", "written", "more"), [(None, 5, False), (5, 5, False), (4, 4, True)])
def test_no_more_rows_than_asked_for_are_written(
    tmp_path: Path, rows: int | None, written: int, more: bool
) -> None:
    relation = duckdb.connect().sql("from range(5)")
    assert write(relation, tmp_path / "a", Format.JSONL, rows=rows) is more
    assert len((tmp_path / "a").read_text().splitlines()) == written
