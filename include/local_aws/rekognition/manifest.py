"""Reading a manifest: JSON Lines whose ``source-ref`` names an image in S3."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SCHEME = "s3://"
_BAD_REF = "ERROR_INVALID_SOURCE_REF_FORMAT"
_BUCKET = re.compile(r"[0-9A-Za-z.\-_]{3,255}")
"""Rekognition's own pattern of a bucket; it leaves out ARNs, which S3 clients would send elsewhere."""


@dataclass(frozen=True)
class Line:
    """One line of a manifest.

    :param number: its place in the file, from 1; blank lines count here but are no lines to analyse.
    :param end: offset of the byte after it.
    :param source_ref: as written; None when the line has none that can be read.
    :param problem: code and reason when it cannot be analysed; the codes are those AWS documents for the
        manifests of Custom Labels, since those of media analysis are not published.
    """

    number: int
    end: int
    source_ref: str | None = None
    bucket: str = ""
    key: str = ""
    problem: tuple[str, str] | None = None


def count_lines(path: Path) -> int:
    """Return how many lines of a manifest are not blank."""
    with path.open("rb") as lines:
        return sum(1 for line in lines if line.strip())


def read_lines(path: Path, *, number: int = 0, offset: int = 0) -> Iterator[Line]:
    """Yield the lines that are not blank.

    :param number: lines before ``offset``.
    :param offset: byte to begin at, the end of a line.
    """
    with path.open("rb") as file:
        file.seek(offset)
        while raw := file.readline():
            number += 1
            offset += len(raw)
            if raw.strip():
                yield _parse(raw, number, offset)


def _parse(raw: bytes, number: int, end: int) -> Line:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return Line(number, end, problem=("ERROR_INVALID_JSON_LINE", "The line is not valid JSON."))
    source_ref = document.get("source-ref") if isinstance(document, dict) else None
    if not isinstance(source_ref, str):
        return Line(number, end, problem=("ERROR_MISSING_SOURCE_REF", "The line has no source-ref."))
    try:
        source_ref.encode()
    except UnicodeEncodeError:
        return Line(number, end, problem=(_BAD_REF, "The source-ref is not valid Unicode."))
    bucket, slash, key = source_ref.removeprefix(_SCHEME).partition("/")
    if not source_ref.startswith(_SCHEME) or not (_BUCKET.fullmatch(bucket) and slash and key):
        return Line(
            number, end, source_ref, problem=(_BAD_REF, "The source-ref is not an s3://bucket/key address.")
        )
    return Line(number, end, source_ref, bucket, key)
