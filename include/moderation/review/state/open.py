"""The state, opened: made when missing, brought up to date, and looked at for damage."""

from __future__ import annotations

import logging
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from moderation.review.log import VerdictLog
from moderation.review.queues import Queues
from moderation.review.rows import damaged
from moderation.review.state import tables
from moderation.review.state.database import Database, insert_new, parse_url
from moderation.review.state.faults import StateUnusableError, name_of, restore
from moderation.review.state.mending import index_anew
from moderation.review.state.migrate import migrate
from moderation.settings import ReviewSettings
from moderation.variables import hosts
from moderation.variables.machine import MachineSettings

_LOOKED_THROUGH = 64_000_000
_INDEXES_LOOKED_THROUGH = 24_000_000
"""Bytes of a SQLite file that is read through at each start, which takes a third of a second at most; with
its indexes held against its rows if it is smaller still."""

_MOST_FAULTS = 100
_OF_A_ROW = re.compile(r" value in (verdicts|items|queues)\.")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """What people decided, and what waits for them. Safe for threads."""

    database: Database
    log: VerdictLog
    queues: Queues
    state_id: str

    @property
    def name(self) -> str:
        """How texts name it: the file, or the address without the password."""
        return name_of(self.database.url)

    def close(self) -> None:
        """Give its connections back."""
        self.database.close()


def open_state(url: str | None = None) -> State:
    """The state at an address; None takes the one of the settings.

    :raises StateError: it cannot be opened; nothing was changed.
    """
    address = parse_url(url or ReviewSettings.from_env().database)
    if address.get_backend_name() == "sqlite" and MachineSettings.from_env().several_hosts:
        raise StateUnusableError(hosts.REVIEW_FILE)
    database = Database(address)
    try:
        if database.is_sqlite:
            _look_through(database)
        migrate(database)
        if database.is_sqlite:
            _mend_indexes(database)
        return State(database, VerdictLog(database), Queues(database), _identity(database))
    except BaseException:
        database.close()
        raise


def _identity(database: Database) -> str:
    """A name that this state keeps for life, so that another one is not taken for it."""
    wanted = sa.select(tables.state.c.value).where(tables.state.c.name == "state_id")
    with database.read() as connection:
        found = connection.execute(wanted).scalar_one_or_none()
    if found is None:
        with database.write() as connection:
            new = insert_new(connection, tables.state).values(name="state_id", value=uuid.uuid4().hex)
            connection.execute(new.on_conflict_do_nothing())
            found = connection.execute(wanted).scalar_one()
    return str(found)


def _look_through(database: Database) -> None:
    path = Path(str(database.url.database))
    size = path.stat().st_size
    with database.read() as connection:
        if not os.access(path, os.W_OK) or not 0 < size <= _LOOKED_THROUGH:
            return
        found = connection.exec_driver_sql(f"PRAGMA quick_check({_MOST_FAULTS})").scalars().all()
    # A value that its column cannot have is told to whoever reads its row: the other rows are whole.
    faults = [fault for fault in found if fault != "ok" and not _OF_A_ROW.search(fault)]
    if faults or len(found) == _MOST_FAULTS:
        raise StateUnusableError(
            f"{path}: the database of verdicts is damaged ({(faults or found)[0]}); {restore(str(path))}"
        )


def _mend_indexes(database: Database) -> None:
    """Make SQLite's indexes anew where they differ from rows that are whole.

    Of a row that is not, its index knows what it said: who asks for that finds the row, and is told.
    """
    if Path(str(database.url.database)).stat().st_size > _INDEXES_LOOKED_THROUGH:
        return
    with database.read() as connection:
        found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
        if found == "ok" or next(damaged(connection), None):
            return
    with database.write() as connection:
        index_anew(connection)
    _log.warning("%s: its indexes were damaged (%s), and were made anew", name_of(database.url), found)
