"""Contents taken out of training sets, frozen tests, copies, and what trainings left behind beside a set.

The outputs of a set may name what the set holds, and nothing else: so a pass that was killed is finished by
any later one, and an output that AWS writes after an erasure is cleaned when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

import orjson

from moderation.adapters.sets import images, store
from moderation.adapters.sets.store import Frozen, StoredSet, TrainingSetError
from moderation.settings import Settings
from moderation.storage import s3_objects

_OWN = {"set.json", "training.jsonl", "testing.jsonl"}
_FOLDER = re.compile(r".*/sets/[0-9a-f]{64}")
_REF = "source-ref"

Tell = Callable[[str], None]
"""Takes a sentence about what could not be erased."""


def objects(s3: Any, settings: Settings) -> list[str]:
    """Every object of the adapters, copies of images included."""
    bucket, _ = s3_objects.split_uri(settings.work_uri)
    found = s3_objects.list_objects(s3, s3_objects.join_uri(settings.work_uri, "adapters", ""))
    return sorted(f"s3://{bucket}/{entry['Key']}" for entry in found)


def from_sets(s3: Any, uris: Collection[str], contents: Collection[str], tell: Tell) -> list[StoredSet]:
    """Take contents out of every set; returns the sets that have ever lost an image, as they are now.

    :param uris: of :func:`objects`.
    """
    touched = []
    for stored in _sets(s3, uris, tell):
        kept = stored.contents.without(contents)
        if kept is not stored.contents:
            places = {one: place for one, place in stored.places.items() if one not in contents}
            stored = replace(stored, contents=kept, places=places)  # noqa: PLW2901 - the same set
            store.write(s3, stored)
        if stored.contents.sealed_rest is not None:
            store.write_manifests(s3, stored)  # of a pass that was killed
            touched.append(stored)
    return touched


def from_unfinished(s3: Any, uris: Collection[str], needles: Collection[str]) -> None:
    """Delete manifests of sets that were never finished, if they name what is to be forgotten."""
    whole = {uri.rpartition("/")[0] for uri in uris if uri.endswith("/set.json")}
    for uri in uris:
        folder, _, name = uri.rpartition("/")
        if name in _OWN and _FOLDER.fullmatch(folder) and folder not in whole and names(s3, uri, needles):
            s3_objects.delete(s3, uri)


def from_frozen(
    s3: Any, settings: Settings, uris: Collection[str], contents: Collection[str], tell: Tell
) -> None:
    """Take contents out of the lists of what has tested."""
    for uri in uris:
        if not uri.endswith("/frozen.json"):
            continue
        try:
            Frozen(s3, settings, uri.split("/")[-2]).remove(contents)
        except TrainingSetError as error:
            tell(str(error))


def from_copies(s3: Any, settings: Settings, contents: Collection[str]) -> None:
    """Delete copies, whether a set knows them or its making was killed before."""
    for content in contents:
        if "/" not in content:
            s3_objects.delete(s3, s3_objects.join_uri(images.copies_uri(settings), content))


def from_outputs(s3: Any, stored: StoredSet) -> None:
    """Take out of what trainings on the set left behind the images that the set does not hold any more."""
    if not stored.contents.erased:
        return
    refs, home = stored.source_refs, s3_objects.split_uri(stored.uri)
    for entry in list(s3_objects.list_objects(s3, stored.uri + "/")):
        if entry["Key"].removeprefix(home.key + "/") in _OWN:
            continue
        uri = f"s3://{home.bucket}/{entry['Key']}"
        body = s3_objects.read(s3, uri).body
        kept = _kept(body, refs)
        if kept != body:
            s3_objects.put(s3, uri, kept)


def names(s3: Any, uri: str, needles: Collection[str]) -> bool:
    """Whether an object's text names any of these."""
    found = s3_objects.find(s3, uri)
    return found is not None and any(needle.encode() in found.body for needle in needles)


def _sets(s3: Any, uris: Collection[str], tell: Tell) -> Iterator[StoredSet]:
    for uri in uris:
        if uri.endswith("/set.json"):
            try:
                found = store.find(s3, uri.removesuffix("/set.json"))
            except TrainingSetError as error:
                tell(str(error))
                continue
            if found is not None:
                yield found


def _kept(body: bytes, refs: Collection[str]) -> bytes:
    """A manifest without lines, or a document without entries, of images that are none of these."""
    try:
        lines = [(line, orjson.loads(line)) for line in body.splitlines(keepends=True) if line.strip()]
    except orjson.JSONDecodeError:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return body
        kept = _without_others(document, refs)
        return body if kept == document else orjson.dumps(kept)
    told = []
    for line, document in lines:
        if not _is_other(document, refs):
            kept = _without_others(document, refs)
            told.append(line if kept == document else orjson.dumps(kept) + b"\n")
    return b"".join(told)


def _is_other(value: Any, refs: Collection[str]) -> bool:
    return isinstance(value, dict) and isinstance(value.get(_REF), str) and value[_REF] not in refs


def _without_others(value: Any, refs: Collection[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without_others(one, refs) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_others(one, refs) for one in value if not _is_other(one, refs)]
    return value
