"""The images of a training set: looked at as they are now, and copied where a set spans buckets."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from moderation.adapters.sets import near
from moderation.adapters.sets.decided import Decided
from moderation.adapters.sets.training_set import CHANGED, GONE, TrainingSet
from moderation.settings import Settings
from moderation.storage import s3_objects


class _Seen(NamedTuple):
    content: str
    hash: int | None
    trouble: str | None


def look_at(s3: Any, decided: Iterable[Decided], *, threads: int) -> tuple[dict[str, int], dict[str, str]]:
    """The hash of each picture, or why it has none."""

    def look(entry: Decided) -> _Seen:
        try:
            stored = s3_objects.read(s3, entry.source_ref)
        except s3_objects.S3Refused as error:
            if error.is_missing or error.code == "NoSuchBucket":
                return _Seen(entry.content, None, GONE)
            raise
        if entry.etag and stored.etag != entry.etag:
            return _Seen(entry.content, None, CHANGED)
        try:
            return _Seen(entry.content, near.picture_hash(stored.body), None)
        except near.UnreadablePictureError as error:
            return _Seen(entry.content, None, str(error))

    first = {entry.content: entry for entry in reversed(list(decided))}
    with ThreadPoolExecutor(threads) as pool:
        seen = list(pool.map(look, first.values()))
    hashes = {one.content: one.hash for one in seen if one.hash is not None}
    return hashes, {one.content: one.trouble for one in seen if one.trouble is not None}


def is_whole(s3: Any, content: str, place: str) -> bool:
    """Whether a copy is what it was made of, by size and ETag, of which a content's name is made."""
    found = s3_objects.look_up(s3, place)
    return found is not None and f"{s3_objects.etag_of(found)}-{found['Size']}" == content


def in_one_bucket(s3: Any, settings: Settings, made: TrainingSet) -> dict[str, str]:
    """Copy the images of other buckets into the work bucket, if there are several buckets.

    All images of a set have to be in one bucket (developer guide, "Custom Moderation").
    """
    if len({s3_objects.split_uri(picture.source_ref).bucket for picture in made.pictures}) < 2:
        return {}
    home = s3_objects.split_uri(settings.work_uri).bucket
    places = {}
    for picture in made.pictures:
        bucket, key = s3_objects.split_uri(picture.source_ref)
        if bucket == home:
            continue
        place = s3_objects.split_uri(s3_objects.join_uri(copies_uri(settings), picture.content))
        with s3_objects.named_errors("copy", bucket, key):
            s3.copy_object(Bucket=place.bucket, Key=place.key, CopySource={"Bucket": bucket, "Key": key})
        places[picture.content] = place.uri
    return places


def sweep_copies(settings: Settings, *, now: datetime, days: float) -> int:
    """Delete copies of images that are older than so many days; returns how many."""
    oldest = now.astimezone(UTC) - timedelta(days=days)
    number = 0
    with s3_objects.open_client(settings) as s3:
        bucket, _ = s3_objects.split_uri(settings.work_uri)
        for entry in list(s3_objects.list_objects(s3, copies_uri(settings) + "/")):
            if entry["LastModified"] < oldest:
                s3_objects.delete(s3, f"s3://{bucket}/{entry['Key']}")
                number += 1
    return number


def copies_uri(settings: Settings) -> str:
    """The folder of copied images."""
    return s3_objects.join_uri(settings.work_uri, "adapters", "images")
