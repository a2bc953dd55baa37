"""Reading a manifest: JSON Lines whose ``source-ref`` names an image in S3.

AWS documents the form of a good line only, and for Custom Labels the codes of bad ones. The rule here, which
the one-by-one way of moderating an archive has to share, so that both answer a manifest alike:

- A line ends with LF, or with the file. A CR before the LF is white space of JSON. A line of nothing but
  ASCII white space (what ``bytes.strip`` removes) is blank: it has a number, and is not analysed or counted.
- One UTF-8 byte order mark at the very beginning of the file is no part of the first line (RFC 8259, 8.1: a
  parser may ignore it). Anywhere else it makes its line invalid.
- A line is one strict JSON text in UTF-8, as orjson reads it. ERROR_INVALID_JSON_LINE: NaN, Infinity, a
  number that is no finite double, bytes that are no UTF-8, half of a surrogate pair (escaped or not), NUL and
  other raw control characters, anything behind the text, nesting deeper than 1,024.
- A text that is no object, or whose ``source-ref`` is missing or no string: ERROR_MISSING_SOURCE_REF. Of a
  key that stands twice the last value holds. Other keys may hold anything.
- A source-ref that is not ``s3://<bucket>/<key>``, with a bucket in Rekognition's own pattern and a key of 1
  to 1,024 characters: ERROR_INVALID_SOURCE_REF_FORMAT. The key is literal: nothing is decoded or trimmed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

_SCHEME = "s3://"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BAD_REF = "ERROR_INVALID_SOURCE_REF_FORMAT"
_BUCKET = re.compile(r"[0-9A-Za-z.\-_]{3,255}")
"""Rekognition's own pattern of a bucket; it leaves out ARNs, which S3 clients would send elsewhere."""
_KEY_CHARACTERS = 1_024
"""The most that Rekognition's own model of a key takes."""


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
        return sum(1 for number, line in enumerate(lines, 1) if _content(line, number))


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
            if content := _content(raw, number):
                yield _parse(content, number, offset)


def _content(raw: bytes, number: int) -> bytes:
    """What a line says, without the file's byte order mark; empty when it is blank."""
    content = raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw
    return content if content.strip() else b""


def _parse(raw: bytes, number: int, end: int) -> Line:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return Line(number, end, problem=("ERROR_INVALID_JSON_LINE", "The line is not valid JSON."))
    source_ref = document.get("source-ref") if isinstance(document, dict) else None
    if not isinstance(source_ref, str):
        return Line(number, end, problem=("ERROR_MISSING_SOURCE_REF", "The line has no source-ref."))
    bucket, _, key = source_ref.removeprefix(_SCHEME).partition("/")
    names_an_object = _BUCKET.fullmatch(bucket) and 0 < len(key) <= _KEY_CHARACTERS
    if not (source_ref.startswith(_SCHEME) and names_an_object):
        return Line(
            number, end, source_ref, problem=(_BAD_REF, "The source-ref is not an s3://bucket/key address.")
        )
    return Line(number, end, source_ref, bucket, key)
