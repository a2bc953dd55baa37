from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from moderation.errors import NeedsAPersonError, TransientError
from moderation.review import mark
from moderation.review.queue import QueueSpec
from moderation.review.state import migrate
from moderation.review.state.database import Database, parse_url
from moderation.review.state.faults import StateError, StateLostError, StateUnusableError
from moderation.review.state.open import open_state
from support import planned_runs
from support.postgres_server import PASSWORD
from support.said import items, said


def _at_first_revision(url):
    """A state as the first step left it, with a verdict in it."""
    database = Database(parse_url(url))
    migrate.migrate(database, "0001")
    from moderation.review.log import VerdictLog  # noqa: PLC0415

    VerdictLog(database)  # nothing of it may need what later steps bring
    with database.write() as connection:
        row = said("present").as_row() | {"published": False}
        from moderation.review.state import tables  # noqa: PLC0415

        connection.execute(tables.verdicts.insert(), [row])
    database.close()


def test_a_new_state_is_there_at_once_and_private(new_url):
    state = open_state(new_url)
    state.log.append([said("present")])
    state.close()

    again = open_state(new_url)
    assert again.state_id == state.state_id
    assert again.log.count() == 1
    again.close()
    if "://" not in new_url:
        for file in Path(new_url).parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_the_newest_step_is_the_one_of_this_release():
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    steps = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert steps.get_current_head() == migrate.HEAD


def test_the_steps_make_the_tables_that_the_program_knows(new_url):
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415
    from alembic.migration import MigrationContext  # noqa: PLC0415

    from moderation.review.state import tables  # noqa: PLC0415

    state = open_state(new_url)
    with state.database.read() as connection:
        found = compare_metadata(MigrationContext.configure(connection), tables.NAMES)
    state.close()
    assert found == []


def test_an_older_state_is_put_aside_before_it_is_changed(new_url):
    _at_first_revision(new_url)

    state = open_state(new_url)

    assert state.log.count() == 1
    state.queues.create(QueueSpec(kind="job", name="x"))
    if state.database.is_sqlite:
        aside = migrate.backup_path(Path(new_url), "0001")
        assert stat.S_IMODE(aside.stat().st_mode) == 0o600
        with sqlite3.connect(aside) as copy:
            assert copy.execute("SELECT count(*) FROM verdicts").fetchone() == (1,)
            assert copy.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        copy.close()
    else:
        with psycopg.connect(new_url) as copy:
            query = "SELECT count(*) FROM moderation_before_0002.verdicts"
            assert copy.execute(query).fetchone() == (1,)
    state.log.erase(contents=["c1"])
    if state.database.is_sqlite:
        assert not aside.exists()
    state.close()


def test_of_several_who_open_an_old_state_at_once_one_changes_it(new_url):
    _at_first_revision(new_url)

    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(lambda _: open_state(new_url), range(4)))

    assert len({state.state_id for state in states}) == 1
    assert {state.log.count() for state in states} == {1}
    for state in states:
        state.close()


def test_a_step_that_fails_leaves_the_state_as_it_was(new_url, monkeypatch):
    _at_first_revision(new_url)
    take_steps = migrate._take_steps

    def fails(*arguments):
        take_steps(*arguments)
        raise OSError(errno.EIO, "power")

    with monkeypatch.context() as patch:
        patch.setattr(migrate, "_take_steps", fails)
        with pytest.raises(OSError, match="power"):
            open_state(new_url)

    state = open_state(new_url)
    assert state.log.count() == 1
    state.close()


def test_a_state_that_was_given_back_goes_through_both_releases_and_its_new_rows_get_their_checksums(
    state_url,
):
    database = Database(parse_url(state_url))
    state = open_state(state_url)
    state.log.append([said("present", content="c1"), said("present", content="c2")])
    state.close()
    before = _checksums(database)

    migrate.downgrade(database, "0002")

    with database.write() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == "0002"
        # As a release does that knows of no checksum.
        connection.exec_driver_sql("UPDATE verdicts SET checksum = NULL WHERE content = 'c2'")
    state = open_state(state_url)
    assert state.log.count() == 2
    assert _checksums(database) == before
    assert len(state.log.of_contents(["c1", "c2"])) == 2
    state.close()
    database.close()


def test_what_is_no_state_or_of_a_later_release_cannot_be_given_back(new_url):
    database = Database(parse_url(new_url))
    with pytest.raises(StateUnusableError, match="no database of verdicts"):
        migrate.downgrade(database, migrate.OLDEST)
    migrate.migrate(database)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StateUnusableError, match="later release"):
        migrate.downgrade(database, migrate.OLDEST)
    database.close()


def _checksums(database):
    with database.read() as connection:
        return dict(connection.exec_driver_sql("SELECT content, checksum FROM verdicts").all())


def test_a_state_of_a_later_release_is_left_alone(new_url):
    open_state(new_url).close()
    database = Database(parse_url(new_url))
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()

    with pytest.raises(StateUnusableError, match=r"a later release \(revision 9999") as caught:
        open_state(new_url)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("name", ["garbage", "cut", "page"])
