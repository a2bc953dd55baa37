"""One snapshot that takes files out of an Iceberg table and puts others in."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence

from pyiceberg.io.pyarrow import parquet_files_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from moderation.tables.faults import planned_files

ATTEMPTS = 20
"""How often maintenance gives way to publishes that commit at the same time."""


def data_files(table: Table) -> list[DataFile]:
    """The files of the current snapshot, by path."""
    if table.current_snapshot() is None:
        return []
    return sorted((task.file for task in planned_files(table)), key=lambda file: file.file_path)


def swap(
    table: Table, *, out: Sequence[DataFile], into: Sequence[str], properties: Mapping[str, str]
) -> None:
    """Replace files in one snapshot; readers see all of it or nothing.

    :param out: files of the table's snapshot as it was loaded.
    :param into: URIs of Parquet files that lie in place already.
    :param properties: of the snapshot's summary.
    :raises pyiceberg.exceptions.CommitFailedException: the table has changed since it was loaded.
    """
    with table.transaction() as transaction:
        added = list(parquet_files_to_data_files(table.io, transaction.table_metadata, iter(into)))
        with transaction.update_snapshot(dict(properties)).overwrite() as snapshot:
            for file in out:
                snapshot.delete_data_file(file)
            for file in added:
                snapshot.append_data_file(file)


def give_way(attempt: int) -> None:
    """Let the other one finish; the wait is random so that two do not keep step."""
    time.sleep(random.uniform(0.01, 0.05 * 2 ** min(attempt, 5)))  # noqa: S311 - no secret
