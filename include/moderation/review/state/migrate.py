"""The state is brought up to this release's tables: by one process at a time, after a copy was put aside.

SQLite: the whole file is copied to ``<file>.before-<revision>``. PostgreSQL: the tables are copied into a
schema ``moderation_before_<revision>`` in the same transaction, so that both are there or neither.
"""

from __future__ import annotations

import fcntl
import glob
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from moderation.review.state.database import Database
from moderation.review.state.faults import StateUnusableError, name_of, state_faults
from moderation.settings import Settings

HEAD = "0004"
"""The revision of this release; a test compares it with the steps."""

OLDEST = "0002"
"""The revision of the first release that had a console; further back the way does not lead."""

_SCHEMA = "moderation_before_"
_STEPS = Path(__file__).parent / "migrations"
_LOCK = 7_240_331_905
"""Of PostgreSQL's advisory locks, the one of whoever migrates."""


def migrate(database: Database, target: str = HEAD) -> None:
    """Make the tables, or change them to this release's; does nothing where they are right.

    :raises StateUnusableError: the state is of a later release.
    :raises StateError: it cannot be read or written.
    """
    with state_faults(database.url):
        if _revision(database) == target:
            return
        with _alone(database) as connection:
            found = _revision_by(connection)
            if found == target:
                return
            if found is not None:
                if found > HEAD:
                    raise StateUnusableError(
                        f"{name_of(database.url)} was written by a later release (revision {found}, this one "
                        f"knows {HEAD}); use that release, or have it run "
                        f"`{Settings.from_env().command} verdicts downgrade {HEAD}`"
                    )
                _put_aside(database, connection, found)
            _take_steps("upgrade", connection, target)


def downgrade(database: Database, target: str) -> None:
    """Let an earlier release open the state; nothing is lost, and the next one that opens it goes on.

    :param target: the revision that the earlier release knows.
    :raises StateUnusableError: the state is of a later release than this one, or is not there.
    :raises StateError: it cannot be read or written.
    """
    with state_faults(database.url), _alone(database) as connection:
        found = _revision_by(connection)
        if found is None or found > HEAD:
            told = (
                f"it is of a later release (revision {found})" if found else "it is no database of verdicts"
            )
            raise StateUnusableError(f"{name_of(database.url)} cannot be given back: {told}")
        if found > target:
            _take_steps("downgrade", connection, target)


def backup_path(database: Path, revision: str) -> Path:
    """Where a file's copy from before it left the revision is."""
    return database.with_name(f"{database.name}.before-{int(revision) + 1:04d}")


def forget_copies(database: Database) -> None:
    """Remove what was put aside, and what SQLite has not yet brought from its log to the file.

    :raises StateError: it cannot be removed.
    """
    if database.is_sqlite:
        path = Path(str(database.url.database))
        for aside in path.parent.glob(f"{glob.escape(path.name)}.before-*"):
            aside.unlink(missing_ok=True)
        with state_faults(database.url), database.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")  # a log is emptied outside of transactions only
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("BEGIN")
        return
    with database.write() as connection:
        for number in range(1, int(HEAD) + 1):
            connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {_SCHEMA}{number:04d} CASCADE"))


def _revision(database: Database) -> str | None:
    with database.engine.connect() as connection:
        return _revision_by(connection)


def _revision_by(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """A transaction that no other migrating process has at the same time."""
    with database.engine.connect() as plain:
        connection = plain.execution_options(writes=True)
        if not database.is_sqlite:
            with connection.begin():
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                yield connection
            return
        # The folder is locked, for a lock of the file itself would take away SQLite's own when it ends.
        folder = os.open(Path(str(database.url.database)).parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            with connection.begin():
                yield connection
        finally:
            os.close(folder)


def _put_aside(database: Database, connection: Connection, revision: str) -> None:
    if database.is_sqlite:
        path = Path(str(database.url.database))
        aside = backup_path(path, revision)
        part = aside.with_name(f"{aside.name}.part")
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with sqlite3.connect(path) as source, sqlite3.connect(part) as copy:
            source.backup(copy)
        source.close()
        copy.close()
        part.replace(aside)
        return
    schema = f"{_SCHEMA}{int(revision) + 1:04d}"
    names = sorted(set(sa.inspect(connection).get_table_names()) & _OURS)
    connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
    connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    for name in names:
        connection.execute(sa.text(f"CREATE TABLE {schema}.{name} AS TABLE {name}"))


_OURS = {"alembic_version", "state", "verdicts", "queues", "items", "skips"}


def _take_steps(direction: str, connection: Connection, target: str) -> None:
    # Alembic takes a quarter of a second to import, and is needed once in the life of a state.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_STEPS).replace("%", "%%"))
    getattr(command, direction)(config, target)
