"""What a request asks to erase, and which rows, lines and texts that concerns."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from moderation.errors import NeedsAPersonError
from moderation.reference import content

_CONTENT = re.compile(r"[0-9a-f]{32}-\d+|k-[0-9a-f]{40}")
_SHORTEST = 4


class EraseRequestError(NeedsAPersonError, ValueError):
    """What is asked to be erased cannot be read; the text names the file and the line, and no key."""


@dataclass(frozen=True)
class Wanted:
    """Keys and contents that are to be erased.

    :param keys: ``s3://bucket/key``, ``file:///…``, or a path as it stands in ``origin``.
    :param contents: as the column ``content`` of `verdicts` has them.
    """

    keys: frozenset[str] = frozenset()
    contents: frozenset[str] = frozenset()

    def with_keys(self, more: Iterable[str]) -> Wanted:
        """The same with further names of it."""
        return replace(self, keys=self.keys | frozenset(more))

    def __bool__(self) -> bool:
        return bool(self.keys or self.contents)

    def mask(self, rows: pa.Table | pa.RecordBatch) -> pa.BooleanArray:
        """Which rows are asked for.

        :param rows: with ``source_ref`` and, as far as there are, ``etag``, ``size_bytes`` or ``size``, and
            ``origin``.
        """
        names = set(rows.schema.names)
        keys = pa.array(sorted(self.keys), pa.string())
        found = _is_in(rows.column("source_ref"), keys)
        if "origin" in names:
            found = pc.or_(found, _is_in(rows.column("origin"), keys))
        size = "size_bytes" if "size_bytes" in names else "size"
        if self.contents and "etag" in names:
            told = contents_of(rows.column("source_ref"), rows.column("etag"), rows.column(size))
            found = pc.or_(found, _is_in(told, pa.array(sorted(self.contents), pa.string())))
        return found


def contents_of(refs: Any, etags: Any, sizes: Any) -> pa.Array:
    """The name of each row's content, as `content.subject_id` says."""
    columns = zip(refs.to_pylist(), etags.to_pylist(), sizes.to_pylist(), strict=True)
    return pa.array([content.subject_id(*row) for row in columns], pa.string())


def needles(refs: Collection[str], contents: Collection[str] = ()) -> set[bytes]:
    """The bytes by which a file names one of the keys, in the spellings of JSON, HTML and addresses.

    Each ends as a name does in its file, for a key may begin another key; see `names_one`.
    """
    found: set[str] = set(contents)
    for ref in refs:
        bucket, _, key = ref.removeprefix("s3://").partition("/") if ref.startswith("s3://") else ("", "", "")
        for text in {ref, *([f"{bucket}/{key}"] if key else [])}:
            found |= {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
            found |= {html.escape(text), quote(text), quote(text, safe="")}
    return {text.encode("utf-8", "surrogatepass") for text in found if len(text) >= _SHORTEST}


def names_one(body: bytes, wanted: Collection[bytes]) -> bool:
    """Whether the bytes hold one of these texts as a whole name, not as the beginning of a longer one."""
    for needle in wanted:
        start = body.find(needle)
        while start >= 0:
            after = body[start + len(needle) : start + len(needle) + 1]
            if not (after.isalnum() or after in {b"-", b"_", b".", b"/"}):
                return True
            start = body.find(needle, start + 1)
    return False


def read_keys(path: Path) -> list[str]:
    """The keys that a file names, one a line; lines in quotes are JSON texts, for keys with line ends.

    :raises EraseRequestError: the file or a line of it cannot be read.
    """
    found = []
    for number, line in _lines(path):
        text = line
        if line.startswith('"'):
            try:
                text = json.loads(line)
            except json.JSONDecodeError:
                raise EraseRequestError(
                    f"{path} line {number}: no JSON text; expected one key a line"
                ) from None
        if not text.startswith(("s3://", "file://", "/")):
            raise EraseRequestError(
                f"{path} line {number}: expected s3://bucket/key, or a path of this machine, one a line"
            )
        found.append(text)
    return found


def read_contents(path: Path) -> list[str]:
    """The contents that a file names, one a line.

    :raises EraseRequestError: the file or a line of it cannot be read.
    """
    found = []
    for number, line in _lines(path):
        if not _CONTENT.fullmatch(line):
            raise EraseRequestError(
                f"{path} line {number}: expected a content as verdicts has it, <32 hex digits>-<bytes>"
            )
        found.append(line)
    return found


def of_request(keys: Iterable[str], contents: Iterable[str]) -> Wanted:
    """The request.

    :raises EraseRequestError: it asks for nothing, or for what is no key.
    """
    wanted = Wanted(frozenset(keys), frozenset(contents))
    if not wanted:
        raise EraseRequestError("name what to erase: s3://bucket/key, --keys FILE, or --contents FILE")
    for key in wanted.keys:
        if not key.startswith(("s3://", "file://", "/")) or (key.startswith("s3://") and key.count("/") < 3):
            raise EraseRequestError("a key is not s3://bucket/key, nor a path of this machine")
    for name in wanted.contents:
        if not _CONTENT.fullmatch(name):
            raise EraseRequestError("a content is not <32 hex digits>-<bytes>, as the column content has it")
    return wanted


def _lines(path: Path) -> Iterable[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EraseRequestError(
            f"{path} cannot be read: {type(error).__name__}; name a file of UTF-8"
        ) from error
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _is_in(column: Any, wanted: pa.Array) -> Any:
    return pc.is_in(column.cast(pa.string()), value_set=wanted, skip_nulls=True)
