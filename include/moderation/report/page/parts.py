"""Ready queries over some of the images at a time, for a history that is larger than the memory."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import duckdb

from moderation.query import queries

IMAGES_A_PART = 1_000_000
"""Rows of ``images`` that a query over the whole history looks at in one go: what 192 MB were seen to hold
with room to spare, up to four labels an image included."""

_PARTED = ("images", "labels_l1", "labels_l2", "labels_l3")
_TABLES = (*_PARTED, *(f"{name}_in_use" for name in _PARTED))
_BEGIN = re.compile(r"\A((?:--[^\n]*\n)*)WITH ")


def counted(
    connection: duckdb.DuckDBPyConnection, name: str, *, by: Sequence[str], counts: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows of a ready query, each the sum of its parts' counts, in the order in which they were first met.

    Right for a query that counts images and looks, for each, at nothing but the image's own rows: these all
    fall into the same part, which the hash of the image's name decides.

    :param by: the columns that tell rows apart.
    :param counts: the columns to be added up; others are left out.
    """
    (rows,) = connection.execute("SELECT count(*) FROM images").fetchone() or (0,)
    parts = max(1, math.ceil(rows / IMAGES_A_PART))
    sums: dict[tuple[Any, ...], Counter[str]] = {}
    for part in range(parts):
        cursor = connection.execute(_of_part(queries.query(name).sql, part, parts))
        names = [column[0] for column in cursor.description or ()]
        for values in cursor.fetchall():
            row = dict(zip(names, values, strict=True))
            key = tuple(row[column] for column in by)
            sums.setdefault(key, Counter()).update({column: row[column] for column in counts})
    return [dict(zip(by, key, strict=True)) | found for key, found in sums.items()]


def _of_part(sql: str, part: int, parts: int) -> str:
    """The query over the images of one part: its tables are hidden behind their rows of it."""
    if parts == 1:
        return sql
    own = ", ".join(
        f"{table} AS (SELECT * FROM {table} WHERE hash(source_ref) % {parts} = {part})"  # noqa: S608 - names of ours
        for table in _TABLES
    )
    found, times = _BEGIN.subn(lambda begin: f"{begin[1]}WITH {own}, ", sql)
    if not times:
        raise ValueError("only a query that begins with WITH can be asked in parts")
    return found
