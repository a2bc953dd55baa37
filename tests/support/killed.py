"""A process that dies at a named step of a publish, a compaction or a rebuild."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@contextmanager
def killed_at(
    step: str, module: ModuleType, *, at_each: Callable[[str], None] = lambda step: None
) -> Iterator[None]:
    """Let what the block does die once it has reached a step; it has to.

    :param module: the one whose ``reached`` tells the steps.
    :param at_each: called at each step until then.
    """

    def reached(now: str) -> None:
        at_each(now)
        if now == step:
            raise Killed(now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "reached", reached)
        with pytest.raises(Killed):
            yield
