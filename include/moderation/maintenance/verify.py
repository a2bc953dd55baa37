"""Published files against their SHA-256, one after the other, in little memory."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from moderation.errors import TransientError
from moderation.maintenance import standing
from moderation.reference.library_errors import named
from moderation.schema import TABLES
from moderation.settings import ReviewSettings, Settings
from moderation.storage.files import Storage, absolute
from moderation.storage.s3_objects import S3Error
from moderation.tables import checksums
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.checksums import ChecksumsDamagedError
from moderation.tables.faults import TablesDamagedError, open_parquet, remedy_of
from moderation.tables.published import files_of_load, known_load_ids, load_named, published_load
from moderation.tables.standing import ALL_TABLES, STANDING
from moderation.tables.swap import data_files

_CHUNK = 1 << 20
_log = logging.getLogger(__name__)


@dataclass
class Verified:
    """What was found.

    :ivar files: how many are as they were written, by their SHA-256.
    :ivar bytes: their size.
    :ivar not_recorded: how many have no SHA-256, being of an earlier release; they were read through.
    :ivar damaged: what is wrong with each of the others: which file, what, and the remedy; and verdicts of
        the database that are not as they were written.
    """

    files: int = 0
    bytes: int = 0
    not_recorded: int = 0
    damaged: list[str] = field(default_factory=list)


def verify(settings: Settings, *, load_id: str | None = None) -> Verified:
    """Hold the files that readers have now against their SHA-256.

    :param load_id: only files with rows of this load.
    :raises WarehouseMissingError: there is no such load.
    :raises TablesError: the catalog or a table's metadata cannot be read.
    :raises moderation.storage.s3_objects.S3Error: S3 does not answer.
    """
    found = Verified()
    with Storage(settings) as storage, open_catalog(settings) as catalog:
        if load_id is None:
            found.damaged += _unseen(settings, catalog, storage)
            found.damaged += _decided(settings)
        for table, files in _tables(catalog, load_id):
            by_record = sorted(files, key=lambda file: (checksums.record_of(file.file_path), file.file_path))
            for name, group in groupby(by_record, key=lambda file: checksums.record_of(file.file_path)):
                try:
                    known = checksums.recorded(storage.s3_client, settings, name)
                except ChecksumsDamagedError as error:
                    found.damaged.append(str(error))
                    continue
                for file in group:
                    wanted = known.get(file.file_path.removeprefix(absolute(settings.tables_uri) + "/"))
                    _check(found, storage, table, file, wanted)
    return found


def _tables(catalog: Catalog, load_id: str | None) -> Iterator[tuple[Table, list[DataFile]]]:
    """Each table that is there, and its files of committed loads."""
    load = published_load(catalog, load_id) if load_id else None
    known = known_load_ids(catalog)
    for spec in (TABLES if load else ALL_TABLES).values():
        table = load_table(catalog, spec)
        if table is None:
            continue
        files = files_of_load(table, load["load_id"], load["dt"].isoformat()) if load else data_files(table)
        yield table, [file for file in files if load_named(file.file_path) in {None, *known}]


def _unseen(settings: Settings, catalog: Catalog, storage: Storage) -> Iterator[str]:
    """Files with what people decided that are on record and that no reader finds."""
    for spec in STANDING.values():
        table = load_table(catalog, spec)
        shown = {file.file_path for file in data_files(table)} if table is not None else set()
        for uri in standing.missing(settings, spec, storage, shown):
            yield (
                f"{uri} is on the list of {spec.name} and not in its table; "
                f"run `{settings.command} verdicts publish`"
            )


def _decided(settings: Settings) -> Iterator[str]:
    """Rows of the database of verdicts that are not as they were written."""
    from moderation.review.state.database import is_there  # noqa: PLC0415 - SQLAlchemy is slow to import
    from moderation.review.state.faults import StateUnusableError  # noqa: PLC0415 - as above
    from moderation.review.state.open import open_state  # noqa: PLC0415 - as above

    if not is_there(ReviewSettings.from_env().database):
        return
    try:
        state = open_state()
    except StateUnusableError as error:
        yield str(error)
        return
    try:
        for row in state.log.damaged():
            yield f"{state.name}: {row} is not as it was written; run `{settings.command} verdicts restore`"
    finally:
        state.close()


def _check(found: Verified, storage: Storage, table: Table, file: DataFile, wanted: str | None) -> None:
    uri = file.file_path
    if wanted is None:
        try:
            with open_parquet(table, uri) as parquet:
                for _ in parquet.iter_batches():
                    pass
        except TablesDamagedError as error:
            found.damaged.append(str(error))
        else:
            found.not_recorded += 1
        return
    digest, size = hashlib.sha256(), 0
    try:
        with storage.open(uri) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except (OSError, S3Error) as error:
        if isinstance(named(error), TransientError):
            raise
        found.damaged.append(f"{uri} cannot be read: {named(error) or error}; {remedy_of(table)}")
        return
    if digest.hexdigest() != wanted:
        found.damaged.append(
            f"{uri} is not the file that was published: its SHA-256 is {digest.hexdigest()} in place of "
            f"{wanted}; {remedy_of(table)}"
        )
        return
    found.files += 1
    found.bytes += size
