"""Looking at a run from outside: a look that fails says nothing about the run, so it never ends one."""

from __future__ import annotations

import http.client
import time
import urllib.error
from collections.abc import Callable
from typing import TypeVar

from local_aws.stack.layout import StackError
from moderation.errors import TransientError

PATIENCE_SECONDS = 600.0
"""How long nobody may answer before watching is given up."""

_T = TypeVar("_T")


class NoAnswer(StackError):
    """Watching was given up; what is watched may be well."""


class Patience:
    """Repeats looks until they are answered.

    :param show: called with one line while there is no answer.
    :param check: called between looks; raises when no answer can come any more.
    :param patience: seconds without any answer after which looking is given up.
    """

    def __init__(
        self,
        *,
        show: Callable[[str], None],
        check: Callable[[], None],
        patience: float = PATIENCE_SECONDS,
        pause: float = 1.0,
    ) -> None:
        self._show, self.check = show, check
        self._patience, self._pause = patience, pause

    def look(self, at: str, question: Callable[[], _T]) -> _T:
        """Return the answer to ``question``, however late.

        :param at: whom it is asked, for people.
        :raises NoAnswer: it was not answered in ``patience`` seconds.
        :raises urllib.error.HTTPError: it was refused for good.
        """
        since = time.monotonic()
        while True:
            try:
                return question()
            except (OSError, http.client.HTTPException, ValueError, TransientError) as error:
                if isinstance(error, urllib.error.HTTPError):
                    with error:
                        if error.code < 500 and error.code not in {408, 429}:
                            raise
                reason = str(getattr(error, "reason", "") or error) or type(error).__name__
            self.check()
            waited = time.monotonic() - since
            if waited > self._patience:
                raise NoAnswer(f"{at} has not answered for {waited / 60:.0f} minutes ({reason})")
            self._show(f"waiting: {at} does not answer ({reason}); the run goes on")
            time.sleep(self._pause)
