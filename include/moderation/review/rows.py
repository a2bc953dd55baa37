"""Rows of verdicts, items and queues, held against their checksums wherever they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from moderation.review.queue import ITEM_COLUMNS, Item, Queue, QueueSpec
from moderation.review.state import item_checksums, tables
from moderation.review.state.checksums import is_whole
from moderation.review.state.faults import StateUnusableError, name_of
from moderation.review.verdict import COLUMNS, ERASED, Verdict
from moderation.settings import Settings

T = TypeVar("T")

_AT_ONCE = 1_000
_UNREADABLE = (ValueError, TypeError, AttributeError, OverflowError, OperationalError)
"""What comes of reading a text that is none, a day that is none, a word that cannot be said."""


class _NotAsWrittenError(StateUnusableError, ValueError):
    """A row has another checksum; who asked is told which row, and what to do."""


@dataclass(frozen=True)
class Damaged:
    """A row that does not say what was written.

    :ivar kind: of which table.
    :ivar key: by which its database finds it.
    :ivar told: its columns as far as they can be read, as the database has them.
    """

    kind: Kind[Any]
    key: Any
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
        name, *about = (self.told.get(column) for column in self.kind.names)
        image = next((told for told in about if told), None)
        return f"row {self.key} of the {self.kind.table.name}, {name!r} of {image!r}"


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[T]):
    """How rows of a table are read.

    :ivar columns: that are read, besides the checksum.
    :ivar make: of these and the checksum; raises what is in `_UNREADABLE` when the row is not whole.
    :ivar names: columns by which people know a row: its id, then what it is about.
    """

    table: sa.Table
    columns: tuple[str, ...]
    make: Callable[[Sequence[Any]], T]
    names: tuple[str, ...]

    @property
    def row(self) -> list[sa.Column[Any]]:
        """What is selected of a row that :meth:`read` reads."""
        return [self.table.c[name] for name in (*self.columns, "checksum")]

    def read(self, connection: Connection, query: sa.Select[Any]) -> list[T]:
        """The rows of a query over :attr:`row`.

        :raises StateUnusableError: a row is not as it was written; the text names row, image and remedy.
        """
        try:
            return [self.make(row) for row in connection.execute(query).all()]
        except _UNREADABLE as error:
            self.tell(connection, error)
            raise

    def tell(self, connection: Connection, error: Exception | None = None) -> None:
        """Raise what a person can do about the first row that is damaged; nothing where none is.

        :raises StateUnusableError: names the row and the remedy.
        """
        found = next(self.damaged(connection), None)
        if found is not None:
            name, command = name_of(connection.engine.url), Settings.from_env().command
            raise StateUnusableError(
                f"{name}: {found} is not as it was written; `{command} verdicts restore` puts it right, or "
                "says what else can be done"
            ) from error

    def damaged(self, connection: Connection) -> Iterator[Damaged]:
        """All rows that are not as they were written. Reads every row."""
        key, last = self.key(connection), None
        query = sa.select(*self.row).order_by(key)
        while keys := _keys(connection, self.table, key, last):
            after, last = last, keys[-1]
            behind = query if after is None else query.where(key > after)
            if self._readable(connection, behind.where(key <= last)) is None:
                for one in keys:
                    if not self.is_readable(connection, one):
                        yield Damaged(self, one, _told(connection, self, one))

    def is_readable(self, connection: Connection, key: Any) -> bool:
        """Whether there is a row of the key, as it was written."""
        return self._readable(connection, sa.select(*self.row).where(self.key(connection) == key)) == 1

    def key(self, connection: Connection) -> sa.ColumnElement[Any]:
        """By what a row is found whatever it says: in SQLite its number, for a text may be none."""
        if connection.dialect.name == "sqlite":
            return sa.literal_column(f"{self.table.name}.rowid", sa.Integer)
        return next(iter(self.table.primary_key.columns))

    def _readable(self, connection: Connection, query: sa.Select[Any]) -> int | None:
        """How many rows there are; None where one of them is not whole."""
        try:
            # All at once: a row that is left unread would hold SQLite at this moment.
            return len([self.make(row) for row in connection.execute(query).all()])
        except _UNREADABLE:
            return None


def _keys(connection: Connection, table: sa.Table, key: sa.ColumnElement[Any], last: Any) -> list[Any]:
    query = sa.select(key).select_from(table).order_by(key).limit(_AT_ONCE)
    return list(connection.execute(query if last is None else query.where(key > last)).scalars())


def _told(connection: Connection, kind: Kind[Any], key: Any) -> dict[str, Any]:
    with any_text(connection, lambda text: text.decode(errors="replace")):
        try:
            return dict(raw(connection, kind, key))
        except _UNREADABLE:
            return {}


def raw(connection: Connection, kind: Kind[Any], key: Any) -> dict[str, Any]:
    """A row as the database's driver gives it."""
    column = kind.key(connection).compile(dialect=connection.dialect)
    query = sa.text(f"SELECT * FROM {kind.table.name} WHERE {column} = :key")  # noqa: S608 - names of ours
    return dict(connection.execute(query, {"key": key}).mappings().one())


@contextmanager
def any_text(connection: Connection, read: Callable[[bytes], Any]) -> Iterator[None]:
    """Let SQLite give texts that are none."""
    if connection.dialect.name != "sqlite":
        yield
        return
    plain = connection.connection.dbapi_connection
    assert plain is not None  # noqa: S101 - the connection is open
    usual, plain.text_factory = plain.text_factory, read
    try:
        yield
    finally:
        plain.text_factory = usual


_FIELDS = [name for name in COLUMNS if name != "dt"]
_DT = COLUMNS.index("dt") + 1


def _verdict(row: Sequence[Any]) -> tuple[int, Verdict]:
    if not is_whole(row[1:-1], row[-1]):
        raise _NotAsWrittenError
    return row[0], Verdict(**dict(zip(_FIELDS, (*row[1:_DT], *row[_DT + 1 : -1]), strict=True)))


def _item(row: Sequence[Any]) -> Item:
    if not item_checksums.is_whole(row[:-1], row[-1]):
        raise _NotAsWrittenError
    return Item(**dict(zip(ITEM_COLUMNS, row[:-1], strict=True)))


def _queue(row: Sequence[Any]) -> Queue:
    told = dict(zip((*item_checksums.QUEUE_COLUMNS, "checksum"), row, strict=True))
    if not item_checksums.is_whole_queue(told):
        raise _NotAsWrittenError
    spec = QueueSpec.from_json(told["spec"])
    return Queue(queue_id=told["queue_id"], spec=spec, paused=told["paused"], created_at=told["created_at"])


VERDICTS: Kind[tuple[int, Verdict]] = Kind(
    table=tables.verdicts,
    columns=("position", *COLUMNS),
    make=_verdict,
    names=("verdict_id", "source_ref", "content"),
)
"""Read with their positions."""

ITEMS: Kind[Item] = Kind(
    table=tables.items, columns=ITEM_COLUMNS, make=_item, names=("item_id", "source_ref", "content")
)
QUEUES: Kind[Queue] = Kind(
    table=tables.queues, columns=item_checksums.QUEUE_COLUMNS, make=_queue, names=("queue_id", "name")
)
KINDS: tuple[Kind[Any], ...] = (QUEUES, ITEMS, VERDICTS)


def damaged(connection: Connection) -> Iterator[Damaged]:
    """All rows of the state that are not as they were written. Reads every row."""
    for kind in KINDS:
        yield from kind.damaged(connection)
