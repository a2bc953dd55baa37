"""What a person asks: SQL, a table or a ready query, which can only look."""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb

from moderation.errors import NeedsAPersonError
from moderation.query import queries

_PIVOTS = re.compile(r"(pivot|unpivot|select|from|with)\b", re.IGNORECASE)
_EXPLAIN = re.compile(r"explain\b", re.IGNORECASE)
# No quote, parenthesis or comment within the options: where they end is then beyond doubt.
_EXPLAIN_OPTIONS = re.compile(r"explain\s+analyze\b|explain\s*\([\w\s,]*\)", re.IGNORECASE)
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


def ask(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()
) -> duckdb.DuckDBPyRelation:
    """The answer to a person's SQL, which may look at the tables and do nothing else.

    :param connection: one that `fence` has closed: the kind of the statement is only the first of two locks.
    :raises QueryError: it is not one statement that answers something.
    :raises duckdb.Error: it is wrong SQL.
    """
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or not _only_looks(connection, statements[0]):
        raise QueryError(
            "a query is one statement that answers: SELECT, FROM, WITH, SHOW, DESCRIBE, EXPLAIN; use -o to "
            "write the answer to a file"
        )
    relation = connection.sql(sql, params=list(parameters))
    if relation is None:
        raise QueryError("this SQL has no answer; ask with SELECT")
    return relation


def _only_looks(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> bool:
    """Whether it answers and changes nothing.

    DuckDB lets a connection write to its own database's file whatever `fence` says, so what a statement
    holds is asked of DuckDB's parser alone, which knows where comments and strings end.
    """
    if statement.type == duckdb.StatementType.SELECT:
        return True
    text = statement.query  # begins with its first word; comments before it are gone
    if statement.type == duckdb.StatementType.EXPLAIN:
        # EXPLAIN ANALYZE carries out what it explains.
        begins = _EXPLAIN_OPTIONS.match(text) or _EXPLAIN.match(text)
        inner = connection.extract_statements(text[begins.end() :]) if begins else []
        return len(inner) == 1 and inner[0].type == duckdb.StatementType.SELECT
    # PIVOT is several statements to DuckDB; so is a COPY of one.
    return statement.type == duckdb.StatementType.MULTI and _PIVOTS.match(text) is not None


def fence(connection: duckdb.DuckDBPyConnection, *, readable: Sequence[str] = ()) -> None:
    """Let the connection reach its own database and these files alone, for good.

    No file can be read or written, no database attached, no extension fetched, no setting changed.

    :param readable: paths or ``s3://`` addresses of files that views read.
    """
    listed = ", ".join("'" + path.replace("'", "''") + "'" for path in readable)
    for setting in (
        f"allowed_paths = [{listed}]",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "python_enable_replacements = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
