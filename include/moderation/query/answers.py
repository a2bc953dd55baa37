"""What a person asks: SQL, a table or a ready query; and the answer as a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from moderation.errors import NeedsAPersonError
from moderation.query import queries
from moderation.storage.whole_file import whole_file

_NAME = re.compile(r"\s*(?P<name>[A-Za-z_][\w-]*)\s*;?\s*")


class QueryError(NeedsAPersonError):
    """The query cannot be answered or exported; the message says why and what to do."""


def resolve(text: str, table_names: Sequence[str] = ()) -> str:
    """The SQL that ``text`` means: a ready query's name, a table's name, or SQL itself.

    :raises QueryError: a single word that names nothing.
    """
    word = _NAME.fullmatch(text)
    if not word:
        return text
    name = word["name"]
    if name.lower() in table_names:
        return f'SELECT * FROM "{name.lower()}"'  # noqa: S608 - one of the names
    try:
        return queries.query(name).sql
    except queries.UnknownQueryError as error:
        raise QueryError(f"{error}. Tables: {', '.join(table_names)}") from error


def export(relation: duckdb.DuckDBPyRelation, target: Path) -> None:
    """Write all rows to ``target``, CSV or Parquet by its ending; the file appears whole or not at all.

    :raises QueryError: another ending, or the folder cannot be written to.
    """
    if target.suffix.lower() not in {".csv", ".parquet"}:
        raise QueryError(f"{target}: the name must end in .csv or .parquet")
    try:
        with whole_file(target) as unfinished:
            if target.suffix.lower() == ".csv":
                relation.write_csv(str(unfinished))
            else:
                relation.write_parquet(str(unfinished), compression="zstd")
    except OSError as error:
        raise QueryError(f"{target}: cannot be written: {error.strerror or error}") from error
