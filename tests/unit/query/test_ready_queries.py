"""The ready queries answer rightly, and are SQL that Athena and Redshift parse as well."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from moderation.policy.thresholds import Thresholds
from moderation.query import queries
from moderation.query.queries import UnknownQueryError
from moderation.review.statistics.agreement import people
from moderation.warehouses.views import in_use
from support import small_warehouse
from support.small_warehouse import ADAPTER, FIRST_LOAD, SECOND_LOAD
from support.verdict_rows import START, verdict_row, verdict_table

NUDITY = "Non-Explicit Nudity of Intimate parts and Kissing"
NINE = datetime(2026, 11, 16, 9, tzinfo=UTC)
SUNDAY = date(2026, 11, 22)
ONE, TWO = date(2026, 11, 16), date(2026, 11, 23)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    path = small_warehouse.small(tmp_path_factory.mktemp("warehouse") / "small.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        yield connection


def d(text: str) -> Decimal:
    return Decimal(text)


EXPECTED: dict[str, list[tuple[Any, ...]]] = {
    "flag_rate_by_day_and_l1": [
        (ONE, "Explicit", 4, 1, d("25.0000")),
        (ONE, NUDITY, 4, 0, d("0.0000")),
        (ONE, "Not In The Taxonomy", 4, 0, d("0.0000")),
        (ONE, "Suggestive", 4, 0, d("0.0000")),
        (ONE, "Violence", 4, 3, d("75.0000")),  # a3 too, whose L1 was trimmed
        (TWO, "Explicit", 4, 0, d("0.0000")),
        (TWO, NUDITY, 4, 1, d("25.0000")),  # a7: model 6.1's label under its 7.0 category
        (TWO, "Not In The Taxonomy", 4, 1, d("25.0000")),
        (TWO, "Suggestive", 4, 1, d("25.0000")),
        (TWO, "Violence", 4, 1, d("25.0000")),
    ],
    "top_l3": [  # a1's Weapon Violence is gone in its latest answer; b1 lists the label twice
        ("Explicit", "Explicit Nudity", "Exposed Buttocks or Anus", 1, d("95.0000")),
        (NUDITY, "Non-Explicit Nudity", "Exposed Male Nipple", 1, d("72.0000")),
        ("Violence", "Graphic Violence", "Weapon Violence", 1, d("52.5000")),
    ],
    "content_type_split": [  # 7 images: a1 a3 a4 | a2 a8 | a7 | b1
        ("none", 3, d("42.8571"), 2, d("66.6667")),
        ("animated", 2, d("28.5714"), 1, d("50.0000")),
        ("illustrated", 1, d("14.2857"), 1, d("100.0000")),
        ("illustrated_animated", 1, d("14.2857"), 1, d("100.0000")),
    ],
    "confidence_histogram": [  # rows of labels_l1
        ("Explicit", 95, 100, 1),
        ("Not In The Taxonomy", 95, 100, 1),
        ("Suggestive", 70, 75, 1),
        ("Violence", 50, 55, 1),
        ("Violence", 60, 65, 1),
        ("Violence", 95, 100, 1),
    ],
    "images_by_example_rules": [  # block a4 (Explicit 95); review a3 (Violence 85, trimmed); allow the rest
        ("allow", 5, d("71.4286")),
        ("block", 1, d("14.2857")),
        ("review", 1, d("14.2857")),
    ],
    "failures_by_code": [  # a8's AccessDenied was answered later
        ("ImageTooLarge", 1, TWO, TWO, "s3://archive/b2.jpg", "ImageTooLarge in words."),
        ("InvalidImageFormat", 1, ONE, ONE, "s3://archive/a5.webp", "InvalidImageFormat in words."),
    ],
    "images_by_day_and_status": [(ONE, 4, 3, 2, 2), (TWO, 4, 3, 1, 0)],
    "images_by_label": [  # a1's latest answer is empty; a3 has no L1 row, yet its L1 is known
        ("Explicit", None, None, 1),
        ("Explicit", "Explicit Nudity", None, 1),
        ("Explicit", "Explicit Nudity", "Exposed Buttocks or Anus", 1),
        (NUDITY, None, None, 1),
        (NUDITY, "Non-Explicit Nudity", None, 1),
        (NUDITY, "Non-Explicit Nudity", "Exposed Male Nipple", 1),
        ("Not In The Taxonomy", None, None, 1),
        ("Suggestive", None, None, 1),
        ("Violence", None, None, 3),  # a3, a4, b1
        ("Violence", "Graphic Violence", None, 1),
        ("Violence", "Graphic Violence", "Weapon Violence", 1),
        ("Violence", "Weapons", None, 2),
    ],
    "cost_per_1000": [
        (ONE, 1, 5, 4, d("0.005000"), d("1.000000"), d("1.250000")),
        (TWO, 1, 4, 4, d("0.003200"), d("0.800000"), d("0.800000")),
    ],
    "model_drift_by_week": [
        ("6.1", TWO, 1, 1, d("100.0000"), None, d("72.0000"), None),
        ("7.0", ONE, 4, 3, d("75.0000"), None, d("93.0000"), None),  # (99 + 85 + 95) / 3
        ("7.0", TWO, 3, 2, d("66.6667"), d("-8.3333"), d("76.2500"), d("-16.7500")),  # (100 + 52.5) / 2
    ],
    "cooccurring_labels": [  # a4 alone has two L2: 1 * 7 / (1 * 2): Weapons is on a3 and a4
        ("Explicit Nudity", "Weapons", 1, d("3.5000")),
    ],
    "verified_labels": [  # of a3 the L1 was trimmed; b1 lists the label twice
        ("Violence", "Violence", 0, 0, 1, 0, 3),
        ("Violence", "Weapon Violence", 0, 1, 0, 0, 2),
        ("Violence", "Weapons", 1, 0, 0, 0, 1),
    ],
    "images_decided_by": [("person", "allow", 1, 0, 0), ("policy", "policy", 7, 1, 1)],  # 8 answers
    "decisions_by_reviewer": [(SUNDAY, "ana", 2, 2, 0, 0, 0), (SUNDAY, "ben", 1, 1, 0, 0, 1)],
    "adapters_by_load": [
        (SECOND_LOAD, ADAPTER, 1, 1, "in use", "Gambling|Violence", "7.0", "passes", 21, 1, NINE, "ana"),
        (SECOND_LOAD, "the base model", 3, 2, *[None] * 8),
        (FIRST_LOAD, "the base model", 4, 3, *[None] * 8),
    ],
    "images_gone": [(TWO, "s3://archive", 2, 1)],  # a5 failed
    "not_attempted_backlog": [  # a7 was answered in the second load
        (FIRST_LOAD, ONE, "Throttling", 1, ONE, "s3://archive/a6.jpg"),
    ],
}


def test_every_ready_query_has_an_answer_worked_out_by_hand() -> None:
    assert {query.name for query in queries.queries()} == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_answer_is_the_one_worked_out_by_hand(name: str, warehouse: duckdb.DuckDBPyConnection) -> None:
    assert warehouse.execute(queries.query(name).sql).fetchall() == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_runs_on_empty_tables(name: str, tmp_path: Path) -> None:
    path = small_warehouse.write(tmp_path / "empty.duckdb", {})
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute(queries.query(name).sql).fetchall() == []


@pytest.mark.parametrize("dialect", ["athena", "redshift"])
@pytest.mark.parametrize("name", EXPECTED)
def test_parses_in_the_other_warehouse(name: str, dialect: str) -> None:
    text = queries.sql_for(name, dialect)
    (tree,) = sqlglot.parse(text, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    assert isinstance(tree, exp.Query)
    assert not list(tree.find_all(exp.Command))
    # What one of them parses but cannot run.
    assert not list(tree.find_all(exp.Filter, exp.Qualify, exp.ArgMax, exp.ArgMin))
    assert dialect != "redshift" or not list(tree.find_all(exp.Values))


@pytest.mark.parametrize("name", EXPECTED)
def test_uses_only_tables_and_columns_of_the_schema(name: str, tmp_path: Path) -> None:
    from sqlglot.optimizer.qualify import qualify  # noqa: PLC0415 - used by this test alone

    from moderation.tables.standing import ALL_TABLES  # noqa: PLC0415
    from moderation.warehouses.views.verdict_views import COLUMNS  # noqa: PLC0415

    schema: dict[str, object] = {
        table.name: {field.name: "text" for field in table.schema} for table in ALL_TABLES.values()
    } | {view: dict.fromkeys(columns, "text") for view, columns in COLUMNS.items()}
    with duckdb.connect(small_warehouse.write(tmp_path / "empty.duckdb", {})) as connection:
        for view in in_use.view_names():
            schema[view] = {name: "text" for name, *_ in connection.execute(f"DESCRIBE {view}").fetchall()}
    qualify(sqlglot.parse_one(queries.query(name).sql, read="duckdb"), schema=schema, dialect="duckdb")


@pytest.mark.parametrize("spelling", ["top_l3", "top-l3", " TOP_L3 "])
def test_a_query_is_found_however_its_name_is_typed(spelling: str) -> None:
    assert queries.query(spelling).name == "top_l3"


def test_what_people_found_is_counted_at_the_thresholds_in_use(tmp_path: Path) -> None:
    thresholds = Thresholds(labels={"Weapons": 99.9, "Violence": 1.0})
    with duckdb.connect(str(small_warehouse.small(tmp_path / "small.duckdb"))) as connection:
        for statement in in_use.views(thresholds, in_use.Dialect()).values():
            connection.execute(statement)
        found = connection.execute(queries.query("verified_labels").sql).fetchall()
    assert found == [
        ("Violence", "Violence", 0, 0, 1, 0, 3),
        ("Violence", "Weapon Violence", 0, 1, 0, 0, 2),
        ("Violence", "Weapons", 0, 0, 1, 0, 0),
    ]


def test_decisions_of_a_person_are_counted_as_on_the_page_of_numbers(tmp_path: Path) -> None:
    whole = {"subject": "image", "label": None, "level": None, "l1": None, "l2": None}
    at_once = {"content": "c0", "decided_at": START}
    later = {"content": "c0", "decided_at": START + timedelta(minutes=5)}
    rows = [
        verdict_row(0, **at_once),
        verdict_row(1, **at_once, label="Smoking", verdict="unsure"),
        verdict_row(2, **at_once, **whole, verdict="note"),
        *(verdict_row(3 + number, **later, verdict="withdrawn", replaces=f"v{number}") for number in (0, 1)),
        verdict_row(5, **later, **whole, verdict="nothing"),
        verdict_row(6, **whole, verdict="skipped"),
        *(
            verdict_row(number, content=None, source_ref=None, decided_at=START, erased=True)
            for number in (7, 8)
        ),
    ]
    path = small_warehouse.write(tmp_path / "small.duckdb", {"verdicts": rows})
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute(queries.query("decisions_by_reviewer").sql).fetchall()
    (ana,) = people(verdict_table(rows))
    assert found == [(SUNDAY, "ana", ana["decisions"], ana["contents"], 1, 1, 1)]
    assert (ana["decisions"], ana["contents"]) == (4, 3)


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownQueryError, match=r"did you mean cost_per_1000\?"):
        queries.query("cost_per_100")


def test_what_a_query_answers_is_a_question() -> None:
    for query in queries.queries():
        assert "?" in query.answers
        assert "--" not in query.answers
