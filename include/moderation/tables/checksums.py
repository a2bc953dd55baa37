"""The SHA-256 of every published file, apart from files and catalog, to hold the ones against the other.

::

    {work_uri}/checksums/tables-4f1c0a9b77de/20261122T020000Z-4f1c0a9b77de.json   of the files of a load
                                             compacted-5e884898da28.json          of a file of several loads

Written before the commit that shows the files to readers. A name tells which record a file is in, so what
readers have now is checked without a look at what they had once. Files of earlier releases are in none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moderation.errors import NeedsAPersonError
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.files import absolute
from moderation.storage.state import read_state, seal
from moderation.tables.published import load_named


class ChecksumsDamagedError(NeedsAPersonError):
    """A record of checksums is not what was written; the text names it and the remedy."""


def of_file(path: Path) -> str:
    """The SHA-256 of a local file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record(s3: Any, settings: Settings, name: str, files: Iterable[tuple[str, str]]) -> None:
    """Remember files; others of the same record stay in it. May be repeated.

    :param name: as `record_of` gives it.
    :param files: URI and SHA-256.
    :raises s3_objects.S3Error: it cannot be written.
    """
    try:
        known = recorded(s3, settings, name)
    except ChecksumsDamagedError:
        known = {}  # what it said is lost, and a rebuild that comes here tells it anew
    root = absolute(settings.tables_uri) + "/"
    known |= {uri.removeprefix(root): digest for uri, digest in files}
    s3_objects.put(s3, _uri(settings, name), seal({"sha256": known}))


def recorded(s3: Any, settings: Settings, name: str) -> dict[str, str]:
    """The SHA-256 of the files of a record by their path below the tables' root; none without a record.

    :raises ChecksumsDamagedError: it is not what was written.
    """
    found = read_state(
        s3,
        _uri(settings, name),
        parse=lambda content: {str(path): str(digest) for path, digest in content["sha256"].items()},
        error=ChecksumsDamagedError,
        remedy=f"`{settings.command} rebuild` writes it anew",
    )
    return found or {}


def forget(s3: Any, settings: Settings, uri: str) -> None:
    """Drop the record of a compacted file that is deleted; that of a load stays."""
    if uri.endswith(".parquet") and load_named(uri) is None:
        s3_objects.delete(s3, _uri(settings, record_of(uri)))


def record_of(uri: str) -> str:
    """The name of the record that a published file is in."""
    return load_named(uri) or uri.rpartition("/")[2].rpartition("-")[0]


def _uri(settings: Settings, name: str) -> str:
    tables = hashlib.sha256(absolute(settings.tables_uri).encode()).hexdigest()[:12]
    return s3_objects.join_uri(settings.work_uri, "checksums", f"tables-{tables}", f"{name}.json")
