"""The files of indexes that this process reads: by one DuckDB, so that all pages together have one memory."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from moderation.console.index.looks import INDEX, memory_for
from moderation.storage.memory import give_back_now

_THREADS = 2
_AT_ONCE = 2
"""Queries: as many as there are threads for them."""

_MOST_OPEN = 2
_IDLE_SECONDS = 5.0
"""After which all are let go: opening one again takes 16 ms, what was read of them takes up to 64 MB."""

_BROKEN = (duckdb.FatalException, duckdb.InternalException)
"""After these DuckDB answers nothing any more."""


@dataclass
class _Open:
    reader: duckdb.DuckDBPyConnection
    name: str
    images: int
    users: int = 0


class OpenFiles:
    """Opens files when they are asked about, keeps the last of them open. Safe for threads.

    :param folder: where they all are.
    :param idle_seconds: after which all are let go.
    """

    def __init__(self, folder: Path, *, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._folder = folder
        self._idle_seconds = idle_seconds
        self._changed = threading.Condition()
        self._short = threading.BoundedSemaphore(_AT_ONCE)
        self._long = threading.BoundedSemaphore(1)
        self._open: dict[Path, _Open] = {}
        self._named = 0
        self._memory = ""
        self._was_read = False
        self._times: list[int] = []
        self._watching: threading.Thread | None = None
        self._spill: tempfile.TemporaryDirectory[str] | None = None
        self._reader: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def cursor(
        self, path: Path, images: int, *, times: int = 1, is_long: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor whose tables are those of the file; few have one at a time, others wait.

        Who has one asks for no other.

        :param images: that the file has; the memory goes by them.
        :param times: as of `looks.memory_for`.
        :param is_long: for what may take many seconds; others do not wait for it.
        :raises duckdb.Error: the file cannot be read, or a query of the block.
        """
        with (
            self._long if is_long else self._short,
            self._taken(path, images, times) as one,
            one.reader.cursor() as cursor,
        ):
            cursor.execute(f"USE {one.name}; SET enable_progress_bar = false")
            yield cursor

    def forget(self, path: Path) -> None:
        """Let a file go, once nobody reads it."""
        with self._changed:
            self._changed.wait_for(lambda: path not in self._open or not self._open[path].users)
            self._detach(path)

    def rest(self) -> None:
        """Let all files go, and what was read of them, where nobody reads any."""
        with self._changed:
            if not self._times:
                self._let_go()
        give_back_now()

    def close(self) -> None:
        """Let all files go."""
        with self._changed:
            self._let_go()
            if self._spill is not None:
                self._spill.cleanup()
                self._spill = None
        if self._watching is not None:  # In the midst of DuckDB's work, the end of Python would be a crash.
            self._watching.join()

    def _let_go(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._give_up(self._reader)

    def _watch(self, reader: duckdb.DuckDBPyConnection) -> None:
        """Let all go when nobody has read any of them for a while."""
        with self._changed:
            while self._reader is reader:
                self._was_read = False
                self._changed.wait_for(
                    lambda: self._reader is not reader or self._was_read, self._idle_seconds
                )
                if self._reader is reader and not (self._was_read or self._times):
                    self._let_go()
                    give_back_now()

    @contextmanager
    def _taken(self, path: Path, images: int, times: int) -> Iterator[_Open]:
        with self._changed:
            one = self._opened(path, images)
            one.users += 1
            self._times.append(times)
            self._was_read = True
            self._changed.notify_all()
        try:
            self._bound()
            yield one
        except _BROKEN:
            self._give_up(one.reader)
            raise
        finally:
            with self._changed:
                one.users -= 1
                self._times.remove(times)
                self._changed.notify_all()
                self._bound()

    def _opened(self, path: Path, images: int) -> _Open:
        one = self._open.pop(path, None)
        if one is None:
            reader = self._reader = self._reader or self._connected()
            self._named += 1
            one = _Open(reader, f"index_{self._named}", images)
            quoted = str(path).replace("'", "''")
            try:
                reader.execute(f"ATTACH '{quoted}' AS {one.name} (READ_ONLY)")
            except _BROKEN:
                self._give_up(reader)
                raise
        for other in [other for other, told in self._open.items() if not told.users]:
            if len(self._open) >= _MOST_OPEN:
                self._detach(other)
        self._open[path] = one
        return one

    def _give_up(self, reader: duckdb.DuckDBPyConnection) -> None:
        """Whoever comes after a fault that broke the database gets another one."""
        with self._changed:
            if self._reader is reader:
                self._reader, self._memory = None, ""
                self._open.clear()
                self._changed.notify_all()

    def _bound(self) -> None:
        """What is kept of files, and what is sorted and joined, all in so much memory."""
        with self._changed:
            most = max((one.images for one in self._open.values()), default=0)
            memory = memory_for(most, INDEX, times=max(self._times, default=1))
            if self._reader is None or memory == self._memory:
                return
            try:
                self._reader.execute(f"SET memory_limit = '{memory}'")
                self._memory = memory
            except duckdb.OutOfMemoryException:
                pass  # So much is in use just now; who ends next tries again.

    def _detach(self, path: Path) -> None:
        one = self._open.pop(path, None)
        if one is not None and self._reader is not None:
            self._reader.execute(f"DETACH {one.name}")

    def _connected(self) -> duckdb.DuckDBPyConnection:
        if self._spill is None:
            self._spill = tempfile.TemporaryDirectory(prefix="moderation-duckdb-")
        reader = duckdb.connect(config={"threads": _THREADS, "temp_directory": self._spill.name})
        folder = str(self._folder).replace("'", "''")
        for setting in (
            "GLOBAL TimeZone = 'UTC'",
            f"allowed_directories = ['{folder}']",
            "enable_external_access = false",
        ):
            reader.execute(f"SET {setting}")
        self._watching = threading.Thread(target=self._watch, args=(reader,), name="open-files", daemon=True)
        self._watching.start()
        return reader
