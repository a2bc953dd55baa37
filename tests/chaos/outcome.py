"""What a seed came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


class BrokenPromise(AssertionError):
    """A run did not end as the undisturbed one; the text says in which stage and what is wrong."""


@dataclass
class Outcome:
    """What a seed came to.

    :param faults: each fault that really struck, as often as it did.
    :param lost: images without a final row at the end.
    :param paid_twice: payments that no lost answer, failed job or call in flight explains.
    :param paid_in_flight: single calls of the detect backend that a kill had paid again.
    :param publishes_killed: attempts at a publish that died.
    :param looks: times that a reader compared all tables.
    :param unnamed: errors of stages that are none of the project's own.
    :param left_over: files of no load.
    :param broken: why the seed did not survive; None when it did.
    """

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    paid_twice: int = 0
    paid_in_flight: int = 0
    publishes_killed: int = 0
    looks: int = 0
    attempts: int = 0
    seconds: float = 0.0
    unnamed: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    broken: str | None = None
