"""Every archive with its figures, looked up at most every two seconds however many pages ask."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from moderation.archive.backfill import progress, state
from moderation.archive.backfill.progress import Progress
from moderation.archive.backfill.state import ENDED, GOES_ON, PAUSED, STOPPED, Archive, ArchiveError
from moderation.settings import Settings

_FRESH_SECONDS = 2.0
_ORDER = (GOES_ON, PAUSED, STOPPED, ENDED)


@dataclass(frozen=True)
class Told:
    """An archive and how far it is."""

    archive: Archive
    far: Progress


class Archives:
    """Those of the work place."""

    def __init__(self, settings: Settings, s3: Any) -> None:
        self._settings = settings
        self._s3 = s3
        self._known: tuple[list[Told], dict[str, ArchiveError]] = ([], {})
        self._read_at: float | None = None
        self._lock = threading.Lock()

    def all(self) -> tuple[list[Told], dict[str, ArchiveError]]:
        """Those that go on first, the ended ones last; and what is wrong with those that are damaged.

        :raises moderation.storage.s3_objects.S3Error: they cannot be looked up now.
        """
        with self._lock:
            if self._read_at is None or time.monotonic() - self._read_at > _FRESH_SECONDS:
                found, damaged = state.read_all(self._settings, self._s3)
                found.sort(key=lambda one: one.created_at, reverse=True)
                found.sort(key=lambda one: _ORDER.index(one.status))
                self._known = [self.told(archive) for archive in found], damaged
                self._read_at = time.monotonic()
            return self._known

    def told(self, archive: Archive) -> Told:
        """An archive with its figures."""
        return Told(archive, progress.of(self._settings, archive))

    def changed(self) -> None:
        """Somebody changed an archive here: that is seen at once."""
        self._read_at = None
