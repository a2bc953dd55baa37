"""Rows of the log, held against their checksums wherever they are read; the damaged ones by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from moderation.review.state import tables
from moderation.review.state.checksums import is_whole
from moderation.review.state.faults import StateUnusableError, name_of
from moderation.review.verdict import COLUMNS, ERASED, Verdict
from moderation.settings import Settings

_T = tables.verdicts
ROW = [_T.c.position, *(_T.c[name] for name in COLUMNS), _T.c.checksum]
"""What is selected of a row that :func:`read` reads."""

_AT_ONCE = 1_000
_FIELDS = [name for name in COLUMNS if name != "dt"]
_DT = COLUMNS.index("dt") + 1
_UNREADABLE = (ValueError, TypeError, AttributeError, OverflowError, OperationalError)
"""What comes of reading a text that is none, a day that is none, a word that cannot be said."""


@dataclass(frozen=True)
class Damaged:
    """A row that does not say what was written.

    :ivar position: its own.
    :ivar told: its columns as far as they can be read, as the database has them.
    """

    position: int
    told: dict[str, Any]

    @property
    def verdict_id(self) -> str:
        """As it reads now."""
        return str(self.told.get("verdict_id"))

    @property
    def is_erased(self) -> bool:
        """Whether it was taken from an image before it was damaged."""
        return bool(self.told.get("erased")) and all(self.told.get(name) is None for name in ERASED)

    def __str__(self) -> str:
        image = self.told.get("source_ref") or self.told.get("content")
        return f"row {self.position} of the verdicts, {self.verdict_id!r} of {image!r}"


class _NotAsWrittenError(ValueError):
    pass


def read(connection: Connection, query: sa.Select[Any]) -> list[tuple[int, Verdict]]:
    """The rows of a query over :data:`ROW`, with their positions.

    :raises StateUnusableError: a row is not as it was written; the text names row, image and remedy.
    """
    try:
        return [_checked(row) for row in connection.execute(query).all()]
    except _UNREADABLE:
        found = next(damaged(connection), None)
        if found is None:
            raise
        name, command = name_of(connection.engine.url), Settings.from_env().command
        raise StateUnusableError(
            f"{name}: {found} is not as it was written; `{command} verdicts restore` takes it back from what "
            "was published, and says what else can be done"
        ) from None


def damaged(connection: Connection) -> Iterator[Damaged]:
    """All rows that are not as they were written. Reads every row."""
    last = -1
    query = sa.select(*ROW).order_by(_T.c.position)
    while places := _positions(connection, last):
        last, before = places[-1], last
        if not _is_readable(connection, query.where(_T.c.position > before, _T.c.position <= last)):
            for place in places:
                if not _is_readable(connection, query.where(_T.c.position == place)):
                    yield Damaged(place, _told(connection, place))


def _checked(row: Sequence[Any]) -> tuple[int, Verdict]:
    values = row[1:-1]
    if not is_whole(values, row[-1]):
        raise _NotAsWrittenError
    return row[0], Verdict(**dict(zip(_FIELDS, (*row[1:_DT], *row[_DT + 1 : -1]), strict=True)))


def _positions(connection: Connection, last: int) -> list[int]:
    query = sa.select(_T.c.position).where(_T.c.position > last).order_by(_T.c.position).limit(_AT_ONCE)
    return list(connection.execute(query).scalars())


def _is_readable(connection: Connection, query: sa.Select[Any]) -> bool:
    try:
        # All at once: a row that is left unread would hold SQLite at this moment.
        for row in connection.execute(query).all():
            _checked(row)
    except _UNREADABLE:
        return False
    return True


def _told(connection: Connection, position: int) -> dict[str, Any]:
    query = sa.text("SELECT * FROM verdicts WHERE position = :position")
    with _any_text(connection):
        try:
            row = connection.execute(query, {"position": position}).mappings().one()
        except _UNREADABLE:
            return {}
    return {name: row[name] for name in (*COLUMNS, "published") if name in row}


@contextmanager
def _any_text(connection: Connection) -> Iterator[None]:
    """Let SQLite give texts that are none."""
    if connection.dialect.name != "sqlite":
        yield
        return
    plain = connection.connection.dbapi_connection
    assert plain is not None  # noqa: S101 - the connection is open
    usual, plain.text_factory = plain.text_factory, lambda text: text.decode(errors="replace")
    try:
        yield
    finally:
        plain.text_factory = usual
