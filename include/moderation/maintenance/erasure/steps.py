"""The steps of an erasure, by which tests let it die."""

from __future__ import annotations

import logging

_log = logging.getLogger(__name__)


def reached(step: str) -> None:
    """Called at the end of each step; the place where tests let an erasure die.

    :param step: its name; it names no image.
    """
    _log.debug("erasure: %s", step)
