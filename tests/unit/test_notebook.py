"""pandas users need one import, and the example in the repository works."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from moderation import notebook
from support import small_warehouse
from support.small_warehouse import FIRST_LOAD

EXAMPLE = Path(__file__).parents[2] / "examples" / "notebook.py"


@pytest.fixture(autouse=True)
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = small_warehouse.small(tmp_path / "warehouse.duckdb")
    monkeypatch.setenv("MODERATION_WAREHOUSE", str(path))
    return path


def test_a_ready_query_a_table_and_sql_are_frames() -> None:
    assert notebook.query("content-type-split")["images"].tolist() == [3, 2, 1, 1]
    assert len(notebook.query("images")) == 13
    assert notebook.query("select ? + 1 as n", [41])["n"].tolist() == [42]
    assert len(notebook.query("labels", load_id=FIRST_LOAD)) == 9  # 3 of a1, 1 of a3, 3 + 2 of a4


def test_percents_can_be_calculated_with() -> None:
    assert notebook.query("flag_rate_by_day_and_l1")["flagged_percent"].max() == 75.0


def test_confidences_keep_every_bit(tmp_path: Path) -> None:
    exact = 99.86129760742188
    row = small_warehouse.image(FIRST_LOAD, 1, "a.jpg", max_confidence=exact)
    path = small_warehouse.write(tmp_path / "one.duckdb", {"images": [row]})
    assert notebook.query("images", warehouse=path)["max_confidence"].tolist() == [exact]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select nothing from images", "nothing"),
        ("-- nothing to run", "one statement that answers"),
        ("top_l4", "did you mean top_l3"),
    ],
)
def test_wrong_sql_is_said(text: str, message: str) -> None:
    with pytest.raises(notebook.QueryError, match=message):
        notebook.query(text)


def test_a_result_outlives_the_file(warehouse: Path) -> None:
    frame = notebook.query("images")
    warehouse.unlink()
    assert frame["source_ref"].iloc[0] == "s3://archive/a1.jpg"


def test_contents_lists_tables_and_ready_queries() -> None:
    names = set(notebook.contents()["name"])
    assert {"images", "labels", "loads", "top_l3"} <= names


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE))
    assert "Graphic Violence" in capsys.readouterr().out
