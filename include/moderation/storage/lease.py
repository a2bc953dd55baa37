"""A lock in S3 that a dead owner cannot hold for ever.

The lock is one object. It is taken with a PUT that succeeds only if there is none (``If-None-Match``), or
only if it still is the stale one that was looked at (``If-Match`` on its ETag), so of many contenders one
wins. How stale a lock is, is told by the server's clock alone. Releasing overwrites it, for not every S3 has
conditional deletes.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import orjson

from moderation.errors import TransientError
from moderation.storage import s3_objects

DEFAULT_TTL = 600.0
"""Seconds after which a lock that nobody renewed may be taken over."""

_POLL_SECONDS = 0.5
_KEEP_SHARE = 0.2
"""Share of a lock's time after which it is renewed by whoever keeps it: some renewals may fail or be late."""


class LeaseBusy(TransientError):
    """Another owner kept the lock during the whole wait; the text names it."""


class LeaseLost(TransientError):
    """The lock was not renewed in time and another took it over; what it guards must be redone."""


@dataclass
class Lease:
    """A lock that this process holds.

    :param keep_seconds: how long :meth:`keep` lets a renewal be enough.
    """

    _s3: Any
    uri: str
    owner: str
    ttl: float
    keep_seconds: float
    _token: str
    _etag: str

    def __post_init__(self) -> None:
        self._renewed = time.monotonic()

    def keep(self) -> None:
        """Show that this process lives; cheap when called often.

        :raises LeaseLost: the lock was found taken over.
        """
        if time.monotonic() - self._renewed > self.keep_seconds:
            self.renew()

    def renew(self) -> None:
        """Prove that the lock is still held, and start its time anew.

        :raises LeaseLost: it is not.
        """
        self._etag = self._write(released=False)
        self._renewed = time.monotonic()

    def release(self) -> None:
        """Let others in.

        :raises LeaseLost: others were let in before.
        """
        self._etag = self._write(released=True)

    def _write(self, *, released: bool) -> str:
        body = _body(self.owner, self._token, self.ttl, released=released)
        etag = s3_objects.put_if_match(self._s3, self.uri, body, etag=self._etag)
        if etag is not None:
            return etag
        etag = _own(self._s3, self.uri, self._token)
        if etag is None:
            raise LeaseLost(f"{self.uri} was taken over after {self.ttl:.0f} s without renewal; run again")
        return etag


@contextmanager
def hold(
    s3: Any,
    uri: str,
    *,
    owner: str,
    ttl: float = DEFAULT_TTL,
    wait: float = 300.0,
    own_ttl: float | None = None,
) -> Iterator[Lease]:
    """Hold the lock ``uri`` during the block.

    :param owner: shown to those who wait.
    :param ttl: seconds that the lock outlives its owner; call :meth:`Lease.keep` several times within them.
    :param wait: seconds to wait for another owner.
    :param own_ttl: as ``ttl``, for a lock that the same ``owner`` left: an earlier try of the same work was
        killed, and if it lives after all it finds its lock lost. The found lock's own time when None.
    :raises LeaseBusy: it was not free in time; LeaseLost: it was lost before the end of the block.
    """
    lease = _acquire(s3, uri, owner=owner, ttl=ttl, wait=wait, own_ttl=own_ttl)
    try:
        yield lease
    except LeaseLost:
        raise
    except BaseException:
        with suppress(LeaseLost, s3_objects.S3Error):  # report the first error; the lock runs out by itself
            lease.release()
        raise
    lease.release()


def is_held(s3: Any, uri: str) -> bool:
    """Whether somebody holds the lock ``uri`` now, who is alive as far as its time tells."""
    found = s3_objects.find(s3, uri)
    if found is None:
        return False
    held = _parse(found.body)
    return held.get("released") is not True and found.age_seconds <= _ttl(held)


def _ttl(held: dict[str, Any]) -> float:
    told = held.get("ttl_seconds")
    return told if isinstance(told, int | float) else DEFAULT_TTL


def _acquire(
    s3: Any, uri: str, *, owner: str, ttl: float, wait: float, own_ttl: float | None = None
) -> Lease:
    token = uuid.uuid4().hex
    body = _body(owner, token, ttl, released=False)
    deadline = time.monotonic() + wait
    while True:
        etag = s3_objects.put_if_absent(s3, uri, body) or _take_over(
            s3, uri, body, token, owner=owner, own_ttl=own_ttl
        )
        if etag is not None:
            shortest = ttl if own_ttl is None else min(ttl, own_ttl)
            return Lease(s3, uri, owner, ttl, shortest * _KEEP_SHARE, token, etag)
        if time.monotonic() >= deadline:
            holder = _parse(s3_objects.read(s3, uri).body).get("owner", "unknown")
            raise LeaseBusy(
                f"{uri} is held by {holder}; it was not free within {wait:.0f} s, run again later"
            )
        time.sleep(_POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - spreads the contenders, no secret


def _take_over(
    s3: Any, uri: str, body: bytes, token: str, *, owner: str, own_ttl: float | None
) -> str | None:
    """Replace a released or stale lock; None when it is neither or another was quicker."""
    found = s3_objects.find(s3, uri)
    if found is None:
        return None
    held = _parse(found.body)
    if held.get("token") == token:
        return found.etag  # our write landed and its answer was lost
    ttl = _ttl(held)
    if own_ttl is not None and held.get("owner") == owner:
        ttl = min(ttl, own_ttl)
    if held.get("released") is True or found.age_seconds > ttl:
        return s3_objects.put_if_match(s3, uri, body, etag=found.etag) or _own(s3, uri, token)
    return None


def _own(s3: Any, uri: str, token: str) -> str | None:
    """The lock's ETag when it is ours: our write landed, its answer was lost and the repetition refused."""
    found = s3_objects.read(s3, uri)
    return found.etag if _parse(found.body).get("token") == token else None


def _body(owner: str, token: str, ttl: float, *, released: bool) -> bytes:
    # A fresh number in each write gives each its own ETag, also where the ETag is a hash of the content.
    stamp = uuid.uuid4().hex
    held = {"owner": owner, "token": token, "ttl_seconds": ttl, "released": released, "stamp": stamp}
    return orjson.dumps(held)


def _parse(body: bytes) -> dict[str, Any]:
    """The lock's content; a damaged one tells nothing and so runs out after the default time."""
    try:
        held = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return held if isinstance(held, dict) else {}
