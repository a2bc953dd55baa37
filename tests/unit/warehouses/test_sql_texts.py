"""Every SQL text for a warehouse is read by sqlglot in its dialect; a fallback node is a failure.

sqlglot knows Redshift's LOCK only as such a fallback: it is matched with a grammar of our own, and runs on a
real PostgreSQL in ``tests/integration/warehouses``, as all of PostgreSQL's and most of Redshift's texts do.
"""

from __future__ import annotations

import re
from datetime import date

import botocore.session
import pyarrow as pa
import pytest
import sqlglot
from sqlglot import exp

from moderation.schema import IMAGES, LABELS, TABLES
from moderation.tables.standing import ALL_TABLES
from moderation.warehouses import athena, duckdb, postgres, redshift
from moderation.warehouses.redshift import Copy, RedshiftSql
from moderation.warehouses.views import in_use, postgres_views, verdict_views
from support.redshift_on_postgres import COPY, LOCK

LOAD_ID = "20261122T020000Z-4f1c0a9b77de"
DAY = date(2026, 11, 22)
ODD = "we\"ird'; DROP TABLE x; --"


def redshift_load(sql: RedshiftSql) -> list[str]:
    return sql.load(LOAD_ID, DAY, [Copy(name, f"s3://work/{name}.manifest") for name in TABLES])


def redshift_texts() -> list[str]:
    texts = []
    for sql in (RedshiftSql(), RedshiftSql(schema=ODD, iam_role="arn:aws:iam::123456789012:role/a")):
        none = {name: set[str]() for name in ALL_TABLES}
        texts += [*sql.setup(), *sql.add_columns(none), *sql.view({}), sql.known_columns()]
        texts += redshift.transaction(redshift_load(sql))
    return texts


def postgres_texts() -> list[str]:
    texts = []
    for table in TABLES.values():
        for schema in ("moderation", ODD):
            texts += postgres.create_table(table, schema)
            texts += postgres.add_columns(table, schema, {"load_id"})
            texts += [text.replace("%s", "$1") for text in postgres.merge(table, schema)]
        texts += [postgres.create_staging(table), postgres.copy(table)]
    return [*texts, postgres_views.labels(), postgres_views.labels(ODD)]


TEXTS = {
    "redshift": redshift_texts(),
    "postgres": postgres_texts(),
    "athena": athena.views_over_iceberg(),
    "duckdb": [duckdb.labels_view()],
}


@pytest.mark.parametrize("dialect", TEXTS)
def test_every_text_is_understood_in_its_dialect(dialect):
    for text in TEXTS[dialect]:
        if dialect == "redshift" and text.startswith("LOCK"):
            continue
        trees = sqlglot.parse(text, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
        assert len(trees) == 1, text
        assert trees[0] is not None
        assert not list(trees[0].find_all(exp.Command)), text


def test_the_lock_comes_first_and_is_of_the_one_form():
    statements = redshift_load(RedshiftSql())
    assert [LOCK.fullmatch(text) is not None for text in statements].index(True) == 0
    assert sum(text.startswith("LOCK") for text in statements) == 1


def test_copy_takes_parquet_by_manifest_and_hides_no_error():
    copies = [text for text in redshift_load(RedshiftSql()) if text.startswith("COPY")]
    assert len(copies) == len(TABLES)
    assert all(COPY.fullmatch(text) for text in copies)


def test_a_whole_load_fits_one_batch_of_the_data_api():
    shape = botocore.session.get_session().get_service_model("redshift-data").shape_for("SqlList")
    assert shape.metadata["max"] == redshift.MAX_BATCH
    assert len(redshift_load(RedshiftSql())) <= redshift.MAX_BATCH
    assert len(RedshiftSql().setup()) <= redshift.MAX_BATCH


def test_a_transaction_stages_everything_before_it_changes_a_table():
    kinds = [text.split()[0] for text in redshift.transaction(redshift_load(RedshiftSql()))]
    assert (kinds[0], kinds[-1]) == ("BEGIN", "END")
    assert max(i for i, kind in enumerate(kinds) if kind == "COPY") < kinds.index("DELETE")
    changed = [text for text in redshift_load(RedshiftSql()) if text.startswith(("DELETE", "INSERT"))]
    assert changed[-1].startswith('INSERT INTO "moderation"."loads"')  # readers that do not lock see it last


def test_a_table_without_rows_in_the_load_loses_rows_of_an_earlier_try():
    statements = RedshiftSql().load(LOAD_ID, DAY, [Copy("images", "s3://work/m")])
    assert sum(text.startswith("DELETE") for text in statements) == len(TABLES)
    assert sum(text.startswith("INSERT") for text in statements) == 1


def test_a_table_that_is_not_ours_is_refused():
    with pytest.raises(ValueError, match="labels_l4"):
        RedshiftSql().load(LOAD_ID, DAY, [Copy("labels_l4", "s3://work/m")])


def test_redshift_tables_join_on_one_node_and_are_sorted_by_day():
    texts = {text.split('"')[3]: text for text in RedshiftSql().setup() if "SORTKEY" in text}
    assert texts.keys() == ALL_TABLES.keys()
    for table in (IMAGES, *LABELS.values()):
        assert 'DISTKEY("source_ref") COMPOUND SORTKEY("dt", ' in texts[table.name]
    assert "DISTSTYLE ALL" in texts["loads"]


def test_redshift_texts_are_wide_enough_for_the_longest_key_and_message():
    widths = {
        (table.name, entry.name): int(found[1])
        for table in TABLES.values()
        for entry in table.schema
        if (found := re.fullmatch(r"VARCHAR\((\d+)\)", redshift.column_type(entry)))
    }
    assert all(width <= 65535 for width in widths.values())
    assert widths["images", "key"] >= 4096 + 1024  # the longest local path below the longest prefix
    assert widths["anomalies", "raw"] >= 4 * 2000
    assert widths["images", "error_message"] == 65535


def test_every_view_of_athena_leaves_out_what_no_load_has_committed():
    _, *views = athena.views_over_iceberg()
    made = set()
    for view in views:
        tree = sqlglot.parse_one(view, read="athena")
        made.add(tree.this.name)
        bare = [
            table.name
            for table in tree.expression.find_all(exp.Table)
            if table.db == "moderation" and table.name in TABLES.keys() - {"loads"}
        ]
        assert view.count('WHERE "load_id" IN (SELECT "load_id" FROM "moderation"."loads")') == len(bare)
    assert made == {*ALL_TABLES, "labels", *verdict_views.VIEWS, *in_use.view_names()}


def test_no_view_of_athena_has_a_time_with_a_zone_which_it_refuses_to_make():
    _, *views = athena.views_over_iceberg()
    found = {}
    for view in views:
        tree = sqlglot.parse_one(view, read="athena")
        if tree.this.name in ALL_TABLES:
            found[tree.this.name] = {
                chosen.alias_or_name: chosen.find(exp.Cast) for chosen in tree.expression.selects
            }
    assert found.keys() == ALL_TABLES.keys()
    for name, table in ALL_TABLES.items():
        assert list(found[name]) == table.schema.names
        for entry in table.schema:
            cast = found[name][entry.name]
            assert (cast is not None) == pa.types.is_timestamp(entry.type), entry.name
            if cast is not None:
                assert cast.to.sql("athena") == "TIMESTAMP(6)"
                assert cast.this.sql("athena") == f"AT_TIMEZONE(\"{entry.name}\", 'UTC')"
