"""Who asks, and what they may do: the application is handed a gate and asks it at every request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

Gate = Callable[..., Any]
"""A dependency of FastAPI, plain or async, that gives the :class:`Person` who asks, or raises its
``HTTPException`` with 401. It guards every route of the application, whatever the address."""


class Right(Enum):
    """What a person may do."""

    LOOK = "look"
    START = "start"
    ORIGINAL = "original"
    VERIFY = "verify"
    DECIDE = "decide"


VIEWER = frozenset({Right.LOOK})
USER = VIEWER | {Right.START, Right.VERIFY}
OP = USER | {Right.ORIGINAL, Right.DECIDE}
"""Who decides where people disagree, sees what was marked severe, and says who works at which queue."""


@dataclass(frozen=True)
class Person:
    """Who asks.

    :param name: as it is shown and logged.
    :param rights: what they may do.
    """

    name: str
    rights: frozenset[Right]

    def may(self, right: Right) -> bool:
        """Whether they may."""
        return right in self.rights
