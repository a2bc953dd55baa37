"""Training sets in S3: made from the images as they are now, written once, found again, and forgotten.

Below ``MODERATION_WORK_URI/adapters/<project>/``: ``sets/<digest>/`` with ``training.jsonl``,
``testing.jsonl`` and, sealed, ``set.json``, which is written last; and ``frozen.json``, the contents that
ever tested, and which set answers which question. Copies of images (``images``) are in
``MODERATION_WORK_URI/adapters/images/``; ``erased`` forgets.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from moderation.adapters.sets import images
from moderation.adapters.sets.decided import Decided
from moderation.adapters.sets.training_set import (
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
    :param question: the digest that it would have if nothing had tested before; "" of an earlier release.
    """

    uri: str
    project: str
    contents: TrainingSet
    places: Mapping[str, str]
    question: str = ""

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

    They find it too when other sets have been made since, whose tests it trains on: whoever asks again for
    what is trained already must not pay for it again. Of several who ask at once, all get one set.

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
        # What a set tests with is frozen, and answers its question, whatever the list lacks: it may be lost.
        frozen.add(*_of_sets(s3, set_uri(settings, project, "")))
        hashes, unusable = images.look_at(s3, decided, threads=settings.inspect_threads)

        def build_beside(tested: Mapping[str, int]) -> TrainingSet:
            return build(
                decided,
                hashes,
                labels=labels,
                rule=rule,
                thresholds=thresholds,
                default_threshold=default_threshold,
                frozen=tested,
                unusable=unusable,
            )

        question = build_beside({}).digest
        answer = frozen.answers.get(question)
        if answer is None or (there := find(s3, set_uri(settings, project, answer))) is None:
            there = _make(s3, settings, project, _built(frozen, build_beside), question)
            first = frozen.answer(question, there.digest, instead_of=answer)
            if first != there.digest:
                there = find(s3, set_uri(settings, project, first)) or there
        if not all(images.is_whole(s3, content, place) for content, place in there.places.items()):
            there = replace(there, places=images.in_one_bucket(s3, settings, there.contents))
            write(s3, there)
        write_manifests(s3, there)
        return there


def _make(s3: Any, settings: Settings, project: str, made: TrainingSet, question: str) -> StoredSet:
    """Write a set, or find it."""
    uri = set_uri(settings, project, made.digest)
    if (there := find(s3, uri)) is not None:
        return there
    places = images.in_one_bucket(s3, settings, made)
    stored = StoredSet(uri=uri, project=project, contents=made, places=places, question=question)
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
        "question": stored.question,
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
            question=str(state.get("question", "")),
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


class _Kept(NamedTuple):
    contents: dict[str, str]
    sets: dict[str, str]


class Frozen:
    """The contents that ever tested in a project, with their hashes, and which set answers which question."""

    def __init__(self, s3: Any, settings: Settings, project: str) -> None:
        self._s3 = s3
        self._uri = s3_objects.join_uri(settings.work_uri, "adapters", project, "frozen.json")

    @property
    def hashes(self) -> dict[str, int]:
        """The hash of each."""
        return {content: int(text, 16) for content, text in self._read()[0].contents.items()}

    @property
    def answers(self) -> dict[str, str]:
        """The digest of the set by question."""
        return self._read()[0].sets

    def add(self, found: Mapping[str, str], sets: Mapping[str, str] | None = None) -> None:
        """Contents that test from now on, and sets that answer what no other set answers."""
        self._change(lambda there: _Kept({**there.contents, **found}, {**(sets or {}), **there.sets}))

    def answer(self, question: str, digest: str, *, instead_of: str | None) -> str:
        """The set that answers a question from now on: the one that somebody named first.

        :param instead_of: a set that is lost.
        """

        def change(there: _Kept) -> _Kept:
            taken = there.sets.get(question) not in {None, instead_of}
            return there if taken else there._replace(sets={**there.sets, question: digest})

        return self._change(change).sets[question]

    def remove(self, contents: Collection[str]) -> None:
        """Contents that are forgotten."""

        def change(there: _Kept) -> _Kept:
            return there._replace(contents={c: h for c, h in there.contents.items() if c not in contents})

        self._change(change)

    def _read(self) -> tuple[_Kept, str | None]:
        found = s3_objects.find(self._s3, self._uri)
        if found is None:
            return _Kept({}, {}), None

        def parse(state: dict[str, Any]) -> _Kept:
            if (place := state.get("place", self._uri)) != self._uri:
                raise ValueError(f"it is {place}")
            hashes = {str(c): f"{int(text, 16):032x}" for c, text in state["contents"].items()}
            return _Kept(hashes, dict(state.get("sets", {})))

        kept = parse_state(
            found.body,
            self._uri,
            parse=parse,
            error=TrainingSetError,
            remedy=_REMEDY_FROZEN,
        )
        return kept, found.etag

    def _change(self, change: Callable[[_Kept], _Kept]) -> _Kept:
        for _ in range(_TRIES):
            there, etag = self._read()
            wanted = change(there)
            if wanted == there:
                return there
            kept = {name: dict(sorted(value.items())) for name, value in wanted._asdict().items()}
            body = seal({"place": self._uri} | kept)
            if etag is None:
                done = s3_objects.put_if_absent(self._s3, self._uri, body)
            else:
                done = s3_objects.put_if_match(self._s3, self._uri, body, etag=etag)
            if done is not None:
                return wanted
        raise TrainingSetBusyError(f"{self._uri} is being changed by another process; try again")


def _of_sets(s3: Any, folder: str) -> tuple[dict[str, str], dict[str, str]]:
    """The test images of all sets of a project, with their hashes, and which of them answers which question.

    A damaged set is told where it is used. Of two that answer one question the older one does.
    """
    bucket = s3_objects.split_uri(folder).bucket
    tests: dict[str, str] = {}
    answers: dict[str, str] = {}
    for entry in sorted(s3_objects.list_objects(s3, folder), key=lambda entry: entry["LastModified"]):
        if not entry["Key"].endswith("/set.json"):
            continue
        uri = f"s3://{bucket}/{entry['Key']}".removesuffix("/set.json")
        try:
            stored = find(s3, uri)
        except TrainingSetError as error:
            _log.warning("its test images may be lost to the frozen ones: %s", error)
            continue
        if stored is not None:
            tests |= {one.content: one.hash for one in stored.contents.part(TESTING)}
            answers.setdefault(stored.question or stored.digest, stored.digest)
    return tests, answers
