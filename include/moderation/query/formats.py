"""An answer as a file: CSV, JSON, JSON Lines, Markdown, a table of plain text, or Parquet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb
import orjson

from moderation.query import text_table
from moderation.query.answers import QueryError
from moderation.storage.whole_file import whole_file
from moderation.warehouses.reading import quiet

_BATCH_ROWS = 100_000
_NAME = "answer"
_HARMFUL = re.compile(r"[=+\-@\t\r\n]")
"""How a cell begins that spreadsheets take for a formula (OWASP, "CSV Injection")."""


class Format(StrEnum):
    """What an answer can be written as."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    PARQUET = "parquet"


ENDINGS = {
    ".csv": Format.CSV,
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".md": Format.MARKDOWN,
    ".txt": Format.TABLE,
    ".parquet": Format.PARQUET,
}


def format_of(target: Path) -> Format:
    """The format that a file's name asks for.

    :raises QueryError: it has another ending.
    """
    try:
        return ENDINGS[target.suffix.lower()]
    except KeyError:
        *most, last = ENDINGS
        raise QueryError(
            f"{target}: the name must end in {', '.join(most)} or {last}; or name the format with --format"
        ) from None


def export(
    relation: duckdb.DuckDBPyRelation,
    target: Path,
    as_format: Format | None = None,
    *,
    safe_cells: bool = False,
) -> None:
    """Write all rows to ``target``; the file appears whole or not at all.

    :param as_format: by default the one that the name asks for.
    :param safe_cells: put an apostrophe before cells of a CSV that a spreadsheet would take for a formula.
    :raises QueryError: the format is none, the folder cannot be written to, or a database would be lost.
    """
    chosen = as_format or format_of(target)
    if _is_database(target):
        raise QueryError(f"{target} is a database; an answer goes to a file of its own")
    try:
        with whole_file(target) as unfinished:
            write(relation, unfinished, chosen, safe_cells=safe_cells)
    except OSError as error:
        raise QueryError(f"{target}: cannot be written: {error.strerror or error}") from error


def _is_database(target: Path) -> bool:
    try:
        with target.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return head[8:12] == b"DUCK" or head.startswith(b"SQLite format")


def write(
    relation: duckdb.DuckDBPyRelation,
    target: Path,
    as_format: Format,
    *,
    safe_cells: bool = False,
    rows: int | None = None,
) -> bool:
    """Write the rows to a file of ours.

    :param rows: the most to write; None for all.
    :returns: whether there are more.
    :raises QueryError: ``safe_cells`` with another format than CSV.
    """
    if safe_cells and as_format is not Format.CSV:
        raise QueryError("--safe-cells is for CSV: no other format is taken for formulas")
    with _beside(relation, rows) as (answer, more):
        if as_format is Format.CSV:
            (_harmless(answer) if safe_cells else answer).write_csv(str(target))
        elif as_format is Format.PARQUET:
            answer.write_parquet(str(target), compression="zstd")
        else:
            with target.open("wb") as file:
                for chunk in _TEXTS[as_format](answer):
                    file.write(chunk)
        return more


def write_for_terminal(relation: duckdb.DuckDBPyRelation, target: Path, *, rows: int, width: int) -> bool:
    """`write` as a table for a terminal of that many columns: boxed, or one line a column."""
    with _beside(relation, rows) as (answer, more):
        target.write_text(text_table.for_terminal(answer, width=width), encoding="utf-8")
        return more


@contextmanager
def _beside(
    relation: duckdb.DuckDBPyRelation, rows: int | None
) -> Iterator[tuple[duckdb.DuckDBPyRelation, bool]]:
    """The answer in a connection of its own, for the one that was asked may write nothing."""
    with duckdb.connect() as writer:
        quiet(writer)
        more = False
        if rows is None:
            writer.register(_NAME, relation.to_arrow_reader(_BATCH_ROWS))
        else:
            first, more = text_table.first(relation, rows)
            writer.register(_NAME, first)
        yield writer.table(_NAME), more


def _harmless(answer: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    columns = []
    for name, kind in zip(answer.columns, answer.types, strict=True):
        quoted = _quoted(name)
        value = quoted
        if str(kind) == "VARCHAR" or str(kind).startswith("ENUM"):
            value = (
                f"CASE WHEN regexp_matches({quoted}::VARCHAR, '^{_HARMFUL.pattern}') "
                f"THEN chr(39) || {quoted} ELSE {quoted} END"
            )
        columns.append(f"{value} AS {_quoted(chr(39) + name if _HARMFUL.match(name) else name)}")
    return answer.project(", ".join(columns))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _objects(answer: duckdb.DuckDBPyRelation) -> Iterator[bytes]:
    """The rows as JSON. What JSON lacks: a double that is no number is null, other values are texts."""
    columns = (
        f"{_quoted(name)}::VARCHAR AS {_quoted(name)}" if str(kind) == "INTERVAL" else _quoted(name)
        for name, kind in zip(answer.columns, answer.types, strict=True)
    )
    for batch in answer.project(", ".join(columns)).to_arrow_reader(_BATCH_ROWS):
        for row in batch.to_pylist():
            yield orjson.dumps(row, default=_as_json)


def _as_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(f"{value:f}")
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def _json(answer: duckdb.DuckDBPyRelation) -> Iterator[bytes]:
    before = b"[\n"
    for row in _objects(answer):
        yield before + row
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def _json_lines(answer: duckdb.DuckDBPyRelation) -> Iterator[bytes]:
    return (row + b"\n" for row in _objects(answer))


def _table(answer: duckdb.DuckDBPyRelation) -> Iterator[bytes]:
    return (line.encode() + b"\n" for line in text_table.plain(answer))


def _markdown(answer: duckdb.DuckDBPyRelation) -> Iterator[bytes]:
    return (line.encode() + b"\n" for line in text_table.markdown(answer))


_TEXTS: dict[Format, Callable[[duckdb.DuckDBPyRelation], Iterator[bytes]]] = {
    Format.TABLE: _table,
    Format.JSON: _json,
    Format.JSONL: _json_lines,
    Format.MARKDOWN: _markdown,
}
