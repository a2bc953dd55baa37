"""Amazon Athena: the SQL that shows the published tables there; nothing here opens a connection.

Two ways, each followed by the same views:

- **Iceberg** (``MODERATION_CATALOG_URI=glue``): publishing itself keeps the Glue tables current. No table DDL
  and no load step are needed.
- **External tables with partition projection** over the same Parquet folders, when the catalog is elsewhere:
  no crawler, no MSCK REPAIR, made once. They see every file in the folders, so the views pick those that a
  load named when it was committed. After a compaction, which writes files under other names, use Iceberg.

The views have the tables' own names in a database of their own, so that ready queries run there unchanged.
They show only loads that are in ``loads``: one table's commit alone is no publish.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from moderation.catalog import NAMESPACE
from moderation.schema import CONTENT_TYPES, LABELS, LOADS, TABLES, TableSpec
from moderation.warehouses import sql

PUBLISHED = "moderation_published"
FILES = "moderation_files"

_HIVE_TYPES = {
    pa.string(): "string",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    pa.timestamp("us", tz="UTC"): "timestamp",
}
_TRINO_TYPES = {pa.string(): "VARCHAR"}


@dataclass(frozen=True, kw_only=True)
class ExternalTables:
    """Builds the tables over the Parquet folders.

    :param tables_uri: ``s3://…``, the setting ``MODERATION_TABLES_URI``.
    :param database: where the tables are made.
    :param first_day: the oldest ``dt``; a query that names no day lists the folders from there to today.
    """

    tables_uri: str
    first_day: date
    database: str = FILES

    def statements(self) -> list[str]:
        """The database and each table, made when missing."""
        if not self.tables_uri.startswith("s3://"):
            raise ValueError(f"Athena reads S3 only, not {self.tables_uri}")
        return [
            f"CREATE DATABASE IF NOT EXISTS {_hive_name(self.database)}",
            *(self._table(table) for table in TABLES.values()),
        ]

    def _table(self, table: TableSpec) -> str:
        def column(name: str) -> str:
            entry = table.schema.field(name)
            doc = _hive_text((entry.metadata or {}).get(b"doc", b"").decode())
            return f"{_hive_name(name)} {_HIVE_TYPES[entry.type]} COMMENT {doc}"

        # A partition column may not be one of the file's columns too; the folder gives the same value.
        body = ", ".join(column(name) for name in table.schema.names if name not in table.partition_by)
        partitions = ", ".join(column(name) for name in table.partition_by)
        location = f"{self.tables_uri}/{table.name}/"
        properties = self._projection(table) | {
            "storage.location.template": location
            + "/".join(f"{name}=${{{name}}}" for name in table.partition_by)
            + "/"
        }
        listed = ", ".join(f"{_hive_text(key)} = {_hive_text(text)}" for key, text in properties.items())
        return (
            f"CREATE EXTERNAL TABLE IF NOT EXISTS {_hive_name(self.database)}.{_hive_name(table.name)} "
            f"({body}) COMMENT {_hive_text(table.doc)} PARTITIONED BY ({partitions}) STORED AS PARQUET "
            f"LOCATION {_hive_text(location)} TBLPROPERTIES ({listed})"
        )

    def _projection(self, table: TableSpec) -> dict[str, str]:
        properties = {
            "projection.enabled": "true",
            "projection.dt.type": "date",
            "projection.dt.format": "yyyy-MM-dd",
            # A run's day can be ahead of the clock of the query's region.
            "projection.dt.range": f"{self.first_day.isoformat()},NOW+1DAYS",
            "projection.dt.interval": "1",
            "projection.dt.interval.unit": "DAYS",
        }
        if "content_type" in table.partition_by:
            properties["projection.content_type.type"] = "enum"
            properties["projection.content_type.values"] = ",".join(CONTENT_TYPES)
        return properties


def views_over_iceberg(*, source: str = NAMESPACE, database: str = PUBLISHED) -> list[str]:
    """Statements for the views over the Glue tables.

    :param source: the Glue database that `moderation.catalog` publishes into.
    :param database: where the views are made.
    """
    return _views(source, database, loads=_place(source, LOADS.name), known='"load_id" IN ({ids})')


def views_over_files(*, source: str = FILES, database: str = PUBLISHED) -> list[str]:
    """Statements for the views over `ExternalTables`.

    A publish that died left files that nothing lists; the digest in ``loads`` is part of the right files'
    names. ``loads`` itself can have a row twice that way, so its newest row counts.
    """
    columns = sql.columns(LOADS)
    ranked = (
        'row_number() OVER (PARTITION BY "load_id" ORDER BY "published_at" DESC, "$path" DESC) AS "newest"'
    )
    loads = (
        f"(SELECT {columns} FROM (SELECT {columns}, {ranked} FROM {_place(source, LOADS.name)}) "  # noqa: S608 - names of ours
        'WHERE "newest" = 1)'
    )
    stem = "regexp_extract(\"$path\", '([^/]+)-[0-9]+[.]parquet$', 1)"
    return _views(source, database, loads=loads, known=f"{stem} IN ({{stems}})")


def _views(source: str, database: str, *, loads: str, known: str) -> list[str]:
    """One view a table and ``labels``.

    :param loads: the relation of committed loads.
    :param known: condition for a committed row; ``{ids}`` and ``{stems}`` stand for queries over ``loads``.
    """
    where = known.format(
        ids=f'SELECT "load_id" FROM {loads}',  # noqa: S608 - names of ours
        stems=f'SELECT concat("load_id", \'-\', "digest") FROM {loads}',  # noqa: S608
    )
    statements = [f"CREATE DATABASE IF NOT EXISTS {_hive_name(database)}"]
    for table in TABLES.values():
        origin = f"FROM {loads}" if table is LOADS else f"FROM {_place(source, table.name)} WHERE {where}"
        statements.append(
            f"CREATE OR REPLACE VIEW {_place(database, table.name)} AS SELECT {sql.columns(table)} {origin}"
        )
    places: Mapping[str, str] = {table.name: _place(source, table.name) for table in LABELS.values()}
    union = sql.labels_select(places, _TRINO_TYPES, where=where)
    return [*statements, f"CREATE OR REPLACE VIEW {_place(database, 'labels')} AS {union}"]


def _place(database: str, table: str) -> str:
    return f"{sql.name(database)}.{sql.name(table)}"


def _hive_name(text: str) -> str:
    return "`" + text.replace("`", "``") + "`"


def _hive_text(text: str) -> str:
    """A literal of Athena's DDL, which is Hive's: escaped by a backslash."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
