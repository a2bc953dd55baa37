"""One database, read and written in transactions."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url

from moderation.review.state.faults import StateUnusableError, state_faults

_BUSY_SECONDS = 30
"""How long SQLite waits for another writer."""


_AT_ONCE = 500
"""Names in one query: SQLite takes 32,766 at most."""


class Database:
    """The connections to the state; safe for threads.

    :param url: `sqlite:///…` or `postgresql+psycopg://…`, as :func:`parse_url` makes it.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self.is_sqlite = url.get_backend_name() == "sqlite"
        # SQLite has one writer and lets others try again at ever longer intervals: some would get no turn.
        self._turn = threading.Lock() if self.is_sqlite else nullcontext()
        with state_faults(url):
            self.engine = _sqlite_engine(url) if self.is_sqlite else _postgres_engine(url)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A view of one moment.

        :raises StateError: it cannot be read.
        """
        with state_faults(self.url), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: at the end of the block all of it is stored, or with an error nothing.

        :raises StateError: it cannot be written.
        """
        with self._turn, state_faults(self.url), self.engine.connect() as plain:
            connection = plain.execution_options(writes=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def parse_url(text: str) -> URL:
    """The address of the state: a path, ``sqlite:///…`` or ``postgresql://…``.

    :raises StateUnusableError: it is none of them.
    """
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text).absolute()))
    with state_faults(make_url("sqlite://")):
        url = make_url(text)
    if url.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername != "sqlite" or not url.database or url.database == ":memory:" or url.query:
        raise StateUnusableError(
            "MODERATION_REVIEW_DB: expected a path, sqlite:////folder/review.db or "
            f"postgresql://user:password@host/database, not {url.drivername}://…"
        )
    return url.set(database=str(Path(url.database).absolute()))


def is_there(text: str) -> bool:
    """Whether somebody has used the state of this address; a server is taken to be."""
    url = parse_url(text)
    return url.get_backend_name() != "sqlite" or Path(str(url.database)).is_file()


def insert_new(connection: Connection, table: sa.Table) -> Any:
    """An INSERT into the table that can pass over rows that are there (``on_conflict_do_nothing``)."""
    from sqlalchemy.dialects import postgresql, sqlite  # noqa: PLC0415 - one of the two is used

    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def few(names: Iterable[Any], size: int = _AT_ONCE) -> Iterator[list[Any]]:
    """The names in lists short enough for one query."""
    rest = iter(names)
    while some := list(islice(rest, size)):
        yield some


def _postgres_engine(url: URL) -> Engine:
    return sa.create_engine(
        url,
        # One beyond the pool would be opened and closed for each request, which costs more than waiting.
        pool_size=8,
        max_overflow=0,
        pool_timeout=60,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 10},
    )


def _sqlite_engine(url: URL) -> Engine:
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StateUnusableError(
            f"{path} cannot be opened: {error.strerror}; set MODERATION_REVIEW_DB to another file"
        ) from error
    engine = sa.create_engine(
        url, pool_size=8, max_overflow=56, pool_timeout=60, connect_args={"timeout": _BUSY_SECONDS}
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",  # what was acknowledged outlives a loss of power
            "foreign_keys = ON",
            "secure_delete = ON",  # what was erased does not stay in free pages
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A reader that turns writer could be refused at once; who will write says so from the start.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