def test_a_damaged_file_is_named_with_a_remedy_that_works(tmp_path, made_sqlite, name):
    path = Path(shutil.copy(made_sqlite, tmp_path / "re view.db"))
    state = open_state(str(path))
    state.log.append([said("present", content=f"c{number}") for number in range(200)])
    state.close()
    body = path.read_bytes()
    damaged = {
        "garbage": b"no database " * 4096,
        "cut": body[: len(body) // 2],
        "page": body[:8192] + b"\xff" * 4096 + body[12288:],
    }
    path.write_bytes(damaged[name])

    with pytest.raises(StateUnusableError, match="verdicts is damaged") as caught:
        open_state(str(path))

    command = str(caught.value).split("`")[1]
    subprocess.run(["sh", "-c", command], check=True)
    state = open_state(str(path))
    assert state.log.count() == 0
    state.close()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("mysql://x", "MODERATION_REVIEW_DB: expected a path"),
        ("sqlite://", "MODERATION_REVIEW_DB: expected a path"),
        ("/proc/nowhere/review.db", "cannot be opened"),
    ],
)
def test_an_address_that_cannot_be_is_told(url, text):
    with pytest.raises(StateUnusableError, match=text):
        open_state(url)


def test_a_database_that_is_away_is_no_fault_of_a_person_and_no_password_is_told(postgres_server):
    url = postgres_server.uri().replace(f":{postgres_server.port}/", ":1/")

    with pytest.raises(StateError) as caught:
        open_state(url)

    assert isinstance(caught.value, TransientError)
    assert PASSWORD not in str(caught.value)
    wrong = postgres_server.uri().replace("owner:", "owner:x")
    with pytest.raises(StateUnusableError, match="check MODERATION_REVIEW_DB"):
        open_state(wrong)


_FULL = """
import resource, signal, sys
from moderation.review.state.open import open_state
from moderation.review.state.faults import StateUnusableError
from support.said import said
state = open_state(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
acknowledged = 0
try:
    while True:
        state.log.append([said("present", note="x" * 3000) for _ in range(20)])
        acknowledged += 20
except StateUnusableError as error:
    assert "Free space there, then send it again" in str(error), error
    print(acknowledged)
"""


def test_a_full_disk_is_told_and_loses_nothing_that_was_acknowledged(tmp_path, made_sqlite):
    path = shutil.copy(made_sqlite, tmp_path / "review.db")
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    ran = subprocess.run(
        [sys.executable, "-c", _FULL, path], capture_output=True, text=True, env=environ, check=False
    )
    assert ran.returncode == 0, ran.stderr
    acknowledged = int(ran.stdout)

    state = open_state(str(path))
    assert acknowledged > 0
    assert state.log.count() == acknowledged
    assert state.log.append([said("present")]).new == 1
    state.close()


@pytest.fixture
def settings(tmp_path, bucket, aws_env):
    return planned_runs.make_settings(tmp_path, bucket, tables="s3")


def test_a_state_that_lost_verdicts_is_noticed_until_a_person_has_restored_it(
    tmp_path, settings, s3_client, made_sqlite
):
    path = tmp_path / "review.db"
    state = open_state(str(shutil.copy(made_sqlite, path)))
    mark.check(s3_client, settings, state)
    rows = [said("present", content=f"c{number}") for number in range(3)]
    state.log.append(rows[:2])
    mark.note(s3_client, settings, state)
    kept = path.with_name("kept.db")
    with sqlite3.connect(path) as source, sqlite3.connect(kept) as copy:
        source.backup(copy)
    source.close()
    copy.close()
    state.log.append(rows[2:])
    mark.note(s3_client, settings, state)
    mark.check(s3_client, settings, state)
    state.close()

    old = open_state(str(kept))
    with pytest.raises(StateLostError, match="3 verdicts were there, 2 are; the database was set back"):
        mark.check(s3_client, settings, old)
    old.close()

    new = open_state(str(tmp_path / "new.db"))
    with pytest.raises(
        StateLostError, match=r"0 are; the database is another one.*verdicts restore"
    ) as caught:
        mark.note(s3_client, settings, new)
    assert isinstance(caught.value, NeedsAPersonError)

    new.log.restore(rows[:2])
    assert new.log.unpublished() == []
    assert mark.adopt(s3_client, settings, new) == 1
    mark.check(s3_client, settings, new)
    new.close()


def test_items_of_a_queue_survive_a_restart(new_url):
    state = open_state(new_url)
    queue = state.queues.create(QueueSpec(kind="job", name="x", people=("ann",)))
    state.queues.add_items(queue.queue_id, items(3))
    state.close()

    again = open_state(new_url)
    assert again.queues.all() == [queue]
    assert len(again.queues.next(queue.queue_id, "ann", 9)) == 3
    again.close()
