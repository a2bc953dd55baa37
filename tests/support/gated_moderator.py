"""A moderator that holds back huge pictures until a file appears: a test decides what is still at work."""

from __future__ import annotations

import os
import time
from pathlib import Path

from local_aws.inference.decode import ImageLimits
from local_aws.inference.moderator import Moderation
from support.hash_moderator import HashModerator

MODEL_VERSION = "offline-gated"
GATE = "TEST_MODERATOR_GATE"
"""Variable that names the file; a file beside it, ``…-begun``, grows by a byte with each huge picture."""

_HUGE_BYTES = 100_000


class GatedModerator:
    """Answers small files at once, as the hash moderator does, and larger ones once the gate is open.

    :param threads: see ``Moderator``.
    :param limits: see ``Moderator``.
    """

    def __init__(self, threads: int, limits: ImageLimits) -> None:
        self._inner = HashModerator(threads, limits=limits)
        self._gate = Path(os.environ[GATE])

    def moderate(self, data: bytes, *, min_confidence: float = 50.0) -> Moderation:
        """Return labels made from the bytes."""
        if len(data) >= _HUGE_BYTES:
            with self._gate.with_name(self._gate.name + "-begun").open("ab") as begun:
                begun.write(b".")
            while not self._gate.exists():
                time.sleep(0.01)
            return Moderation((), (), 10_000, 10_000)
        return self._inner.moderate(data, min_confidence=min_confidence)
