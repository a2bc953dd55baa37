"""Training sets in S3: made from the images as they are now, written once, found again, and forgotten.

Below ``MODERATION_WORK_URI/adapters/<project>/``: ``sets/<digest>/`` with ``training.jsonl``,
``testing.jsonl`` and, sealed, ``set.json``, which is written last; and ``frozen.json``, the contents that
ever tested. Copies of images, made only where a set spans buckets, are in
``MODERATION_WORK_URI/adapters/images/``; ``erased`` forgets.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from moderation.adapters.sets import near
from moderation.adapters.sets.decided import Decided
from moderation.adapters.sets.training_set import (
    CHANGED,
    GONE,
    TESTING,
    TRAINING,
    Picture,
    TrainingSet,
    build,
)
from moderation.errors import NeedsAPersonError, TransientError
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.state import parse_state, seal
from moderation.variables.adapters import AdapterSettings

_log = logging.getLogger(__name__)

_REMEDY = "restore it from a version or a backup of the bucket, or delete the folder and make the set anew"
_REMEDY_FROZEN = "restore it from a version or a backup of the bucket, or delete it: the sets know it too"
_TRIES = 5
_PROJECT = re.compile(r"[a-zA-Z0-9_.\-]{1,255}")  # ProjectName [service-2.json]
_TAKEN = {"images", "registry.json", "shadow"}


class TrainingSetError(NeedsAPersonError):
    """A training set, or what belongs to it, cannot be used."""


class TrainingSetBusyError(TransientError):
    """Another process writes the same state again and again."""


@dataclass(frozen=True, kw_only=True)
class StoredSet:
    """A set as it is in S3.

    :param places: where the images are that were copied, by content.
    """

    uri: str
    project: str
    contents: TrainingSet
    places: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The set's name."""
        return self.uri.rstrip("/").rpartition("/")[2]

    @property
    def source_refs(self) -> set[str]:
        """Where its images are, as its manifests name them."""
        return {self.place_of(one) for one in self.contents.pictures}

    def place_of(self, picture: Picture) -> str:
        """Where an image is, as its manifest names it."""
        return self.places.get(picture.content, picture.source_ref)

    @property
    def training_uri(self) -> str:
        """The manifest of training images."""
        return f"{self.uri}/training.jsonl"

    @property
    def testing_uri(self) -> str:
        """The manifest of test images."""
        return f"{self.uri}/testing.jsonl"


class _Seen(NamedTuple):
    content: str
    hash: int | None
    trouble: str | None


def make(
    settings: Settings,
    project: str,
    decided: Sequence[Decided],
    *,
    labels: Collection[str],
    rule: AdapterSettings,
    thresholds: Mapping[str, float] | None = None,
    default_threshold: float = 50.0,
) -> StoredSet:
    """Make the set of some labels and write it; the same verdicts find the set that is there.

    Each image is read once, to see that it is the one that people saw, and for its hash.

    :raises UnknownLabelError: a label is none of taxonomy 7.0.
    :raises TrainingSetError: no image is left to train or to test with, or the name is none of a project.
    """
    if not _PROJECT.fullmatch(project) or not project.strip(".") or project in _TAKEN:
        raise TrainingSetError(
            f"{project!r} is no name of a project: up to 255 letters, digits and any of _ . - are allowed, "
            f"and none of {', '.join(sorted(_TAKEN))}"
        )
    with s3_objects.open_client(settings, connections=settings.inspect_threads) as s3:
        frozen = Frozen(s3, settings, project)
        # What a set tests with is frozen, whatever the list lacks: it may be lost.
        frozen.add(_testing(s3, set_uri(settings, project, "")))
        hashes, unusable = _look(s3, decided, threads=settings.inspect_threads)
        made = _built(
            frozen,
            lambda known: build(
                decided,
                hashes,
                labels=labels,
                rule=rule,
                thresholds=thresholds,
                default_threshold=default_threshold,
                frozen=known,
                unusable=unusable,
            ),
        )
        uri = set_uri(settings, project, made.digest)
        if (there := find(s3, uri)) is not None and all(
            _is_whole(s3, content, place) for content, place in there.places.items()
        ):
            write_manifests(s3, there)
            return there
        places = _in_one_bucket(s3, settings, made)
        stored = StoredSet(uri=uri, project=project, contents=made, places=places)
        write(s3, stored)
        _log.info("%s\n%s", uri, made.text())
        return stored


def _built(frozen: Frozen, make_of: Callable[[Mapping[str, int]], TrainingSet]) -> TrainingSet:
    """A set whose tests are frozen, and that trains on none that another froze while it was made.

    :param make_of: makes the set, given what is frozen.
    """
    for _ in range(_TRIES):
        known = frozen.hashes
        made = make_of(known)
        if not made.part(TRAINING) or not made.part(TESTING):
            raise TrainingSetError(f"no image is left to train or to test with:\n{made.text()}")
        mine = {picture.content: picture.hash for picture in made.part(TESTING)}
        frozen.add(mine)
        if frozen.hashes.keys() <= known.keys() | mine.keys():
            return made
    raise TrainingSetBusyError("other sets of the project are made all the time; try again")


def set_uri(settings: Settings, project: str, digest: str) -> str:
    """The folder of a set."""
    return s3_objects.join_uri(settings.work_uri, "adapters", project, "sets", digest)


