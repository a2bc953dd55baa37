"""A file of verdicts, line by line: CSV, JSON Lines or Parquet, in one of two forms.

``source_ref,label,verdict[,reviewer,decided_at,note]`` says one thing of one label;
``source_ref,labels[,reviewer,decided_at,note]`` says everything that is in the image: in CSV names with ``|``
between them, elsewhere a list. Other columns are left aside.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from moderation.errors import NeedsAPersonError
from moderation.storage import parquet

BETWEEN = "|"
"""Between the labels of an image in a cell of a CSV."""

WORDS = (
    *("true_positive", "false_positive", "false_negative", "true_negative"),
    *("present", "absent", "unsure"),
)
"""What can be said of a label; the first four are about an answer."""

_ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_MOST_CHARACTERS = 1 << 20


class ImportFileError(NeedsAPersonError):
    """The file cannot be read as verdicts at all; the text names it and what is expected."""


class LineError(NeedsAPersonError, ValueError):
    """One line cannot be taken; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line, read.

    :param number: 1-based: of the file, or of the row in Parquet.
    :param label: and ``word`` of the first form.
    :param labels: of the second form; None for the first.
    :param decided_at: in UTC; None when the line does not say.
    """

    number: int
    source_ref: str
    label: str | None = None
    word: str | None = None
    labels: tuple[str, ...] | None = None
    reviewer: str | None = None
    decided_at: datetime | None = None
    note: str | None = None


@dataclass(frozen=True)
class Refused:
    """A line that was not taken, and why."""

    number: int
    reason: str


def format_of(path: Path) -> str:
    """``csv``, ``jsonl`` or ``parquet``, by the file's name.

    :raises ImportFileError: it has another ending.
    """
    try:
        return _ENDINGS[path.suffix.lower()]
    except KeyError:
        raise ImportFileError(
            f"{path}: the name must end in {', '.join(_ENDINGS)}; or add --format"
        ) from None


def read(path: Path, as_format: str) -> Iterator[Line | Refused]:
    """The lines of a file, in memory of one; blank ones are passed over.

    :raises ImportFileError: it cannot be read, or has none of the two forms.
    """
    try:
        for number, row in _READERS[as_format](path):
            try:
                yield _line(number, row)
            except LineError as error:
                yield Refused(number, str(error))
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise ImportFileError(f"{path}: cannot be read as {as_format}: {error}") from error


def _csv(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    csv.field_size_limit(_MOST_CHARACTERS)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        _expect(path, reader.fieldnames or ())
        for row in reader:
            if None in row:
                yield reader.line_num, "it has more cells than the first line"
                continue
            cells = {name: value for name, value in row.items() if value not in {None, ""}}
            if "labels" in (reader.fieldnames or ()):
                cells["labels"] = [part for part in str(row["labels"] or "").split(BETWEEN) if part.strip()]
            yield reader.line_num, cells


def _jsonl(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError as error:
                yield number, f"it is no JSON: {error}"
                continue
            yield number, row if isinstance(row, dict) else "it is no JSON object"


def _parquet(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    with parquet.open_file(path) as file:
        _expect(path, file.schema_arrow.names)
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield number, row


_READERS = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}


def _expect(path: Path, columns: Any) -> None:
    if "source_ref" not in columns or not ({"label", "verdict"} <= {*columns} or "labels" in columns):
        raise ImportFileError(
            f"{path}: expected the columns source_ref,label,verdict or source_ref,labels, and found "
            f"{', '.join(map(str, columns)) or 'none'}"
        )


def _line(number: int, row: Mapping[str, Any] | str) -> Line:
    if isinstance(row, str):
        raise LineError(row)
    source_ref = _text(row, "source_ref")
    if not source_ref:
        raise LineError("it has no source_ref")
    told: dict[str, Any] = {
        "number": number,
        "source_ref": source_ref,
        "reviewer": _text(row, "reviewer"),
        "decided_at": _time(row.get("decided_at")),
        "note": _text(row, "note"),
    }
    if row.get("labels") is not None:
        if row.get("label") or row.get("verdict"):
            raise LineError("it has labels and also label or verdict: one of the two forms is expected")
        labels = row["labels"]
        if not isinstance(labels, list) or not all(isinstance(name, str) and name.strip() for name in labels):
            raise LineError("labels is no list of names")
        return Line(**told, labels=tuple(name.strip() for name in labels))
    label, word = _text(row, "label"), _text(row, "verdict")
    if not label:
        raise LineError("it has no label")
    if word not in WORDS:
        raise LineError(f"its verdict {word!r} is none of {', '.join(WORDS)}")
    return Line(**told, label=label, word=word)


def _text(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise LineError(f"its {name} is no text")
    return value.strip() or None


def _time(value: Any) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise LineError(f"its decided_at {value!r} is no time such as 2026-11-22T09:30:00Z") from None
    try:
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise LineError(f"its decided_at {value!r} is no time that can be kept") from None
