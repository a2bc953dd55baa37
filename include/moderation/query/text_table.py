"""Rows as text for people: a plain table, Markdown, and for a terminal a box or one line a column."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from itertools import chain, islice

import duckdb
import pyarrow as pa

_BATCH_ROWS = 10_000
_MEASURED_ROWS = 1_000
"""Rows that set the columns' widths; a later cell that is wider moves the rest of its line."""
_UNLIMITED_WIDTH = 1_000_000
_NULL = "NULL"
_NUMBERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*")
_MARKS = {char: f"\\{char}" for char in "\\|`*[~"} | {"<": "&lt;", "&": "&amp;", "\n": "<br>", "\r": ""}

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

Cells = Sequence[str | None]


def first(relation: duckdb.DuckDBPyRelation, rows: int) -> tuple[pa.Table, bool]:
    """The first rows of an answer, and whether there are more."""
    with relation.to_arrow_reader(min(rows + 1, _BATCH_ROWS)) as reader:
        batches, found = [], 0
        for batch in reader:
            batches.append(batch)
            found += batch.num_rows
            if found > rows:
                break
        return pa.Table.from_batches(batches, schema=reader.schema).slice(0, rows), found > rows


def plain(answer: duckdb.DuckDBPyRelation) -> Iterator[str]:
    """Columns divided by two blanks, numbers to the right: for pipes and files. A cell is never cut."""
    names = [visible(name) for name in answer.columns]
    lines = ([visible(_NULL if cell is None else cell) for cell in row] for row in _cells(answer))
    measured = list(islice(lines, _MEASURED_ROWS))
    widths = [max(map(_width, column)) for column in zip(names, *measured, strict=True)]
    right = [_NUMBERS.fullmatch(str(kind)) is not None for kind in answer.types]
    for line in chain([names], measured, lines):
        padded = (
            " " * (width - _width(cell)) + cell if to_right else cell + " " * (width - _width(cell))
            for cell, width, to_right in zip(line, widths, right, strict=True)
        )
        yield "  ".join(padded).rstrip()


def markdown(answer: duckdb.DuckDBPyRelation) -> Iterator[str]:
    """A table in Markdown, as GitHub and others read it; nothing in a cell is markup."""
    right = (_NUMBERS.fullmatch(str(kind)) for kind in answer.types)
    yield _markdown_line(answer.columns)
    yield "| " + " | ".join("---:" if to_right else "---" for to_right in right) + " |"
    yield from map(_markdown_line, _cells(answer))


def for_terminal(answer: duckdb.DuckDBPyRelation, *, width: int) -> str:
    """A box, or one line a column where the box is wider than the terminal's ``width``."""
    with redirect_stdout(io.StringIO()) as shown:
        answer.show(max_width=_UNLIMITED_WIDTH, max_rows=_UNLIMITED_WIDTH)
    box = [visible(line) for line in shown.getvalue().split("\n")]
    if max(map(_width, box)) <= width:
        return "\n".join(box)
    return "".join(f"{line}\n" for line in _one_line_a_column(answer, width))


def _one_line_a_column(answer: duckdb.DuckDBPyRelation, width: int) -> Iterator[str]:
    names = [visible(name) for name in answer.columns]
    indent = max(map(_width, names)) + 2
    for number, row in enumerate(_cells(answer), start=1):
        yield f"── {number:,} ".ljust(width, "─")
        for name, cell in zip(names, row, strict=True):
            lines = [visible(line) for line in (_NULL if cell is None else cell).split("\n")]
            yield name + " " * (indent - _width(name)) + lines[0]
            yield from (" " * indent + line for line in lines[1:])


def _cells(answer: duckdb.DuckDBPyRelation) -> Iterator[Cells]:
    """The rows as DuckDB writes their values."""
    for batch in answer.project("CAST(COLUMNS(*) AS VARCHAR)").to_arrow_reader(_BATCH_ROWS):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _markdown_line(cells: Cells) -> str:
    texts = ("".join(_MARKS.get(char, visible(char)) for char in cell or "") for cell in cells)
    return f"| {' | '.join(texts)} |"


def visible(text: str) -> str:
    """The text with what would break a line, turn it round or steer a terminal written out."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode("ascii") if unicodedata.category(char) in _UNSEEN else char
        for char in text
    )


def _width(text: str) -> int:
    """Columns that a text takes: ideographs and most emoji take two, marks that combine none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
