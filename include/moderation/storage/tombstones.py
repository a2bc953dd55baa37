"""What was erased on request, told without naming it, so that no listing and no repair brings it back.

::

    {work_uri}/erased/key.json             a secret of this install, and the names of all erasures
                      <erasure>.json       what one erasure asked for, as digests, and how far it is
                      <erasure>-receipt.json, .txt

A digest is BLAKE2b of a key or content under the secret: the list alone tells nobody a key. Who can read both
can still try keys that they guess, one after the other, as keys are names and no secrets: both are to be kept
as closed as the work bucket.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.errors import NeedsAPersonError
from moderation.reference import content
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.state import read_state, seal

NOTED, OPEN, DONE = "noted", "open", "done"
_DIGEST_BYTES = 16
_AT_ONCE = 8
_TRIES = 8
_REMEDY = (
    "bring it back from a backup or an older version of the object: without it what was erased comes back"
)


class TombstonesError(NeedsAPersonError):
    """What was erased cannot be told; the text names the file and the remedy."""


class UnfinishedErasureError(NeedsAPersonError):
    """An erasure is to be finished first."""


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """One request and how far it is.

    :param name: of the request: the same asked again has the same.
    :param keys: digests of keys; ``contents``: of contents.
    :param at: when it was asked for first, ISO text.
    :param status: ``noted`` until anything of it is done, then ``open`` until all of it is ``done``.
    :param loads: ids of published loads that have lost images by it.
    :param files: files of tables that are about to be deleted.
    :param counts: what went so far, by place.
    """

    name: str
    keys: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()
    at: str = ""
    status: str = NOTED
    loads: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Tombstones:
    """Digests of all that was erased.

    :param secret: under which they were made.
    """

    secret: bytes = b""
    keys: frozenset[str] = frozenset()
    contents: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.keys or self.contents)

    def digest(self, text: str) -> str:
        """The digest of a key or a content."""
        return digest(self.secret, text)

    def has(self, source_ref: str, etag: str | None, size: int | None, *more: str | None) -> bool:
        """Whether an image was erased, by its key or by its content.

        :param more: further names of it, as the path that a person knows it by.
        """
        if self.keys and any(self.digest(name) in self.keys for name in (source_ref, *more) if name):
            return True
        if not self.contents:
            return False
        return self.digest(content.subject_id(source_ref, etag, size)) in self.contents

    def mask(self, rows: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        """Which rows of a listing were erased.

        :param rows: of `sources.listing.SCHEMA`, or of some of its columns.
        """
        there = set(rows.schema.names)
        nothing = [None] * rows.num_rows
        names = ("source_ref", "etag", "size", "origin")
        columns = (rows.column(name).to_pylist() if name in there else nothing for name in names)
        return pa.array([self.has(*row) for row in zip(*columns, strict=True)], pa.bool_())

    def without(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows that were not erased."""
        return rows.filter(pc.invert(self.mask(rows))) if self else rows


def digest(secret: bytes, text: str) -> str:
    """The digest of a key or a content under a secret."""
    told = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(told, key=secret, digest_size=_DIGEST_BYTES).hexdigest()


def load(s3: Any, settings: Settings) -> Tombstones:
    """All that was erased.

    :raises TombstonesError: a list is damaged or gone; s3_objects.S3Error: S3 cannot be read.
    """
    index = _index(s3, settings)
    if index is None:
        _prove_none(s3, settings)
        return Tombstones()
    secret, names = index
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="erased") as pool:
        found = list(pool.map(lambda name: _erasure(s3, settings, name), sorted(names)))
    keys = frozenset(one for erasure in found for one in erasure.keys)
    return Tombstones(secret, keys, frozenset(one for erasure in found for one in erasure.contents))


def begin(s3: Any, settings: Settings, keys: Iterable[str], contents: Iterable[str], *, at: str) -> Erasure:
    """Note a request before anything of it is done; gives what is known of it when it was begun before."""
    secret = _secret(s3, settings)
    asked = tuple(sorted({digest(secret, key) for key in keys}))
    held = tuple(sorted({digest(secret, one) for one in contents}))
    text = "\n".join([*asked, "", *held])
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    fresh = Erasure(name=name, at=at, keys=asked, contents=held)
    s3_objects.put_if_absent(s3, uri_of(settings, name), seal(_content(fresh)))
    _list(s3, settings, name)
    return _erasure(s3, settings, name)


