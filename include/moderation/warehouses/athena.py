"""Amazon Athena: the SQL that shows the published tables there; nothing here opens a connection.

With ``MODERATION_CATALOG_URI=glue``, publishing itself keeps the Iceberg tables current: no table DDL, no
crawler and no load step. There are no external tables over the Parquet folders: such a table sees every
file that lies there, those of a publish that died and those that a compaction has replaced, and so counts
rows twice.

The views have the tables' own names in a database of their own, so that ready queries run there unchanged.
They show only loads that are in ``loads``: one table's commit alone is no publish. Times are TIMESTAMP
there, in UTC: Athena makes no view with a TIMESTAMP WITH TIME ZONE ("Unsupported Hive type"), though it
reads the tables' own.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from moderation.policy.thresholds import Thresholds
from moderation.policy.thresholds import in_use as in_use_now
from moderation.schema import LOADS, TABLES, TableSpec
from moderation.tables.catalog import NAMESPACE
from moderation.tables.standing import STANDING
from moderation.warehouses import sql
from moderation.warehouses.views import in_use, verdict_views

PUBLISHED = "moderation_published"

_TRINO_TYPES = {pa.string(): "VARCHAR"}


def views_over_iceberg(
    *, source: str = NAMESPACE, database: str = PUBLISHED, thresholds: Thresholds | None = None
) -> list[str]:
    """Statements for a view of each table, ``labels``, those over verdicts and of what counts, over Glue.

    :param source: the Glue database that `moderation.tables.catalog` publishes into.
    :param database: where the views are made.
    :param thresholds: those in use when None; run the statements again when they change.
    """
    loads = _place(source, LOADS.name)
    where = f'"load_id" IN (SELECT "load_id" FROM {loads})'  # noqa: S608 - names of ours
    statements = [f"CREATE DATABASE IF NOT EXISTS {_hive_name(database)}"]
    for table in TABLES.values():
        origin = f"FROM {loads}" if table is LOADS else f"FROM {_place(source, table.name)} WHERE {where}"
        statements.append(
            f"CREATE OR REPLACE VIEW {_place(database, table.name)} AS SELECT {_columns(table)} {origin}"
        )
    places: Mapping[str, str] = {table: _place(source, table) for table in TABLES}
    union = sql.labels_select(places, _TRINO_TYPES, where=where)
    statements.append(f"CREATE OR REPLACE VIEW {_place(database, 'labels')} AS {union}")
    for table in STANDING.values():
        origin = f"FROM {_place(source, table.name)}"
        statements.append(
            f"CREATE OR REPLACE VIEW {_place(database, table.name)} AS SELECT {_columns(table)} {origin}"
        )
    # Over the views beside them: only these keep apart what is in no load.
    selects = verdict_views.selects(verdict_views.TRINO, lambda table: _place(database, table))
    statements += [
        f"CREATE OR REPLACE VIEW {_place(database, view)} AS {select}" for view, select in selects.items()
    ]
    dialect = in_use.Dialect(
        first_l1="max_by(l1, confidence)", place=lambda table: _place(database, table), labels=union
    )
    counted = in_use.views(in_use_now() if thresholds is None else thresholds, dialect)
    return [*statements, *counted.values()]


def _columns(table: TableSpec) -> str:
    return ", ".join(
        f"CAST({sql.name(entry.name)} AT TIME ZONE 'UTC' AS TIMESTAMP(6)) AS {sql.name(entry.name)}"
        if pa.types.is_timestamp(entry.type)
        else sql.name(entry.name)
        for entry in table.schema
    )


def _place(database: str, table: str) -> str:
    return f"{sql.name(database)}.{sql.name(table)}"


def _hive_name(text: str) -> str:
    return "`" + text.replace("`", "``") + "`"
