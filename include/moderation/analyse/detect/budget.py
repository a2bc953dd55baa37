"""The calls a second of an account and region, shared by all tasks, on all machines, through S3.

Every participant keeps one small object ``<folder>/<id>.json`` that holds its *claim* in calls a second, and
writes it anew every second as a sign of life. One that is about to run out of work says so beforehand: its
claim shrinks with what it still wants, and the others, who look more often from then on, take it up. The
rules, each needed for the sum never to exceed the quota, however beats interleave:

1. The claim aimed at is the participant's fair share (:func:`fair_share`): quota / participants, and what
   others do not want.
2. To go lower: slow down first, then write the lower claim.
3. To go higher, and to join: write the claim first, then list the others again, and use at most what their
   claims leave of the quota. Of all claims in use, the one whose owner listed last saw all the others.
   One that may have been counted as dead joins anew.
4. An object that is older than ``expiry_seconds`` by the server's clock belongs to a dead participant. One
   whose own sign of life did not get through for ``fence_seconds``, which is less, stops by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import orjson

from moderation.storage import s3_objects

_log = logging.getLogger(__name__)

_LITTER_SECONDS = 24 * 3600.0
"""Age at which the object of a dead participant is deleted. Not sooner: one that hung and revives in between
would lose the object that the others must see."""


class Budget(Protocol):
    """A rate that may change at any time; entered for as long as calls are made."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *error: object) -> None: ...

    def rate(self) -> float:
        """Calls a second that the participant may make now."""

    def needs(self, calls_left: Callable[[], int]) -> None:
        """Take note of how to find out how many calls are still to go out; others may have the rest."""


class FixedBudget:
    """A rate that is nobody else's, within one process.

    :param calls_per_second: the rate.
    """

    def __init__(self, calls_per_second: float) -> None:
        if not calls_per_second > 0:
            raise ValueError(f"calls_per_second must be above 0, not {calls_per_second!r}")
        self._rate = calls_per_second

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None

    def rate(self) -> float:
        """The whole rate."""
        return self._rate

    def needs(self, calls_left: Callable[[], int]) -> None:
        """Nobody could have the rest."""


def fair_share(quota: float, wanted: float, by_others: Sequence[float]) -> float:
    """One participant's part of ``quota``: nobody gets more than it wants while another wants more.

    What nobody wants is shared out equally, so that late wishes need not wait.

    :param wanted: calls a second that it can use, infinity for as many as there are.
    :param by_others: the same of each other participant.
    """
    everybody = sorted([wanted, *by_others])
    left = quota
    for number, wish in enumerate(everybody):
        level = left / (len(everybody) - number)
        if wish >= level:
            return min(wanted, level)
        left -= wish
    return wanted + left / len(everybody)


@dataclass(frozen=True)
class _Peer:
    etag: str
    claim: float
    wanted: float


