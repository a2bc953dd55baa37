"""Every place that the product writes to, searched for erased images; and what lies on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from moderation.analyse.detect.request import default_spool_dir
from moderation.maintenance.erasure.search import names_any
from moderation.maintenance.erasure.wanted import names_one, needles
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.files import is_s3, local_path

_LARGEST = 1 << 30
_log = logging.getLogger(__name__)


def erase_uploads(s3: Any, settings: Settings, refs: Collection[str]) -> int:
    """Delete the copies in S3 of files of a local folder; returns how many there were."""
    ours = s3_objects.join_uri(settings.input_uri, "uploads", "")
    gone = 0
    for ref in sorted(refs):
        if ref.startswith(ours) and s3_objects.exists(s3, ref):
            s3_objects.delete(s3, ref)
            gone += 1
    return gone


def erase_spooled(refs: Collection[str]) -> int:
    """Delete answers of single calls that wait on this machine and name an image; returns how many files.

    Their run has ended: one that is under way keeps an erasure from beginning.
    """
    folder, texts, gone = default_spool_dir(), needles(refs), 0
    for path in sorted(folder.glob("*.spool")) if folder.is_dir() else ():
        if names_one(path.read_bytes(), texts):
            path.unlink(missing_ok=True)
            gone += 1
    return gone


def search(
    s3: Any, settings: Settings, refs: Collection[str], contents: Collection[str], renew: Callable[[], None]
) -> tuple[int, list[str]]:
    """Look through all that lies below ``work_uri``, among the tables, and in the files of this machine.

    :returns: how many files were searched, and a sentence about each that names an image.
    """
    texts, searched, found = needles(refs, contents), 0, []
    for uri, body in _bodies(s3, settings):
        renew()
        searched += 1
        if body is None:
            found.append(f"{uri} was not searched: it has more than {_LARGEST >> 20:,} MB")
        elif names_any(body, texts):
            found.append(f"{uri} still names an image; take it out by hand, or delete the file")
    return searched, found


def _bodies(s3: Any, settings: Settings) -> Iterator[tuple[str, bytes | None]]:
    roots = [uri for uri in (settings.work_uri, settings.tables_uri) if is_s3(uri)]
    for root in roots:
        bucket = s3_objects.split_uri(f"{root}/").bucket
        for entry in list(s3_objects.list_objects(s3, f"{root}/")):
            uri = f"s3://{bucket}/{entry['Key']}"
            if entry["Size"] > _LARGEST:
                yield uri, None
            elif (stored := s3_objects.find(s3, uri)) is not None:
                yield uri, stored.body
    for path in sorted(_local(settings)):
        try:
            body = path.read_bytes() if path.stat().st_size <= _LARGEST else None
        except OSError:
            continue  # it went meanwhile
        yield str(path), body


def _local(settings: Settings) -> Iterator[Path]:
    folders = [settings.parquet_mirror, settings.report_dir, default_spool_dir()]
    if not is_s3(settings.tables_uri):
        folders.append(local_path(settings.tables_uri))
    for folder in folders:
        if folder is not None and folder.is_dir():
            yield from (path for path in folder.rglob("*") if path.is_file())
    if settings.warehouse_path.is_file():
        yield settings.warehouse_path
