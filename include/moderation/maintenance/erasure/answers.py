"""Images taken out of the files of one manifest: what was sent, AWS's answers, and what calls left behind.

A line that is taken out is left blank, so that the others keep their numbers; ``erased.json`` beside the
answers says so. The same images taken out again change nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import orjson

from moderation.maintenance.erasure.wanted import names_one, needles
from moderation.plan.plan import ManifestRef
from moderation.storage import s3_objects

NOTE = "erased.json"
_REF = "source-ref"
_log = logging.getLogger(__name__)


def erase_in_files(s3: Any, manifest: ManifestRef, more: Collection[str], refs: Collection[str]) -> int:
    """Take images out of a manifest and of what lies where its answers were put; returns how many lines.

    :param more: URIs of answers that lie elsewhere.
    :param refs: the images, ``s3://bucket/key``.
    """
    wanted = needles(refs)
    _change(s3, manifest.uri, refs, wanted)
    prefix = f"s3://{manifest.output_bucket}/{manifest.output_prefix}"
    uris = {f"s3://{manifest.output_bucket}/{entry['Key']}" for entry in s3_objects.list_objects(s3, prefix)}
    gone: dict[str, int] = {}
    for uri in sorted(uris | set(more)):
        if uri.endswith(f"/{NOTE}"):
            continue
        if "/checkpoint/" in uri.removeprefix(prefix) or uri.endswith((".ckpt", "/owner.json")):
            _drop(s3, uri, wanted)
        elif changed := _change(s3, uri, refs, wanted):
            folder = uri.rpartition("/")[0]
            gone[folder] = gone.get(folder, 0) + changed
    for folder, lines in gone.items():
        _note(s3, f"{folder}/{NOTE}", lines)
    return sum(gone.values())


def without(body: bytes, refs: Collection[str], wanted: Collection[bytes]) -> tuple[bytes, int]:
    """A file of lines, or a document, without what it says of these images; and how much that was.

    :param wanted: `needles` of them, by which lines that cannot be read are known.
    """
    if not any(needle in body for needle in wanted):
        return body, 0
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _without_lines(body, refs, wanted)
    if isinstance(document, dict) and _REF in document:
        return _without_lines(body, refs, wanted)
    kept, gone = _without_entries(document, refs)
    return (orjson.dumps(kept) if gone else body), gone


def _without_lines(body: bytes, refs: Collection[str], wanted: Collection[bytes]) -> tuple[bytes, int]:
    kept, gone = [], 0
    for line in body.splitlines(keepends=True):
        if _is_about(line, refs, wanted):
            kept.append(line[len(line.rstrip(b"\r\n")) :])
            gone += 1
        else:
            kept.append(line)
    return b"".join(kept), gone


def _is_about(line: bytes, refs: Collection[str], wanted: Collection[bytes]) -> bool:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return names_one(line, wanted)
    return isinstance(entry, dict) and entry.get(_REF) in refs


def _without_entries(value: Any, refs: Collection[str]) -> tuple[Any, int]:
    """A value of JSON without the entries of its lists that name one of the images."""
    if isinstance(value, dict):
        made = {name: _without_entries(one, refs) for name, one in value.items()}
        return {name: one for name, (one, _) in made.items()}, sum(gone for _, gone in made.values())
    if not isinstance(value, list):
        return value, 0
    kept, gone = [], 0
    for one in value:
        if isinstance(one, dict) and any(text in refs for text in one.values() if isinstance(text, str)):
            gone += 1
        else:
            changed, within = _without_entries(one, refs)
            kept.append(changed)
            gone += within
    return kept, gone


def _change(s3: Any, uri: str, refs: Collection[str], wanted: Collection[bytes]) -> int:
    stored = s3_objects.find(s3, uri)
    if stored is None:
        return 0
    body, gone = without(stored.body, refs, wanted)
    if gone:
        s3_objects.put(s3, uri, body)
    return gone


def _drop(s3: Any, uri: str, wanted: Collection[bytes]) -> None:
    stored = s3_objects.find(s3, uri)
    if stored is not None and any(needle in stored.body for needle in wanted):
        s3_objects.delete(s3, uri)


def _note(s3: Any, uri: str, lines: int) -> None:
    stored = s3_objects.find(s3, uri)
    try:
        before = int(orjson.loads(stored.body)["lines"]) if stored else 0
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        before = 0
    told = "lines of the files beside it were erased on request and are blank; what they cost was paid"
    s3_objects.put(s3, uri, orjson.dumps({"note": told, "lines": before + lines}))
