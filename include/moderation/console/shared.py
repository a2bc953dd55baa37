"""What all requests share: indexes, thresholds, history and small images."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from moderation.console.archives.known import Archives
from moderation.console.index.contents import LoadContents
from moderation.console.index.described import Described
from moderation.console.index.found import Found
from moderation.console.index.gone import Gone
from moderation.console.index.history import History
from moderation.console.index.load_index import MOST_KNOWN, LoadIndexes
from moderation.console.index.under_way import UnderWay
from moderation.console.tiles.kept import Tiles
from moderation.console.verify.elsewhere import Elsewhere
from moderation.console.verify.figures import Figures
from moderation.console.verify.share import Shares
from moderation.policy.rules import Policy, read_policy
from moderation.policy.thresholds import Thresholds, in_use
from moderation.reference.content import subject_id
from moderation.review import mark
from moderation.review.state.open import State, open_state
from moderation.settings import ConsoleSettings, Settings
from moderation.sources.decoding.decoders import Decoders
from moderation.storage import s3_objects
from moderation.variables.machine import MachineSettings

_CONNECTIONS = 16
_SEVERE_SECONDS = 1.0
"""How long another process's mark may go unnoticed; this one's counts at once."""


class Shared:
    """Made once an application.

    :param cache: where indexes and small images are kept; ``MODERATION_CONSOLE_CACHE`` when None.
    """

    def __init__(self, settings: Settings, cache: Path | None) -> None:
        own = ConsoleSettings.from_env()
        folder = cache or own.cache_dir or usual_cache()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        share = int(own.cache_gb * 1e9) // 2
        self.settings = settings
        # One for all: to make a client takes longer than most calls, and it serves many threads.
        self.s3 = s3_objects.client(settings, connections=_CONNECTIONS)
        self.history = History(settings)
        self.under_way = UnderWay(settings, self.s3)
        self.described = Described(settings, self.s3)
        self.archives = Archives(settings, self.s3)
        self.indexes = LoadIndexes(settings, folder / "loads", max_bytes=share)
        self.shares = Shares(LoadContents(settings, folder / "loads"))
        self.gone = Gone(settings)
        self.elsewhere = Elsewhere(settings, self.history)
        self.figures = Figures(settings)
        self.decoders = Decoders()
        # Those being decoded, and as many that are read from S3 meanwhile.
        self.making = asyncio.Semaphore(2 * self.decoders.number)
        self.tiles = Tiles(self.s3, folder / "images", self.decoders, max_bytes=share)
        self._policy_file = own.policy
        self._found: OrderedDict[str, Found] = OrderedDict()
        self._lock = threading.Lock()
        self._review: State | None = None
        self._review_is_proved = False
        self._severe: tuple[float, frozenset[str]] = (-_SEVERE_SECONDS, frozenset())
        self._severe_turn = 0

    @property
    def review(self) -> State:
        """Verdicts and queues, opened when first asked for.

        :raises moderation.review.state.faults.StateError: they cannot be had, or were lost; the message has
            the remedy.
        """
        with self._lock:
            if self._review is None:
                self._review = open_state()
            if not self._review_is_proved:
                self._prove(self._review)
            return self._review

    def _prove(self, state: State) -> None:
        try:
            mark.check(self.s3, self.settings, state)
            self._review_is_proved = True
        except s3_objects.S3Unavailable:
            pass  # What is kept here can be shown without S3; the next request asks again.
        except BaseException:
            self._review = None
            state.close()
            raise

    def has_unpublished(self) -> bool:
        """Whether verdicts were said here that are not published; without opening what nobody asked for."""
        return self._review is not None and self._review.log.waiting()[0] > 0

    def severe(self) -> frozenset[str]:
        """Contents that are hidden from all but operators.

        :raises moderation.review.state.faults.StateError: nobody knows; then no image is shown.
        """
        read_at, known = self._severe
        if time.monotonic() - read_at >= _SEVERE_SECONDS:
            turn = self._severe_turn
            known = frozenset(self.review.log.severe())
            with self._lock:  # What was read before somebody changed it is not kept.
                if turn == self._severe_turn:
                    self._severe = (time.monotonic(), known)
        return known

    def severe_changed(self) -> None:
        """Somebody marked an image as severe, or took that back."""
        with self._lock:
            self._severe_turn += 1
            self._severe = (-_SEVERE_SECONDS, frozenset())

    def is_severe(self, row: Mapping[str, Any]) -> bool:
        """Whether the content of a row of `images` is hidden from all but operators."""
        severe = self.severe()
        return bool(severe) and subject_id(row["source_ref"], row["etag"], row["size_bytes"]) in severe

    def thresholds(self) -> Thresholds:
        """Those in use, as their file says now.

        :raises moderation.policy.thresholds.ThresholdsError: the file cannot be used.
        """
        return in_use()

    def policy(self) -> Policy | None:
        """The policy, as its file says now; None without one.

        :raises moderation.policy.rules.PolicyError: the file cannot be used.
        """
        return None if self._policy_file is None else read_policy(self._policy_file)

    def found(self, load_id: str, *, looked: bool = False, waits: bool = True) -> Found:
        """What is in a load.

        :param looked: whether to look up now which of its images are gone; else as known last.
        :param waits: whether this waits a moment for that look.
        :raises moderation.console.index.load_index.NoSuchLoadError: there is no such load.
        """
        index = self.indexes.of(load_id)
        thresholds = self.thresholds()
        gone = self.gone.of(index, waits=waits) if looked else self.gone.known(index)
        with self._lock:
            known = self._found.pop(load_id, None)
            if known is None or (known.index, known.gone, known.thresholds) != (index, gone, thresholds):
                if known is not None:
                    known.forget()
                known = Found(index, thresholds, gone)
            self._found[load_id] = known
            while len(self._found) > MOST_KNOWN:
                self._found.popitem(last=False)[1].forget()
            return known

    def store(self, uri: str, body: IO[bytes]) -> None:
        """Put an uploaded file in its place.

        :raises moderation.storage.s3_objects.S3Error: S3 does not take it.
        """
        s3_objects.put(self.s3, uri, body)

    def close(self) -> None:
        """End the processes and close the files."""
        self.decoders.close()
        self.indexes.close()
        self.s3.close()
        if self._review is not None:
            self._review.close()


def usual_cache() -> Path:
    """Where indexes and small images are kept unless a setting says otherwise."""
    base = MachineSettings.from_env().cache_dir or Path("~/.cache").expanduser()
    return base / "rekognition-bulk-moderation" / "console"
