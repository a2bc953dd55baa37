"""Published files as DuckDB reads them, each part proven by its checksum before DuckDB sees it.

DuckDB reads Parquet fast and checks no page. So it reads through this file system, which takes the checksum
of each column chunk once, the first time that a byte of it is asked for: what a query does not touch costs
nothing. A chunk is a few megabytes at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from fsspec import AbstractFileSystem
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from moderation.storage import parquet
from moderation.tables.faults import TablesError, file_fault

PROTOCOL = "published"


class CheckedFiles(AbstractFileSystem):
    """What DuckDB may open: these files, by paths that `path_of` gives.

    What goes wrong is DuckDB's error to who asks; :meth:`fault` tells what it was.
    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._files: dict[str, tuple[Table, DataFile]] = {}
        self._damage: tuple[Table, str, Exception] | None = None

    def add(self, table: Table, file: DataFile) -> str:
        """Let DuckDB read the file; returns its path there."""
        path = f"{PROTOCOL}://{file.file_path.partition('://')[2]}"
        self._files[path] = (table, file)
        return path

    def fault(self) -> TablesError | None:
        """What is wrong with the first file that could not be read or proven; None when all could."""
        return file_fault(*self._damage) if self._damage else None

    def keep(self, table: Table, uri: str, error: Exception) -> None:
        """Remember what was wrong with a file, unless another was first."""
        self._damage = self._damage or (table, uri, error)

    def open(self, path: str, mode: str = "rb", **_: Any) -> _CheckedFile:
        """The file, to be read."""
        return _CheckedFile(self, *self._files[path])

    def size(self, path: str) -> int:
        """Bytes of the file, as the catalog tells."""
        return self._files[path][1].file_size_in_bytes

    def exists(self, path: str, **_: Any) -> bool:
        """Whether it is one of the files."""
        return path in self._files

    def glob(self, path: str, **_: Any) -> list[str]:
        """The file itself: nothing in a name stands for other names."""
        return [path] if path in self._files else []

    def modified(self, path: str) -> datetime:
        """A time: published files do not change."""
        return datetime.fromtimestamp(0, UTC)


class _CheckedFile:
    """What DuckDB asks of a Python file."""

    def __init__(self, owner: CheckedFiles, table: Table, file: DataFile) -> None:
        self._owner, self._table, self._uri = owner, table, file.file_path
        with self._kept():
            self._stream = _opened(table, file.file_path)
            self.size = self._stream.size()
            if self.size != file.file_size_in_bytes:
                raise pa.ArrowInvalid(
                    f"it has {self.size:,} bytes and the catalog says {file.file_size_in_bytes:,}"
                )
            self._proven = parquet.Proven(self._stream, parquet.read_footer(self._stream))
        self.seek, self.tell = self._proven.seek, self._proven.tell

    def read(self, size: int = -1) -> bytes:
        with self._kept():
            return self._proven.read(size)

    def close(self) -> None:
        self._stream.close()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            self._owner.keep(self._table, self._uri, error)
            raise


def _opened(table: Table, uri: str) -> Any:
    """The file as Arrow has it, which knows its size; pyiceberg's type promises less."""
    return table.io.new_input(uri).open()
