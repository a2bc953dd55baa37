"""How many verdicts there were, kept apart from them in S3, so that their loss is noticed.

::

    {work_uri}/review/verdicts.json    sealed: the state's name, and how many verdicts it had

A state that is emptied, set back or not the right one would look like one in which nobody ever decided
anything, and numbers and training sets made from it would be wrong without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from moderation.review.state.faults import StateLostError
from moderation.review.state.open import State, open_state
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.state import read_state, seal


@dataclass(frozen=True)
class Mark:
    """What is known of the state from outside.

    :ivar state_id: which one it was.
    :ivar verdicts: how many it had.
    """

    state_id: str
    verdicts: int


@contextmanager
def opened(settings: Settings) -> Iterator[State]:
    """The state of the settings, once it is known to be the right one with all that was in it.

    :raises StateLostError: as :func:`check`.
    :raises StateError: it cannot be opened.
    :raises S3Error: S3 cannot be read.
    """
    state = open_state()
    try:
        with s3_objects.open_client(settings) as client:
            check(client, settings, state)
        yield state
    finally:
        state.close()


def check(s3: Any, settings: Settings, state: State) -> None:
    """Make sure that the state is the one that was used before, with all that was in it.

    :raises StateLostError: it has fewer verdicts than before, or is another one; the text says what to do.
    :raises S3Error: S3 cannot be read.
    """
    mark = _read(s3, settings)
    if mark is None or mark.verdicts == 0:
        return
    have = state.log.count()
    if have >= mark.verdicts and mark.state_id == state.state_id:
        return
    what = "is another one" if mark.state_id != state.state_id else "was set back or emptied"
    raise StateLostError(
        f"{state.name}: {mark.verdicts:,} verdicts were there, {have:,} are; the database {what}. Set "
        "MODERATION_REVIEW_DB to the right one, or take back what was published: "
        f"`{settings.command} verdicts restore`"
    )


def note(s3: Any, settings: Settings, state: State) -> None:
    """Remember how many verdicts there are: after a publish, and whenever it costs little. May be repeated.

    :raises StateLostError: as :func:`check`; what is known is kept.
    :raises S3Error: it cannot be written.
    """
    check(s3, settings, state)
    mark, have = _read(s3, settings), state.log.count()
    if mark != Mark(state.state_id, have):
        _write(s3, settings, Mark(state.state_id, have))


def adopt(s3: Any, settings: Settings, state: State) -> int:
    """Take the state for the right one as it is, once a person has restored it.

    :returns: how many verdicts it lacks of those that there were.
    :raises S3Error: it cannot be written.
    """
    mark, have = _read(s3, settings, is_doubted=True), state.log.count()
    _write(s3, settings, Mark(state.state_id, have))
    return max(0, mark.verdicts - have) if mark else 0


def _write(s3: Any, settings: Settings, mark: Mark) -> None:
    s3_objects.put(s3, _uri(settings), seal(vars(mark)))


def _read(s3: Any, settings: Settings, *, is_doubted: bool = False) -> Mark | None:
    try:
        return read_state(
            s3,
            _uri(settings),
            parse=lambda told: Mark(str(told["state_id"]), int(told["verdicts"])),
            error=StateLostError,
            remedy="look whether the database of verdicts is whole, then delete this file: it is made anew",
        )
    except StateLostError:
        if is_doubted:
            return None
        raise


def _uri(settings: Settings) -> str:
    return s3_objects.join_uri(settings.work_uri, "review", "verdicts.json")