class SharedBudget:
    """One participant's part of a quota; an asynchronous context manager that joins and leaves.

    :param s3: a boto3 S3 client; used from threads.
    :param folder: ``s3://…`` under which all participants of this account and region meet.
    :param quota: calls a second of all together. All participants must be given the same.
    :param beat_seconds: time between two signs of life.
    :param fence_seconds: how long to go on calling without a sign of life that got through.
    :param expiry_seconds: age at which a sign of life no longer counts; well above ``fence_seconds``, because
        S3 tells ages in whole seconds.
    :param clock: monotonic seconds; a parameter for tests.
    """

    def __init__(
        self,
        s3: Any,
        folder: str,
        quota: float,
        *,
        beat_seconds: float = 1.0,
        fence_seconds: float = 6.0,
        expiry_seconds: float = 9.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not quota > 0:
            raise ValueError(f"quota must be above 0, not {quota!r}")
        if not beat_seconds < fence_seconds < expiry_seconds - 2:
            raise ValueError("beat_seconds < fence_seconds < expiry_seconds - 2 must hold")
        self.quota = quota
        self._s3 = s3
        self._folder, self._clock = folder, clock
        self._uri = s3_objects.join_uri(folder, f"{uuid.uuid4().hex}.json")
        self._beat_seconds, self._fence, self._expiry = beat_seconds, fence_seconds, expiry_seconds
        self._peers: dict[str, _Peer] = {}
        self._claim = 0.0
        self._allowed = 0.0
        self._seen_alive = float("-inf")
        self._calls_left: Callable[[], int] | None = None
        self._wanted = math.inf
        self._beating: asyncio.Task[None] | None = None
        self._one_at_a_time = threading.Lock()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.beat)
        self._beating = asyncio.create_task(self._beat_forever())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._beating:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating
        self._allowed = 0.0
        try:
            await asyncio.to_thread(self._leave)
        except s3_objects.S3Error as fault:
            _log.warning("could not leave the shared rate (%s); the others go on without in a moment", fault)

    @property
    def participants(self) -> int:
        """Live participants at the last beat, this one included."""
        return len(self._peers) + 1

    def rate(self) -> float:
        """Calls a second this participant may make now; 0 while others make room, or when cut off from S3."""
        if self._clock() - self._seen_alive > self._fence:
            self._allowed = 0.0
        return self._allowed

    def needs(self, calls_left: Callable[[], int]) -> None:
        """Let others have what the calls still to go out do not need; looked up at each beat."""
        self._calls_left = calls_left

    def beat(self) -> None:
        """One sign of life; adjusts claim and rate.

        :raises S3Error: S3 cannot be reached; the rate stays until the fence.
        """
        with self._one_at_a_time:
            self._beat()

    def _leave(self) -> None:
        # A beat that was cancelled goes on in its thread: its claim must not land after this and outlive us.
        with self._one_at_a_time:
            s3_objects.delete(self._s3, self._uri)

    def _beat(self) -> None:
        self._look()
        self._wanted = self._wish()
        aim = fair_share(self.quota, self._wanted, [peer.wanted for peer in self._peers.values()])
        higher = aim > self._claim
        self._allowed = min(self._allowed, aim)
        lapsed = self._publish(aim)
        if higher or lapsed:
            self._look()
        self._allowed = min(self._claim, max(0.0, self.quota - sum(p.claim for p in self._peers.values())))

    def _wish(self) -> float:
        """Calls a second that can be used until the next beats; infinity while there is work for longer."""
        if self._calls_left is None:
            return math.inf
        wish = self._calls_left() / (2 * self._beat_seconds)
        return wish if wish < self.quota / (len(self._peers) + 1) else math.inf

    def _publish(self, claim: float) -> bool:
        """Write the claim; returns whether the others may have counted this participant as dead before."""
        begun = self._clock()
        # If the answer is lost, the object may hold either claim: go by the lower one.
        self._claim = min(self._claim, claim)
        s3_objects.put(self._s3, self._uri, _encode(claim, self._wanted))
        lapsed = self._clock() - self._seen_alive > self._fence
        if lapsed:
            self._allowed = 0.0
        self._claim, self._seen_alive = claim, begun
        return lapsed

    def _look(self) -> None:
        """Read who else is alive; bodies only of those whose claim has changed since."""
        bucket, prefix = s3_objects.split_uri(self._folder.rstrip("/") + "/")
        peers: dict[str, _Peer] = {}
        for page in s3_objects.list_pages(self._s3, bucket, prefix):
            now = s3_objects.server_time(page)
            for entry in page.get("Contents", []):
                uri = s3_objects.Location(bucket, entry["Key"]).uri
                age = (now - entry["LastModified"]).total_seconds()
                if uri == self._uri:
                    continue
                if age <= self._expiry:
                    peer = self._read(uri, s3_objects.etag_of(entry))
                    if peer:
                        peers[uri] = peer
                elif age > _LITTER_SECONDS:
                    s3_objects.delete(self._s3, uri)
        if len(peers) != len(self._peers):
            _log.info("%d tasks share %g calls a second", len(peers) + 1, self.quota)
        self._peers = peers

    def _read(self, uri: str, etag: str) -> _Peer | None:
        known = self._peers.get(uri)
        if known and known.etag == etag:
            return known
        stored = s3_objects.find(self._s3, uri)
        # None: it has left between the listing and this.
        return _decode(stored, self.quota) if stored else None

    async def _beat_forever(self) -> None:
        while True:
            some_end = min([self._wanted, *(p.wanted for p in self._peers.values())]) < math.inf
            settled = self._allowed >= self._claim * 0.999 and not some_end
            await asyncio.sleep(self._beat_seconds if settled else self._beat_seconds / 4)
            try:
                await asyncio.to_thread(self.beat)
            except s3_objects.S3Error as fault:
                _log.warning("no sign of life for the shared rate: %s", fault)


def _encode(claim: float, wanted: float) -> bytes:
    return orjson.dumps({"calls_per_second": claim, "wanted": wanted if wanted < math.inf else None})


def _decode(stored: s3_objects.StoredObject, quota: float) -> _Peer:
    try:
        body = orjson.loads(stored.body)
        claim, wanted = float(body["calls_per_second"]), body.get("wanted")
        return _Peer(stored.etag, max(0.0, claim), math.inf if wanted is None else max(0.0, float(wanted)))
    except (ValueError, TypeError, KeyError, AttributeError):
        # Trust nothing: it expires, or is written anew.
        return _Peer(stored.etag, quota, math.inf)
