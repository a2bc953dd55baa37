"""Rows that wait until a row group is full, in memory or, where that is short, on the disk."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa


class RowBuffer:
    """Rows of one partition; they come back as they were added, dictionaries included.

    :param path: of a file that is made when rows are moved to the disk.
    :ivar rows: all that wait.
    :ivar held: those of them that are in memory.
    :ivar added: all that ever came.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tables: list[pa.Table] = []
        self._file: pa.OSFile | None = None
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None
        self.rows = self.held = self.added = 0

    def add(self, rows: pa.Table) -> None:
        """Take rows over, in memory."""
        self._tables.append(rows)
        self.rows += rows.num_rows
        self.held += rows.num_rows
        self.added += rows.num_rows

    def spill(self) -> None:
        """Move what is in memory to the disk.

        :raises OSError: the disk is full.
        """
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = pa.OSFile(str(self._path), "wb")
            # A stream, for unlike a file it may change its dictionaries from batch to batch.
            self._writer = pa.ipc.new_stream(self._file, self._tables[0].schema)
        for table in self._tables:
            self._writer.write_table(table)
        self._tables, self.held = [], 0

    def take(self) -> pa.Table:
        """All rows, in the order in which they were added; afterwards none wait."""
        tables = self._spilled() + self._tables
        self._tables, self.rows, self.held = [], 0, 0
        return pa.concat_tables(tables)

    def close(self) -> None:
        """Free the disk."""
        if self._writer is not None:
            self._close_file()
            self._path.unlink(missing_ok=True)

    def _spilled(self) -> list[pa.Table]:
        if self._writer is None:
            return []
        self._close_file()
        with pa.OSFile(str(self._path), "rb") as file, pa.ipc.open_stream(file) as reader:
            tables = [pa.Table.from_batches([batch]) for batch in reader]
        self._path.unlink()
        return tables

    def _close_file(self) -> None:
        writer, file = self._writer, self._file
        self._writer = self._file = None
        assert writer is not None and file is not None  # noqa: S101, PT018 - made together
        try:
            writer.close()
        finally:
            file.close()