def extend(s3: Any, settings: Settings, erasure: Erasure, keys: Collection[str]) -> Erasure:
    """Add digests of further names of what is erased."""
    secret = _secret(s3, settings)
    more = {digest(secret, key) for key in keys}
    return write(s3, settings, replace(erasure, keys=tuple(sorted(more | set(erasure.keys)))))


def write(s3: Any, settings: Settings, erasure: Erasure) -> Erasure:
    """Keep how far an erasure is; the caller holds the lock of erasures."""
    s3_objects.put(s3, uri_of(settings, erasure.name), seal(_content(erasure)))
    return erasure


def prove_finished(s3: Any, settings: Settings) -> None:
    """Refuse to make anything from plans and answers of which some is erased and some not yet.

    :raises UnfinishedErasureError: an erasure was killed, or could not do all of it.
    """
    if open_ones := unfinished(s3, settings):
        raise UnfinishedErasureError(
            f"the erasure {open_ones[0].name}, asked for {open_ones[0].at}, is not finished; ask for the "
            f"same once more (`{settings.command} erase`), then try again"
        )


def unfinished(s3: Any, settings: Settings) -> list[Erasure]:
    """Erasures of which some is done and not all.

    :raises TombstonesError: as of :func:`load`.
    """
    index = _index(s3, settings)
    found = [_erasure(s3, settings, name) for name in sorted(index[1])] if index else []
    return [erasure for erasure in found if erasure.status == OPEN]


def uri_of(settings: Settings, name: str, suffix: str = ".json") -> str:
    """Where an erasure is kept."""
    return s3_objects.join_uri(settings.work_uri, "erased", f"{name}{suffix}")


def _content(erasure: Erasure) -> dict[str, Any]:
    return asdict(erasure)


def _key_uri(settings: Settings) -> str:
    return s3_objects.join_uri(settings.work_uri, "erased", "key.json")


def _index(s3: Any, settings: Settings) -> tuple[bytes, set[str]] | None:
    return read_state(
        s3,
        _key_uri(settings),
        parse=lambda told: (bytes.fromhex(told["secret"]), set(map(str, told["erasures"]))),
        error=TombstonesError,
        remedy=_REMEDY,
    )


def _prove_none(s3: Any, settings: Settings) -> None:
    if entry := next(iter(s3_objects.list_objects(s3, uri_of(settings, "", ""))), None):
        raise TombstonesError(f"{_key_uri(settings)} is gone and {entry['Key']} is there; {_REMEDY}")


def _secret(s3: Any, settings: Settings) -> bytes:
    if _index(s3, settings) is None:
        _prove_none(s3, settings)
        fresh = {"secret": secrets.token_hex(32), "erasures": []}
        s3_objects.put_if_absent(s3, _key_uri(settings), seal(fresh))
    index = _index(s3, settings)
    if index is None:
        raise TombstonesError(f"{_key_uri(settings)} was deleted meanwhile; {_REMEDY}")
    return index[0]


def _list(s3: Any, settings: Settings, name: str) -> None:
    """Name an erasure in the index, so that one that gets lost is missed."""
    for _ in range(_TRIES):
        stored = s3_objects.read(s3, _key_uri(settings))
        index = _index(s3, settings)
        if index is None or name in index[1]:
            return
        body = seal({"secret": index[0].hex(), "erasures": sorted({*index[1], name})})
        if s3_objects.put_if_match(s3, _key_uri(settings), body, etag=stored.etag):
            return


def _erasure(s3: Any, settings: Settings, name: str) -> Erasure:
    uri = uri_of(settings, name)
    found = read_state(s3, uri, parse=_parse, error=TombstonesError, remedy=_REMEDY)
    if found is None:
        raise TombstonesError(f"{uri} is gone; {_REMEDY}")
    if found.name != name:
        raise TombstonesError(f"{uri} is of the erasure {found.name}; {_REMEDY}")
    return found


def _parse(told: dict[str, Any]) -> Erasure:
    lists = {name: tuple(map(str, told[name])) for name in ("keys", "contents", "loads", "files")}
    counts = {str(name): int(number) for name, number in told["counts"].items()}
    return Erasure(
        name=str(told["name"]), at=str(told["at"]), status=str(told["status"]), counts=counts, **lists
    )
