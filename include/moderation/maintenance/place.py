"""Whether a place may take tables: it is empty, or holds tables and nothing else."""

from __future__ import annotations

from itertools import islice

from moderation.errors import NeedsAPersonError
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.files import Storage, absolute, is_s3, local_path
from moderation.tables.standing import ALL_TABLES

_METADATA = "_iceberg"
_OURS = frozenset({*ALL_TABLES, _METADATA, "_spool"})
_MOST_NAMES = 10_000
_TOLD_NAMES = 3


class ForeignPlaceError(NeedsAPersonError):
    """Tables would be written among files of others, and compaction would take these for its own."""


def prove_fit(place: Settings, *, beside: Settings) -> None:
    """Prove that tables may be written to ``place.tables_uri``.

    :param beside: settings of the tables in use, which the place must not lie in.
    :raises ForeignPlaceError: it holds something else, or lies inside the tables in use.
    :raises s3.S3Error: it cannot be listed.
    """
    uri = place.tables_uri
    if f"{absolute(uri)}/".startswith(f"{absolute(beside.tables_uri)}/"):
        raise ForeignPlaceError(f"{uri} lies in the tables in use, {beside.tables_uri}; name another folder")
    names = _names(place)
    foreign = sorted(names - _OURS)
    if foreign or (names and _METADATA not in names):
        told = ", ".join(repr(name) for name in (foreign or sorted(names))[:_TOLD_NAMES])
        raise ForeignPlaceError(
            f"{uri} holds {told} and is no folder of tables; name an empty one, or one that a rebuild made"
        )


def _names(place: Settings) -> set[str]:
    """What lies in the place, by the first part of its name."""
    uri = place.tables_uri
    if is_s3(uri):
        bucket, prefix = s3_objects.split_uri(f"{uri}/")
        with Storage(place) as storage:
            found: set[str] = set()
            for page in s3_objects.list_pages(storage.s3_client, bucket, prefix, delimiter="/"):
                found |= {entry["Prefix"] for entry in page.get("CommonPrefixes", [])}
                found |= {entry["Key"] for entry in page.get("Contents", [])}
                if len(found) > _MOST_NAMES:
                    break
        return {name.removeprefix(prefix).rstrip("/") for name in found} - {""}
    folder = local_path(uri)
    if not folder.exists():
        return set()
    if not folder.is_dir():
        raise ForeignPlaceError(f"{uri} is a file; name a folder")
    return {path.name for path in islice(folder.iterdir(), _MOST_NAMES)}
