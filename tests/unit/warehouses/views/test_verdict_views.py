"""The views say of verdicts what `review.effective` says, and of images and labels what follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.reference.content import subject_id
from moderation.reference.taxonomy import taxonomy
from moderation.review.effective import effective, severe
from moderation.review.verdict import ALLOWED, Said, Subject, Verdict
from moderation.schema import TABLES
from moderation.tables.standing import ALL_TABLES
from moderation.warehouses.duckdb import labels_view, verdicts_views
from moderation.warehouses.views import verdict_views
from support.small_warehouse import FIRST_LOAD, chain, image, tables
from support.verdict_rows import START, verdict_row, verdict_table

Rows = list[dict[str, Any]]
MD5 = "9e107d9d372bb6826bd81d3542a419d6"
LABELS = ("Violence", "Weapons", "Graphic Violence", "Weapon Violence", "Explicit", "Not In The Taxonomy")


@pytest.fixture(scope="module")
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for table in ALL_TABLES.values():
            empty = table.schema.empty_table()
            connection.register("incoming", empty)
            connection.execute(f'CREATE TABLE "{table.name}" AS SELECT * FROM incoming')
        for statement in (labels_view(), *verdicts_views()):
            connection.execute(statement)
        yield connection


def fill(
    connection: duckdb.DuckDBPyConnection, verdicts: Rows, answers: dict[str, Rows] | None = None
) -> None:
    for name, table in TABLES.items():
        connection.execute(f'DELETE FROM "{name}"')
        rows = (answers or {}).get(name)
        if rows:
            blank = {
                field.name: None if field.nullable else {"bool": False, "string": ""}.get(str(field.type), 0)
                for field in table.schema
            }
            connection.register("incoming", pa.Table.from_pylist([blank | row for row in rows], table.schema))
            connection.execute(f'INSERT INTO "{name}" BY NAME SELECT * FROM incoming')
    connection.execute("DELETE FROM verdicts")
    connection.register("incoming", verdict_table(verdicts))
    connection.execute("INSERT INTO verdicts BY NAME SELECT * FROM incoming")


def path(label: str | None) -> dict[str, Any]:
    node = taxonomy().lookup(label or "")
    names = node.path if node else (label,)
    levels = dict(zip(("l1", "l2", "l3"), [*names, None, None], strict=False))
    return {"level": len(names), **levels}


@st.composite
def logs(draw: st.DrawFn) -> Rows:
    """Verdicts of three people about three contents, some taken back, some at the same moment."""
    rows: Rows = []
    for number in range(draw(st.integers(1, 25))):
        subject = draw(st.sampled_from([Subject.LABEL, Subject.LABEL, *Subject]))
        said = draw(st.sampled_from(sorted(ALLOWED[subject])))
        label = {
            Subject.LABEL: draw(st.sampled_from(LABELS)),
            Subject.CONTENT_TYPE: draw(st.sampled_from(["Illustrated", "Animated"])),
        }.get(subject)
        told = path(label) if subject == Subject.LABEL else {"level": None, "l1": None, "l2": None}
        replaces = f"v{draw(st.integers(0, number))}" if said == Said.WITHDRAWN else None
        rows.append(
            verdict_row(
                number,
                decided_at=START + timedelta(minutes=draw(st.integers(0, 8))),
                reviewer=draw(st.sampled_from(["ana", "ben", "cem"])),
                content=f"c{draw(st.integers(1, 3))}",
                subject=str(subject),
                label=label,
                verdict=str(said),
                replaces=replaces,
                purpose=draw(st.sampled_from([None, None, "dispute"])),
                **told,
            )
        )
    return rows


@pytest.mark.slow
@settings(max_examples=20)
@given(rows=logs())
def test_the_rule_is_the_same_in_sql_and_in_python(warehouse: duckdb.DuckDBPyConnection, rows: Rows) -> None:
    fill(warehouse, rows)
    verdicts = [Verdict.from_row(row) for row in rows]
    found = warehouse.execute(
        "SELECT content, label, truth, opinions, is_implied, is_decided FROM verdicts_current "
        "WHERE subject <> 'image'"
    ).fetchall()
    expected = [
        (*key, str(told.truth), told.reviewers, told.implied, told.decided)
        for key, told in effective(verdicts).items()
    ]
    assert sorted(found) == sorted(expected)
    blocked = warehouse.execute(
        "SELECT content FROM verdicts_current WHERE subject = 'image' AND truth = 'severe'"
    ).fetchall()
    assert {content for (content,) in blocked} == severe(verdicts)


def photo(line: int, path: str | None, **columns: Any) -> tuple[dict[str, Any], Rows]:
    labels = chain(path, 90.0) if path else []
    etag = {"etag": f"{line:032x}", "size_bytes": 10}
    return image(FIRST_LOAD, line, f"{line}.jpg", labels=labels, **(etag | columns)), labels


def content_of(line: int) -> dict[str, Any]:
    return {"content": f"{line:032x}-10"}


def test_each_label_has_what_people_say_of_it_and_what_was_missed_stands_beside(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    answers = tables([photo(1, "Violence > Graphic Violence > Weapon Violence"), photo(2, None)])
    weapons = {"label": "Weapons", **path("Weapons")}
    fill(
        warehouse,
        [
            verdict_row(
                1, **content_of(1), label="Weapon Violence", **path("Weapon Violence"), verdict="absent"
            ),
            verdict_row(2, **content_of(1), label="Graphic Violence", **path("Graphic Violence")),
            verdict_row(3, **content_of(2), **weapons),
        ],
        answers,
    )
    found = warehouse.execute(
        "SELECT line_number, label, is_listed, truth FROM labels_verified ORDER BY ALL"
    ).fetchall()
    assert found == [
        (1, "Graphic Violence", True, "present"),
        (1, "Violence", True, "present"),
        (1, "Weapon Violence", True, "absent"),
        (2, "Violence", False, "present"),
        (2, "Weapons", False, "present"),
    ]


ABSENT = {"label": "Weapons", "verdict": "absent"}
NOTHING = {"subject": "image", "label": None, "level": None, "l1": None, "l2": None, "verdict": "nothing"}


@pytest.mark.parametrize(
    ("verdicts", "ends"),
    [
        ([], ("policy", "policy")),
        ([ABSENT], ("policy", "policy")),  # Violence stands, unjudged
        ([ABSENT, ABSENT | {"label": "Violence", "level": 1, "l2": None}], ("person", "allow")),
        ([NOTHING], ("person", "allow")),
        ([NOTHING, ABSENT | {"verdict": "present"}], ("policy", "policy")),
        ([NOTHING | {"verdict": "severe"}], ("person", "block")),
        ([NOTHING | {"verdict": "severe"}, NOTHING], ("person", "block")),
        ([NOTHING | {"verdict": "severe"}, NOTHING | {"verdict": "not_severe"}], ("policy", "policy")),
        ([NOTHING | {"verdict": "unsure"}], ("policy", "policy")),
    ],
)
def test_an_image_ends_by_policy_unless_a_person_had_the_last_word(
    warehouse: duckdb.DuckDBPyConnection, verdicts: Rows, ends: tuple[str, str]
) -> None:
    rows = [verdict_row(number, **(content_of(1) | told)) for number, told in enumerate(verdicts)]
    fill(warehouse, rows, tables([photo(1, "Violence > Weapons")]))
    assert warehouse.execute("SELECT decided_by, ends_as FROM images_decided").fetchall() == [ends]


@pytest.mark.parametrize(
    ("etag", "size"),
    [(MD5, 12), (MD5, None), (None, 12), (f"{MD5}-3", 12), ("x", 0), (None, None)],
)
def test_a_content_has_the_same_name_in_the_views_as_in_the_log(
    warehouse: duckdb.DuckDBPyConnection, etag: str | None, size: int | None
) -> None:
    ref = "s3://archive/ünï 'quoted'.jpg"
    fill(warehouse, [], tables([photo(1, None, source_ref=ref, etag=etag, size_bytes=size)]))
    assert warehouse.execute("SELECT content FROM images_decided").fetchall() == [
        (subject_id(ref, etag, size),)
    ]


@pytest.mark.parametrize("view", verdict_views.VIEWS)
def test_the_columns_of_a_view_are_those_that_a_warehouse_expects(
    warehouse: duckdb.DuckDBPyConnection, view: str
) -> None:
    assert tuple(warehouse.table(view).columns) == verdict_views.COLUMNS[view]
