"""Indexes of many loads are read in one bounded memory, and one that is made anew is read as it is now."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from moderation.console.index.looks import INDEX, memory_for
from moderation.console.index.open_files import OpenFiles


@pytest.fixture
def files(tmp_path):
    made = OpenFiles(tmp_path)
    yield made
    made.close()


def test_many_files_are_read_by_one_database_that_keeps_the_last_of_them(files, tmp_path):
    paths = [_made(tmp_path / f"load '{number}'.duckdb", number) for number in range(6)]
    for _ in range(2):
        assert [_number(files, path) for path in paths] == list(range(6))
    with files.cursor(paths[5], 1) as cursor:
        rows = cursor.execute("SELECT path FROM duckdb_databases() WHERE path IS NOT NULL").fetchall()
    assert {Path(path) for (path,) in rows} == set(paths[4:])


def test_all_who_read_have_the_memory_of_the_largest(files, tmp_path):
    small, large = (_made(tmp_path / f"{name}.duckdb", 0) for name in ("small", "large"))
    assert _limit(files, small, 1_000) == _near(memory_for(1_000, INDEX))
    assert _limit(files, large, 2_000_000) == _near(memory_for(2_000_000, INDEX))
    assert _limit(files, small, 1_000) == _near(memory_for(2_000_000, INDEX))
    assert _limit(files, small, 1_000, times=3) == _near(memory_for(2_000_000, INDEX, times=3))
    assert _limit(files, small, 1_000) == _near(memory_for(2_000_000, INDEX))


def test_times_are_utc_and_nothing_else_of_the_machine_can_be_read(files, tmp_path):
    path = _made(tmp_path / "a.duckdb", 0)
    secret = tmp_path.parent / f"{tmp_path.name}-secret.csv"
    secret.write_text("a,b")
    with files.cursor(path, 1) as cursor:
        assert cursor.execute("SELECT '2026-01-01T00:00:00Z'::TIMESTAMPTZ::VARCHAR").fetchone() == (
            "2026-01-01 00:00:00+00",
        )
        with pytest.raises(duckdb.PermissionException):
            cursor.execute("SELECT * FROM read_csv($1)", [str(secret)])


def test_a_file_that_was_made_anew_is_read_as_it_is_now_once_its_readers_are_done(files, tmp_path):
    path, other = _made(tmp_path / "a.duckdb", 1), _made(tmp_path / "b.duckdb", 7)
    reads, may_end = threading.Event(), threading.Event()

    def long() -> int:
        with files.cursor(path, 1, is_long=True) as cursor:
            reads.set()
            assert may_end.wait(60)
            return cursor.execute("SELECT number FROM told").fetchone()[0]

    with ThreadPoolExecutor() as pool:
        old = pool.submit(long)
        assert reads.wait(60)
        _made(tmp_path / "unfinished", 2).replace(path)
        forgotten = pool.submit(files.forget, path)
        assert _number(files, other) == 7
        assert not forgotten.done()
        may_end.set()
        assert old.result() == 1
        forgotten.result()
    assert _number(files, path) == 2


def test_who_finds_the_database_broken_is_told_and_the_next_has_another(files, tmp_path, monkeypatch):
    path = _made(tmp_path / "a.duckdb", 3)

    def broken(*_, **__):
        raise duckdb.FatalException("as after an internal fault")

    with monkeypatch.context() as patched:
        patched.setattr("moderation.console.index.open_files.memory_for", broken)
        for _ in range(3):
            with pytest.raises(duckdb.FatalException), files.cursor(path, 1):
                pytest.fail("it was opened")
    assert _number(files, path) == 3
    files.forget(path)
    files.rest()
    assert str(path) not in _held()


@pytest.mark.parametrize("error", [duckdb.FatalException, duckdb.InternalException])
def test_a_database_that_broke_is_replaced(files, tmp_path, error):
    path = _made(tmp_path / "a.duckdb", 3)
    with pytest.raises(error), files.cursor(path, 1):
        raise error("as after an internal fault")
    assert _number(files, path) == 3


def test_what_cannot_be_opened_leaves_room_for_others(files, tmp_path):
    damaged, path = tmp_path / "damaged.duckdb", _made(tmp_path / "a.duckdb", 4)
    damaged.write_bytes(b"\0" * 20_000)
    for _ in range(5):
        with pytest.raises(duckdb.Error), files.cursor(damaged, 1):
            pytest.fail("it was opened")
    assert _number(files, path) == 4


def test_nothing_is_kept_of_files_that_nobody_reads_for_a_while(tmp_path):
    path, other = _made(tmp_path / "a.duckdb", 1), _made(tmp_path / "b.duckdb", 2)
    files = OpenFiles(tmp_path, idle_seconds=0.05)
    with files.cursor(path, 1) as cursor:
        assert _number(files, other) == 2
        files.rest()
        assert str(path) in _held()
        assert cursor.execute("SELECT number FROM told").fetchone() == (1,)
    for thread in [one for one in threading.enumerate() if one.name == "open-files"]:
        thread.join(60)
        assert not thread.is_alive()
    assert str(path) not in _held()
    assert _number(files, path) == 1
    assert str(path) in _held()
    files.close()
    assert str(path) not in _held()


def test_many_threads_have_their_answers_from_their_files(files, tmp_path):
    paths = [_made(tmp_path / f"{number}.duckdb", number) for number in range(8)]
    asked = [number % 8 for number in range(200)]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(lambda number: _number(files, paths[number]), asked)) == asked


def _made(path: Path, number: int) -> Path:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE told AS SELECT $1::INTEGER AS number", [number])
    return path


def _number(files: OpenFiles, path: Path) -> int:
    with files.cursor(path, 1) as cursor:
        (number,) = cursor.execute("SELECT number FROM told").fetchone()
        return number


def _held() -> set[str]:
    return {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_there(fd)}


def _is_there(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def _limit(files: OpenFiles, path: Path, images: int, **how: int) -> float:
    with files.cursor(path, images, **how) as cursor:
        return _bytes(cursor.execute("SELECT current_setting('memory_limit')").fetchone()[0])


def _near(text: str) -> object:
    """DuckDB tells it to a tenth of its unit."""
    return pytest.approx(_bytes(text), rel=0.03)


def _bytes(text: str) -> float:
    unit = next(name for name in _UNITS if text.endswith(name))
    return float(text.removesuffix(unit)) * _UNITS[unit]


_UNITS = {"MiB": 1 << 20, "GiB": 1 << 30, "MB": 1_000_000}