def write(s3: Any, stored: StoredSet) -> None:
    """Write a set; ``set.json``, which makes it one, comes last."""
    for part, uri in ((TRAINING, stored.training_uri), (TESTING, stored.testing_uri)):
        s3_objects.put(s3, uri, stored.contents.manifest(part, stored.places))
    record = {
        "project": stored.project,
        "set": stored.contents.record(),
        "places": dict(stored.places),
    }
    s3_objects.put(s3, f"{stored.uri}/set.json", seal(record), content_type="application/json")


def write_manifests(s3: Any, stored: StoredSet) -> None:
    """Mend the manifests of a set, where they are not what it says."""
    for part, uri in ((TRAINING, stored.training_uri), (TESTING, stored.testing_uri)):
        wanted, there = stored.contents.manifest(part, stored.places), s3_objects.find(s3, uri)
        if there is None or there.body != wanted:
            s3_objects.put(s3, uri, wanted)


def find(s3: Any, uri: str) -> StoredSet | None:
    """The set of a folder, None when there is none.

    :raises TrainingSetError: it is damaged.
    """
    place = f"{uri}/set.json"
    found = s3_objects.find(s3, place)
    if found is None:
        return None

    def parse(state: dict[str, Any]) -> StoredSet:
        return StoredSet(
            uri=uri,
            project=str(state["project"]),
            contents=TrainingSet.of_record(state["set"]),
            places=dict(state["places"]),
        )

    stored = parse_state(found.body, place, parse=parse, error=TrainingSetError, remedy=_REMEDY)
    if stored.contents.digest != stored.digest:
        raise TrainingSetError(f"{place} is damaged: it is not the set that its folder names; {_REMEDY}")
    return stored


def load(settings: Settings, uri: str) -> StoredSet:
    """The set of a folder.

    :raises TrainingSetError: there is none, or it is damaged.
    """
    with s3_objects.open_client(settings) as s3:
        found = find(s3, uri)
    if found is None:
        raise TrainingSetError(
            f"there is no training set {uri}; make it by `{settings.command} adapter train`"
        )
    return found


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


def _look(s3: Any, decided: Iterable[Decided], *, threads: int) -> tuple[dict[str, int], dict[str, str]]:
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


def _is_whole(s3: Any, content: str, place: str) -> bool:
    """Whether a copy is what it was made of, by size and ETag, of which a content's name is made."""
    found = s3_objects.look_up(s3, place)
    return found is not None and f"{s3_objects.etag_of(found)}-{found['Size']}" == content


def _in_one_bucket(s3: Any, settings: Settings, made: TrainingSet) -> dict[str, str]:
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


class Frozen:
    """The contents that ever tested in a project, with their hashes."""

    def __init__(self, s3: Any, settings: Settings, project: str) -> None:
        self._s3 = s3
        self._uri = s3_objects.join_uri(settings.work_uri, "adapters", project, "frozen.json")

    @property
    def hashes(self) -> dict[str, int]:
        """The hash of each."""
        return {content: int(text, 16) for content, text in self._read()[0].items()}

    def add(self, found: Mapping[str, str]) -> None:
        """Contents that test from now on."""
        self._change(lambda there: {**there, **found})

    def remove(self, contents: Collection[str]) -> None:
        """Contents that are forgotten."""
        self._change(lambda there: {c: text for c, text in there.items() if c not in contents})

    def _read(self) -> tuple[dict[str, str], str | None]:
        found = s3_objects.find(self._s3, self._uri)
        if found is None:
            return {}, None

        def parse(state: dict[str, Any]) -> dict[str, str]:
            if (place := state.get("place", self._uri)) != self._uri:
                raise ValueError(f"it is {place}")
            return {str(c): f"{int(text, 16):032x}" for c, text in state["contents"].items()}

        kept = parse_state(
            found.body,
            self._uri,
            parse=parse,
            error=TrainingSetError,
            remedy=_REMEDY_FROZEN,
        )
        return kept, found.etag

    def _change(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        for _ in range(_TRIES):
            there, etag = self._read()
            wanted = change(there)
            if wanted == there:
                return
            body = seal({"place": self._uri, "contents": dict(sorted(wanted.items()))})
            if etag is None:
                done = s3_objects.put_if_absent(self._s3, self._uri, body)
            else:
                done = s3_objects.put_if_match(self._s3, self._uri, body, etag=etag)
            if done is not None:
                return
        raise TrainingSetBusyError(f"{self._uri} is being changed by another process; try again")


def _testing(s3: Any, folder: str) -> dict[str, str]:
    """The test images of all sets of a project, with their hashes; a damaged set is told where it is used."""
    bucket = s3_objects.split_uri(folder).bucket
    found: dict[str, str] = {}
    for entry in list(s3_objects.list_objects(s3, folder)):
        if not entry["Key"].endswith("/set.json"):
            continue
        uri = f"s3://{bucket}/{entry['Key']}".removesuffix("/set.json")
        try:
            stored = find(s3, uri)
        except TrainingSetError as error:
            _log.warning("its test images may be lost to the frozen ones: %s", error)
            continue
        found |= {one.content: one.hash for one in stored.contents.part(TESTING)} if stored else {}
    return found
