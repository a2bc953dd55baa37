"""The views of a PostgreSQL warehouse, which workers of two releases can both make.

``CREATE OR REPLACE VIEW`` takes no column from a view, and adds columns at its end only [PostgreSQL, CREATE
VIEW]. A worker of an earlier release could therefore not replace a view that has a column which came later.
So a view keeps the columns with which it stands, whoever loads, until a person says that no such worker is
left. A view that does not stand yet gets all.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from moderation.policy.thresholds import Thresholds
from moderation.schema import IMAGES, LABELS, TABLES, TableSpec
from moderation.tables.catalog import NAMESPACE
from moderation.warehouses import sql
from moderation.warehouses.views import in_use, verdict_views

Columns = dict[str, tuple[str, ...]]
"""Columns by the name of their table or view, in order."""

TYPES = {
    pa.string(): "TEXT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE PRECISION",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
}


def taken_over(known: Columns) -> Columns:
    """By table, those of its columns that the view of what counts has now; no entry where none stands."""
    return {
        table.name: tuple(name for name in known[view] if name in known[table.name])
        for view, table in _tables().items()
        if view in known and table.name in known
    }


def lacking(known: Columns) -> Columns:
    """By view, the columns of its table that it does not have yet."""
    found = {
        view: tuple(name for name in in_use.kept(table) if name not in known[view])
        for view, table in _tables().items()
        if view in known
    }
    if "labels" in known:
        found["labels"] = tuple(name for name in sql.LABELS_COLUMNS if name not in known["labels"])
    return {view: names for view, names in found.items() if names}


def labels(schema: str = NAMESPACE, known: Mapping[str, tuple[str, ...]] | None = None) -> str:
    """The view that unites the label tables; ``level`` tells them apart, ``origin`` is the image's.

    :param known: columns by view; those that this one has come first, for it to be replaced.
    """
    places = {table: _place(schema, table) for table in TABLES}
    query = sql.labels_select(places, TYPES)
    query = sql.in_order(query, sql.LABELS_COLUMNS, (known or {}).get("labels", ()))
    return f"CREATE OR REPLACE VIEW {_place(schema, 'labels')} AS {query}"


def verdicts_views(schema: str = NAMESPACE) -> list[str]:
    """The views over what people decided; a later release adds columns at their end, as in every table."""
    selects = verdict_views.selects(verdict_views.POSTGRES, lambda name: _place(schema, name))
    return [f"CREATE OR REPLACE VIEW {_place(schema, view)} AS {select}" for view, select in selects.items()]


def in_use_views(
    wanted: Thresholds,
    schema: str = NAMESPACE,
    *,
    known: Columns | None = None,
    kept: Columns | None = None,
) -> list[str]:
    """Statements that make the views of what counts by these thresholds.

    :param known: columns by view; those that a view has come first, for it to be replaced.
    :param kept: by table, the only columns that its view takes over; all, where it has no entry.
    """
    dialect = in_use.Dialect(
        text="TEXT",
        number="DOUBLE PRECISION",
        first_l1="(array_agg(l1 ORDER BY confidence DESC))[1]",
        place=lambda table: _place(schema, table),
    )
    return list(in_use.views(wanted, dialect, columns=kept, stand=known).values())


def _place(schema: str, name: str) -> str:
    return f"{sql.name(schema)}.{sql.name(name)}"


def _tables() -> dict[str, TableSpec]:
    return {f"{table.name}_in_use": table for table in (*LABELS.values(), IMAGES)}
