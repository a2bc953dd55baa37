"""One snapshot that takes files out of an Iceberg table and puts others in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import tenacity
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.io.pyarrow import parquet_files_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from moderation.tables.faults import planned_files

T = TypeVar("T")

ATTEMPTS = 20
"""How often a commit gives way to others that come first."""

# Random, so that two do not keep step; 25 s in all at the most.
_PAUSES = tenacity.wait_random_exponential(multiplier=0.05, min=0.01, max=1.6)


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
    :raises pyiceberg.exceptions.CommitFailedException: the table has changed since it was loaded, or
        pyiceberg did not see all of its files; nothing is changed, and whoever looks anew may try again.
    """
    try:
        with table.transaction() as transaction:
            added = list(parquet_files_to_data_files(table.io, transaction.table_metadata, iter(into)))
            with transaction.update_snapshot(dict(properties)).overwrite() as snapshot:
                for file in out:
                    snapshot.delete_data_file(file)
                for file in added:
                    snapshot.append_data_file(file)
    except ValidationException as error:
        # pyiceberg's threads ask one evaluator, which remembers the manifest that it was asked about last:
        # now and then one is told of another's, and a file that is there is missed.
        raise CommitFailedException(str(error)) from error


def forget_taken_out(table: Table) -> None:
    """Add a snapshot that has the same files and lists none that was taken out before.

    The snapshot that takes files out lists them, with the least and the greatest value of their columns; an
    append of nothing leaves such lists out.

    :raises pyiceberg.exceptions.CommitFailedException: another commit came first.
    """
    table.refresh()
    snapshot = table.current_snapshot()
    if snapshot is None or not any(listed.deleted_files_count for listed in snapshot.manifests(table.io)):
        return
    with (
        table.transaction() as transaction,
        transaction.update_snapshot({"maintenance": "erase"}).fast_append(),
    ):
        pass


def giving_way(attempt: Callable[[], T]) -> T:
    """Call ``attempt`` until no other commit comes first, and give back what it gives.

    :param attempt: looks at the table anew and commits, or finds nothing to commit. It raises
        `CommitFailedException` when another commit was first, and then has changed nothing.
    :raises pyiceberg.exceptions.CommitFailedException: others came first :data:`ATTEMPTS` times.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(CommitFailedException),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=_PAUSES,
        reraise=True,
    )
    return retrying(attempt)
