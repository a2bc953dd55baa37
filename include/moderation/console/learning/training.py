"""How far a training is, as Rekognition says; asked at most every few seconds, whoever looks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from moderation.adapters.registry import Version
from moderation.adapters.status import describe
from moderation.errors import ModerationError

Ask = Callable[[], AbstractContextManager[Any]]
"""Gives a boto3 client of Rekognition for the length of a block."""

ENDED = "TRAINING_COMPLETED"
_FRESH_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Far:
    """How far it is.

    :param status: AWS's word for it; "" where it cannot be asked.
    :param told: the same for people.
    """

    status: str
    told: str


class Trainings:
    """Asks about versions that were not compared yet.

    :param ask: None where Rekognition cannot be asked.
    """

    def __init__(self, ask: Ask | None) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Far]] = {}

    def far(self, version: Version) -> Far:
        """How far a training is; the page goes on when that cannot be told."""
        with self._lock:
            at, known = self._known.get(version.arn, (0.0, None))
            if known is None or time.monotonic() - at > _FRESH_SECONDS:
                known = self._look(version.arn)
                self._known[version.arn] = (time.monotonic(), known)
            return known

    def _look(self, arn: str) -> Far:
        if self._ask is None:
            return Far("", "Rekognition cannot be asked from here")
        try:
            with self._ask() as rekognition:
                found = describe(rekognition, arn)
        except (ClientError, BotoCoreError, ModerationError) as error:
            _log.warning("the training of %s cannot be looked up: %s", arn, error)
            return Far("", f"it cannot be looked up now ({error})")
        if found is None:
            return Far("GONE", "it is no longer there")
        status = str(found["Status"])
        return Far(status, str(found.get("StatusMessage") or _WORDS.get(status, status)))


_WORDS = {
    "TRAINING_IN_PROGRESS": "it is being trained",
    ENDED: "trained; it waits to be compared",
    "TRAINING_FAILED": "the training failed",
    "DELETING": "it is being deleted",
}
