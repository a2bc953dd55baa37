"""How many pictures are worked on at once: first come, first served, whether one asks for one slot or all."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Slots:
    """A bounded number of slots; safe to use from many threads.

    Nobody gets ahead of one who came before: a picture that needs all slots waits for those in use and for no
    later one, and a later one waits for it, not for the next of its kind.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count
        self._changed = threading.Condition()
        self._line: deque[object] = deque()

    @contextmanager
    def taken(self, number: int) -> Iterator[None]:
        """Hold ``number`` slots for the length of a block, waiting for them first."""
        ticket = object()
        with self._changed:
            self._line.append(ticket)
            try:
                self._changed.wait_for(lambda: self._line[0] is ticket and self._free >= number)
                self._free -= number
            finally:
                self._line.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += number
                self._changed.notify_all()
