"""What the SQL of the warehouses has in common; the dialects differ in their types and in how they quote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from moderation.schema import IMAGES, LABELS, TableSpec

Types = Mapping[pa.DataType, str]


def name(text: str) -> str:
    """An identifier, quoted as in standard SQL."""
    return '"' + text.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string literal. Dialects where a backslash escapes are not among ours."""
    return "'" + value.replace("'", "''") + "'"


def columns(table: TableSpec) -> str:
    """The table's columns, quoted, in their order."""
    return ", ".join(name(column) for column in table.schema.names)


def labels_select(qualified: Mapping[str, str], types: Types, *, where: str = "") -> str:
    """The query that unites the label tables: ``level``, the columns of `labels_l3`, the image's ``origin``.

    :param qualified: table names as this dialect needs them.
    :param where: a condition for each of the tables, without WHERE.
    """
    widest = LABELS[max(LABELS)].schema
    parts = []
    for level, table in LABELS.items():
        chosen = [
            name(entry.name)
            if entry.name in table.schema.names
            else f"CAST(NULL AS {types[entry.type]}) AS {name(entry.name)}"
            for entry in widest
        ]
        source = f"FROM {qualified[table.name]}" + (f" WHERE {where}" if where else "")
        parts.append(f'SELECT {level} AS "level", {", ".join(chosen)} {source}')
    return with_origin(" UNION ALL ".join(parts), qualified[IMAGES.name], where=where)


def in_order(query: str, names: Sequence[str], first: Sequence[str]) -> str:
    """The query with its columns in another order.

    :param names: its columns.
    :param first: those that are to come first, as far as the query has them.
    """
    leading = tuple(column for column in first if column in names)
    if leading == tuple(names)[: len(leading)]:
        return query
    wanted = (*leading, *(column for column in names if column not in leading))
    return f"SELECT {', '.join(map(name, wanted))} FROM ({query}) AS {name('whole')}"  # noqa: S608 - quoted names


LABELS_COLUMNS = ("level", *LABELS[max(LABELS)].schema.names, "origin")
"""The columns of the view ``labels``."""


def with_origin(labels: str, images: str, *, where: str = "") -> str:
    """Rows of labels with the ``origin`` of their image; where all are null, nothing is joined.

    :param labels: a query.
    :param images: the table, as this dialect needs it.
    :param where: a condition for it, without WHERE.
    """
    key = ("load_id", "manifest_id", "line_number")
    chosen = ", ".join(map(name, (*key, "origin")))
    same = " AND ".join(f"{name('found')}.{name(part)} = {name('known')}.{name(part)}" for part in key)
    condition = (f"{where} AND " if where else "") + f"{name('origin')} IS NOT NULL"
    return (
        f"SELECT {name('found')}.*, {name('known')}.{name('origin')} FROM ({labels}) AS {name('found')} "  # noqa: S608 - quoted names
        f"LEFT JOIN (SELECT {chosen} FROM {images} WHERE {condition}) AS {name('known')} ON {same}"
    )
