"""Manifests: the JSON Lines files that tell a backend which pictures to analyse."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import orjson

from moderation.errors import NeedsAPersonError
from moderation.reference import limits

_ID = re.compile(r"m(\d{5,})-([0-9a-f]{12})")


class ManifestError(NeedsAPersonError, ValueError):
    """A manifest is not what it should be; the text names the manifest, the line and the remedy."""


@dataclass(frozen=True)
class Manifest:
    """One manifest.

    :param index: its place in the plan, from 0.
    :param content: the file, one ``{"source-ref":"s3://bucket/key"}`` a line.
    :param lines: how many lines it has.
    """

    index: int
    content: bytes
    lines: int

    @property
    def manifest_id(self) -> str:
        """``m00007-`` and the first 12 digits of the content's SHA-256: same pictures, same name."""
        return f"m{self.index:05d}-{_digest(self.content)}"


def line(source_ref: str) -> bytes:
    """The manifest line of an object. JSON escapes what must be, so a newline in a key stays one line."""
    return orjson.dumps({"source-ref": source_ref}) + b"\n"


def cut(
    source_refs: Iterable[str],
    *,
    total: int,
    max_lines: int = limits.MANIFEST_MAX_LINES,
    max_bytes: int = limits.MANIFEST_MAX_BYTES,
) -> Iterator[Manifest]:
    """Cut the pictures into manifests within AWS's limits, one at a time.

    All get nearly the same number of lines, so that none ends long after the others.

    :param source_refs: URIs without duplicates (a duplicate line is billed twice), in a fixed order.
    :param total: how many there are.
    """
    if not 1 <= max_lines <= limits.MANIFEST_MAX_LINES:
        raise ValueError(f"max_lines must be 1 to {limits.MANIFEST_MAX_LINES}, not {max_lines}")
    even = -(-total // -(-total // max_lines)) if total else 0
    index, size = 0, 0
    held: list[bytes] = []
    for source_ref in source_refs:
        text = line(source_ref)
        if held and (len(held) == even or size + len(text) > max_bytes):
            yield Manifest(index, b"".join(held), len(held))
            index, size, held = index + 1, 0, []
        held.append(text)
        size += len(text)
    if held:
        yield Manifest(index, b"".join(held), len(held))


def verify(content: bytes, manifest_id: str) -> None:
    """Prove that not a byte of a manifest changed since the plan was made.

    :raises ManifestError: the content has another digest than its id says.
    """
    known = _ID.fullmatch(manifest_id)
    if known is None:
        raise ManifestError(f"{manifest_id!r} is no manifest id such as m00000-0123456789ab")
    if known[2] != _digest(content):
        raise ManifestError(f"manifest {manifest_id} was changed after it was planned; plan again")


def parse(content: bytes, manifest_id: str | None = None) -> list[str]:
    """The source-refs of a manifest, in order.

    :param manifest_id: proves that not a byte changed since the plan was made.
    :raises ManifestError: the content has another digest, or a line is malformed.
    """
    if manifest_id is not None:
        verify(content, manifest_id)
    name = manifest_id or "manifest"
    lines = content.split(b"\n")
    if lines[-1]:
        raise ManifestError(f"{name} line {len(lines)}: cut off (no newline at its end); write it again")
    return [_source_ref(text, f"{name} line {number}") for number, text in enumerate(lines[:-1], start=1)]


def _source_ref(text: bytes, where: str) -> str:
    try:
        source_ref = orjson.loads(text)["source-ref"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ManifestError(f'{where}: expected {{"source-ref":"s3://bucket/key"}}') from error
    if not isinstance(source_ref, str) or not source_ref.startswith("s3://"):
        raise ManifestError(f"{where}: source-ref must be an s3:// URI")
    return source_ref


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
