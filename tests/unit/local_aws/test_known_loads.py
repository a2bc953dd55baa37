"""A load that is to be done again is looked for before anything is started."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from local_aws.known_loads import why_unknown
from local_aws.stack import run as run_command
from local_aws.stack.layout import Layout, StackError
from support import small_warehouse
from support.small_warehouse import FIRST_LOAD, SECOND_LOAD

ELSEWHERE = "20261201T020000Z-cccccccccccc"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.var.mkdir()
    small_warehouse.small(layout.warehouse)
    return layout


def why(layout: Layout, load_id: str) -> str | None:
    return why_unknown(load_id, warehouse=layout.warehouse, reports=layout.var / "report/completion")


def completion(layout: Layout, load_id: str, *, published: bool) -> None:
    folder = layout.var / "report/completion" / load_id
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps({"load_id": load_id if published else None}))


@pytest.mark.parametrize("asked", ["nope", ELSEWHERE, "../../..", "a\nb", "%"])
def test_an_unknown_load_stops_a_run_before_it_starts_anything_and_the_last_are_named(layout, asked):
    before = sorted(layout.var.rglob("*"))

    with pytest.raises(StackError, match=f"names no load .*{SECOND_LOAD}, {FIRST_LOAD}"):
        run_command.run(layout, {"IMAGES": str(layout.root), "REDO": asked})

    assert sorted(layout.var.rglob("*")) == before


def test_where_nothing_was_ever_published_that_is_said(tmp_path):
    assert "make run" in str(why(Layout(tmp_path), FIRST_LOAD))


def test_a_load_of_the_warehouse_is_known(layout):
    assert why(layout, FIRST_LOAD) is None


def test_a_published_load_that_the_warehouse_lacks_is_known_and_a_run_without_a_load_is_none(layout):
    completion(layout, ELSEWHERE, published=True)
    assert why(layout, ELSEWHERE) is None
    other = ELSEWHERE.replace("c", "d")
    completion(layout, other, published=False)
    assert why(layout, other)


@pytest.mark.parametrize(("asked", "refused"), [(ELSEWHERE, False), ("nope", True)])
def test_beside_a_program_that_keeps_the_warehouse_busy_only_what_is_no_id_is_refused(layout, asked, refused):
    with duckdb.connect(str(layout.warehouse)):
        assert bool(why(layout, asked)) == refused
