"""What an error of the database means for a person."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from moderation.errors import DefectError, ModerationError, NeedsAPersonError, TransientError
from moderation.settings import Settings


def restore(name: str) -> str:
    """The remedy for a SQLite file or a database that cannot be read."""
    command = f"{Settings.from_env().command} verdicts restore"
    if "://" in name:
        return f"restore a backup of it, or set MODERATION_REVIEW_DB to an empty one and run `{command}`"
    aside = f"mv {shlex.quote(name)} {shlex.quote(f'{name}.damaged')}"
    return f"stop what uses it, set it aside and take back what was published: `{aside}`, `{command}`"


class StateError(ModerationError):
    """The database of verdicts cannot be used; the text names it and what to do. A group."""


class StateUnusableError(StateError, NeedsAPersonError):
    """It is damaged, forbidden, full, or of another release."""


class StateLostError(StateUnusableError):
    """It has less in it than was there before."""


class StateUnavailableError(StateError, TransientError):
    """It is away or busy; nothing was stored."""


class StateDefectError(StateError, DefectError):
    """It refuses what this program asks."""


_DAMAGED = (
    *("malformed", "not a database", "database corruption", "invalid page", "unsupported file format"),
    "could not decode to utf-8",
)
_FULL = ("disk is full", "no space left", "could not extend file", "disk i/o error")
_FORBIDDEN = (
    "unable to open database file",
    "readonly database",
    "password authentication failed",
    "permission denied",
    "does not exist",
    "no pg_hba.conf entry",
)
_AWAY = ("OperationalError", "InterfaceError", "InternalError")


@contextmanager
def state_faults(url: URL) -> Iterator[None]:
    """Raise what the database says as an error of this room.

    :raises StateError: of the kind that fits.
    """
    try:
        yield
    except NoSuchModuleError as error:
        raise StateUnusableError(
            f"MODERATION_REVIEW_DB: no driver for {url.drivername}; expected a path, sqlite:///… or postgresql://…"
        ) from error
    except SQLAlchemyError as error:
        raise _told(name_of(url), error) from error


def name_of(url: URL) -> str:
    """How texts name the database: the file, or the address without the password."""
    if url.get_backend_name() == "sqlite":
        return url.database or ":memory:"
    return url.set(drivername="postgresql", password=None, query={}).render_as_string()


def _told(name: str, error: SQLAlchemyError) -> StateError:
    cause = getattr(error, "orig", None) or error
    said = " ".join(str(cause).split())
    low = said.lower()
    if any(sign in low for sign in _DAMAGED):
        return StateUnusableError(f"{name}: the database of verdicts is damaged ({said}); {restore(name)}")
    if any(sign in low for sign in _FULL):
        return StateUnusableError(
            f"{name}: {said}; what was sent is not stored. Free space there, then send it again"
        )
    if any(sign in low for sign in _FORBIDDEN):
        return StateUnusableError(f"{name}: {said}; check MODERATION_REVIEW_DB and who may read and write it")
    if not isinstance(error, DBAPIError) or type(error).__name__ in _AWAY:
        return StateUnavailableError(f"{name}: {said}; nothing was stored, the same may be sent again")
    return StateDefectError(f"{name}: {said}")
