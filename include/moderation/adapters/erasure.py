"""An erasure in what adapters keep: sets, frozen tests, copies, outputs of trainings, comparisons, shadows.

Every pass may be repeated; one that was killed is finished by the same command. An adapter cannot unlearn an
image: those that were trained on one are named.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from moderation.adapters import registry
from moderation.adapters.registry import RegistryError, Version
from moderation.adapters.sets import erased, images
from moderation.adapters.sets.store import StoredSet
from moderation.adapters.shadow import erased as shadows
from moderation.settings import Settings
from moderation.storage import lease, s3_objects

_LOCK_SECONDS = 120.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What came of an erasure.

    :param sets: digests of the sets that lost images, now or before.
    :param adapters: those trained on one of these sets; they cannot unlearn.
    :param left: what still names an image, and why; a sentence each.
    :param later: what will, or may, though nothing here does.
    """

    sets: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


def forget(settings: Settings, contents: Collection[str], source_refs: Collection[str] = ()) -> Forgotten:
    """Take contents out of everything that adapters keep in S3; may be repeated, also after a kill.

    :param source_refs: keys of these contents, by which leftovers are looked for.
    :raises LeaseBusy: another erasure is under way; nothing is lost by running again.
    :raises S3Error: S3 cannot be read or written; the rest is done by running again.
    """
    left: list[str] = []
    with s3_objects.open_client(settings) as s3:
        lock = s3_objects.join_uri(settings.work_uri, "locks", "adapters.json")
        with lease.hold(s3, lock, owner="an erasure", ttl=_LOCK_SECONDS) as held:
            uris = erased.objects(s3, settings)
            needles = _needles(contents, source_refs)
            left += shadows.from_shadows(s3, settings, contents)
            held.keep()
            erased.from_copies(s3, settings, contents)
            held.keep()
            touched = erased.from_sets(s3, uris, contents, left.append)
            # After the sets: what one of them tests with is frozen again by whoever makes the next.
            erased.from_frozen(s3, settings, uris, contents, left.append)
            erased.from_unfinished(s3, uris, needles)
            for stored in touched:
                held.keep()
                erased.from_outputs(s3, stored)
            trained = _from_registry(settings, touched, left)
            left += _leftovers(s3, settings, needles, held)
            later = [*_in_training(settings, trained), *_versions(s3, settings)]
    return Forgotten(
        sets=tuple(stored.digest for stored in touched),
        adapters=tuple(version.arn for version in trained),
        left=tuple(left),
        later=tuple(later),
    )


def _from_registry(settings: Settings, touched: Collection[StoredSet], left: list[str]) -> list[Version]:
    of_set = {stored.uri: stored.source_refs for stored in touched if stored.contents.erased}
    try:
        there = registry.forget(settings, of_set)
    except RegistryError as error:
        left.append(str(error))
        return []
    return registry.trained_on(there, {uri.rpartition("/")[2] for uri in of_set})


def _in_training(settings: Settings, trained: Collection[Version]) -> list[str]:
    return [
        f"{version.arn} was not compared yet: what its training writes at its end is cleaned by "
        f"`{settings.command} adapter evaluate {version.arn}`, or by erasing again afterwards"
        for version in trained
        if version.evaluation is None
    ]


def _leftovers(s3: Any, settings: Settings, needles: Collection[str], held: lease.Lease) -> list[str]:
    """Objects that name an image after all: damaged, or of a form that is not known."""
    copies = images.copies_uri(settings) + "/"
    left = []
    for uri in erased.objects(s3, settings):
        held.keep()
        if not uri.startswith(copies) and erased.names(s3, uri, needles):
            left.append(f"{uri} still names an image; delete the object, or take the image out of it by hand")
    return left


def _needles(contents: Collection[str], source_refs: Collection[str]) -> set[str]:
    """The texts by which an image is named; a key ends with its quote, for it may begin another key."""
    escaped = {json.dumps(ref)[1:] for ref in source_refs}
    return {*contents, *escaped, *(f'{ref}"' for ref in source_refs)}


def _versions(s3: Any, settings: Settings) -> list[str]:
    """Say that a bucket with versions keeps what was overwritten."""
    bucket = s3_objects.split_uri(settings.work_uri).bucket
    try:
        with s3_objects.named_errors("read", bucket):
            status = s3.get_bucket_versioning(Bucket=bucket).get("Status")
    except s3_objects.S3Error as error:
        _log.info("whether %s keeps versions cannot be told: %s", bucket, error)
        return []
    if status is None:
        return []
    return [f"the bucket {bucket} keeps older versions of what was changed; let a lifecycle rule expire them"]
