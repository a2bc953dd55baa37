"""Stored state in one small file: objects of buckets, local files, and what was known of them.

Nothing here imports the product: it is written beside an earlier release and read beside a later one.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

_INDEX = "index.json"
_THREADS = 16
_EPOCH = 1_000_000_000


@dataclass
class Archive:
    """States by name, which share the content that they have in common.

    :param facts: what is true of all of them, as plain JSON values.
    :param states: of each name ``objects`` (``bucket/key``: digest), ``files`` (path: digest), ``facts``.
    """

    facts: dict[str, Any]
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def add(
        self, name: str, *, objects: Mapping[str, bytes], files: Mapping[str, bytes], facts: dict[str, Any]
    ) -> None:
        """Keep a state."""
        self.states[name] = {
            "objects": {path: self._blob(body) for path, body in sorted(objects.items())},
            "files": {path: self._blob(body) for path, body in sorted(files.items())},
            "facts": facts,
        }

    def write(self, path: Path) -> None:
        """Write the file; the same content gives the same bytes."""
        raw = io.BytesIO()
        index = json.dumps({"facts": self.facts, "states": self.states}, indent=1, sort_keys=True)
        # Alike files side by side: the compressor finds what they share.
        order: dict[str, tuple[str, str]] = {}
        for state in self.states.values():
            for place in ("objects", "files"):
                for name, digest in state[place].items():
                    order.setdefault(digest, (name.rpartition("/")[2].rpartition(".")[2], name))
        with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            _add(tar, _INDEX, index.encode())
            for digest in sorted(self.blobs, key=lambda one: order[one]):
                _add(tar, digest, self.blobs[digest])
        path.write_bytes(lzma.compress(raw.getvalue(), preset=9 | lzma.PRESET_EXTREME))

    def _blob(self, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()[:20]
        self.blobs[digest] = body
        return digest


@cache
def read(path: Path) -> Archive:
    """Read what :meth:`Archive.write` wrote."""
    with tarfile.open(path, "r:xz") as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    index = json.loads(found.pop(_INDEX))
    return Archive(index["facts"], index["states"], found)


def objects_in(s3: Any, buckets: Iterable[str]) -> dict[str, bytes]:
    """Every object, by ``bucket/key``."""
    return {
        f"{bucket}/{key}": s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        for bucket in buckets
        for key in _keys(s3, bucket)
    }


def restore(archive: Archive, name: str, *, s3: Any, buckets: Iterable[str], folder: Path) -> dict[str, Any]:
    """Bring a state back: into these buckets, of which nothing else remains, and an empty folder.

    :returns: its facts.
    """
    state = archive.states[name]
    clear(s3, buckets)
    for path, digest in state["files"].items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(archive.blobs[digest])

    def put(entry: tuple[str, str]) -> None:
        bucket, _, key = entry[0].partition("/")
        s3.put_object(Bucket=bucket, Key=key, Body=archive.blobs[entry[1]])

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(put, state["objects"].items()))
    facts: dict[str, Any] = state["facts"]
    return facts


def clear(s3: Any, buckets: Iterable[str]) -> None:
    """Make the buckets, or empty them."""
    there = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for bucket in buckets:
        if bucket not in there:
            s3.create_bucket(Bucket=bucket)
        elif keys := [{"Key": key} for key in _keys(s3, bucket)]:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})


def _keys(s3: Any, bucket: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def _add(tar: tarfile.TarFile, name: str, body: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(body), _EPOCH
    tar.addfile(member, io.BytesIO(body))
