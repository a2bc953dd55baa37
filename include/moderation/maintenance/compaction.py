"""Many small files of several loads become few large ones, while loads are published and readers read.

For each table: merge (write files of new names, then one snapshot that holds them instead of the old ones),
expire snapshots that were replaced long ago, remove files that nothing needs. A killed compaction is run
again: what it wrote and did not commit is written again under the same names or removed later.

A compacted file holds rows of committed loads alone, so that what is in no load stays apart; rows keep their
order, oldest load first. A commit that meets a publish gives way and is tried again.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from moderation import schema
from moderation.errors import NeedsAPersonError
from moderation.maintenance import cleaning, standing
from moderation.schema import TABLES, TableSpec, physical_schema
from moderation.settings import Settings
from moderation.storage import lease, probe, s3_objects, tombstones
from moderation.storage.files import Storage, absolute, is_s3, spool
from moderation.tables import checksums
from moderation.tables.catalog import load_table, open_catalog, unknown_columns
from moderation.tables.faults import TablesUnavailableError, open_parquet
from moderation.tables.ledger import upkeep
from moderation.tables.published import in_types, load_named, loads_in
from moderation.tables.swap import ATTEMPTS, data_files, giving_way, swap
from moderation.tables.writer import ROW_GROUP_ROWS, LoadWriter

TARGET_BYTES = 256 << 20
"""Size that files are merged to; those of at least half of it are left alone."""

KEEP = timedelta(days=7)
"""How long a snapshot that was replaced can still be read."""

LOCK_TTL_SECONDS = 600.0
PREFIX = "compacted-"

_log = logging.getLogger(__name__)


class CompactionError(NeedsAPersonError):
    """A table could not be compacted; its rows are as before. The message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class CompactedTable:
    """What became of one table.

    :param merged: files that were replaced.
    :param written: files that replaced them.
    :param rows: rows in these.
    :param bytes: their size.
    :param expired: snapshots that can no longer be read.
    :param removed: files deleted.
    """

    table: str
    merged: int = 0
    written: int = 0
    rows: int = 0
    bytes: int = 0
    expired: int = 0
    removed: int = 0


def compact(
    settings: Settings,
    *,
    target_bytes: int = TARGET_BYTES,
    keep: timedelta = KEEP,
    orphan_age: timedelta = cleaning.ORPHAN_AGE,
) -> list[CompactedTable]:
    """Merge, expire and clean every table; repeated, it finds nothing to do.

    :param target_bytes: size that files are merged to, at least 1 MB.
    :param keep: how long replaced snapshots stay readable; longer than the longest query.
    :param orphan_age: how long a file that no snapshot names is left alone; longer than the longest publish.
    :raises CompactionError: a file does not hold what the catalog says.
    :raises TablesError: catalog or files cannot be read, or publishes were in the way all the time.
    :raises lease.LeaseBusy: another compaction or rebuild is under way.
    """
    with (
        maintenance(settings, "compact") as renew,
        Storage(settings) as storage,
        open_catalog(settings) as catalog,
    ):
        done = [
            _Compactor(settings, spec, catalog, storage, renew, target_bytes).run(keep, orphan_age)
            for spec in TABLES.values()
        ]
        renew()
        done += [
            CompactedTable(**row) for row in standing.compact(settings, keep=keep, orphan_age=orphan_age)
        ]
    with s3_objects.open_client(settings) as client:
        for folder in filter(is_s3, (settings.work_uri, settings.tables_uri)):
            probe.sweep(client, folder, age=orphan_age)
    upkeep.bring_up(settings, most_rows=None)
    upkeep.tidy(settings, age=orphan_age)
    return done


def reached(step: str) -> None:
    """Called at the end of each step; the place where tests let a compaction die."""
    _log.debug("compaction: %s", step)


@contextmanager
def maintenance(settings: Settings, owner: str) -> Iterator[Callable[[], None]]:
    """Keep compactions and rebuilds of the same tables apart; gives what proves and renews the lock.

    Publishes need no lock: the commits keep these apart.
    """
    tables = hashlib.sha256(absolute(settings.tables_uri).encode()).hexdigest()[:12]
    uri = f"{settings.work_uri}/locks/tables-{tables}.json"
    with (
        s3_objects.open_client(settings) as client,
        lease.hold(client, uri, owner=owner, ttl=LOCK_TTL_SECONDS, wait=0) as held,
    ):
        if owner == "rebuild":
            tombstones.prove_finished(client, settings)
        yield held.renew


@dataclass(frozen=True)
class _Merge:
    """Files of one partition and the file that takes their place."""

    files: tuple[DataFile, ...]
    uri: str
    rows: int
    bytes: int


@dataclass
class _Compactor:
    settings: Settings
    spec: TableSpec
    catalog: Catalog
    storage: Storage
    renew: Callable[[], None]
    target_bytes: int

    def run(self, keep: timedelta, orphan_age: timedelta) -> CompactedTable:
        table = load_table(self.catalog, self.spec)
        if table is None or table.current_snapshot() is None:
            return CompactedTable(table=self.spec.name)
        merges = self._commit(table, [self._merge(table, files) for files in self._groups(table)])
        reached(f"committed {self.spec.name}")
        self.renew()
        expired = cleaning.expire_snapshots(table, before=datetime.now(UTC) - keep)
        reached(f"expired {self.spec.name}")
        removed = 0
        for uri in cleaning.unneeded_files(
            self.settings, self.spec, self.catalog, self.storage, before=datetime.now(UTC) - orphan_age
        ):
            self.storage.delete(uri)
            checksums.forget(self.storage.s3_client, self.settings, uri)
            removed += 1
            reached(f"removed {self.spec.name}")
        done = CompactedTable(
            table=self.spec.name,
            merged=sum(len(merge.files) for merge in merges),
            written=len(merges),
            rows=sum(merge.rows for merge in merges),
            bytes=sum(merge.bytes for merge in merges),
            expired=expired,
            removed=removed,
        )
        _log.info("%s", done)
        return done

    def _groups(self, table: Table) -> Iterator[list[DataFile]]:
        """Small files of one partition each, as many as make one of the target's size; at least two."""
        if columns := unknown_columns(table, self.spec):
            _log.warning("%s is not merged: a later release has added %s", self.spec.name, ", ".join(columns))
            return
        # Loads first, then the table: whatever load is known has all its files in the snapshot.
        loads = loads_in(self.catalog).column("load_id").to_pylist()
        order = {load_id: number for number, load_id in enumerate(loads)}
        table.refresh()
        partitions: dict[str, list[DataFile]] = defaultdict(list)
        for file in data_files(table):
            load_id = load_named(file.file_path)
            committed = load_id in order if load_id else PREFIX in file.file_path
            if committed and file.file_size_in_bytes < self.target_bytes // 2:
                partitions[repr(file.partition)].append(file)
        for _, files in sorted(partitions.items()):
            # Compacted files hold the older loads.
            files.sort(key=lambda file: (order.get(load_named(file.file_path) or "", -1), file.file_path))
            for group in _pack(files, self.target_bytes):
                if len(group) > 1:
                    yield group

    def _merge(self, table: Table, files: Sequence[DataFile]) -> _Merge:
        self.renew()
        known = set(loads_in(self.catalog).column("load_id").to_pylist())
        digest = hashlib.sha256(f"{schema.FORMAT_VERSION}\n".encode())
        for file in files:
            digest.update(f"{file.file_path}\n{file.file_size_in_bytes}\n".encode())
        with spool(self.settings, "compact") as folder:
            expected = sum(file.record_count for file in files)
            stem = f"{PREFIX}{digest.hexdigest()[:12]}"
            with LoadWriter(folder, stem, max_file_rows=expected + 1) as writer:
                for file in files:
                    for rows in self._rows(table, file, known):
                        writer.write(self.spec, rows)
                (written,) = writer.finish()
            if written.rows != expected:
                raise TablesUnavailableError(
                    f"{self.spec.name}: {written.rows:,} rows were read where the catalog has {expected:,}; "
                    f"nothing is replaced. Mend the tables by `{self.settings.command} rebuild`"
                )
            reached(f"written {self.spec.name}")
            uri = f"{absolute(self.settings.tables_uri)}/{written.relative_path}"
            self.storage.put_file(written.path, uri)
            name = checksums.record_of(uri)
            checksums.record(self.storage.s3_client, self.settings, name, [(uri, written.sha256)])
            reached(f"uploaded {self.spec.name}")
        return _Merge(tuple(files), uri, written.rows, written.bytes)

    def _rows(self, table: Table, file: DataFile, known: Collection[str]) -> Iterator[pa.Table]:
        types = physical_schema(self.spec)
        loads = pa.array(sorted(known), pa.string())
        with open_parquet(table, file.file_path) as parquet:
            present = [name for name in types.names if name in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(ROW_GROUP_ROWS, columns=present):
                if not pc.all(pc.is_in(batch.column("load_id"), value_set=loads)).as_py():
                    raise CompactionError(
                        f"{file.file_path} holds rows of an unpublished load; nothing is replaced"
                    )
                yield pa.Table.from_batches([in_types(batch, types)])

    def _commit(self, table: Table, merges: list[_Merge]) -> list[_Merge]:
        """Swap the files in one snapshot; a merge whose files are no longer all there is dropped."""

        def attempt() -> list[_Merge]:
            table.refresh()
            present = {file.file_path: file for file in data_files(table)}
            still = [merge for merge in merges if all(file.file_path in present for file in merge.files)]
            if still:
                swap(
                    table,
                    out=[present[file.file_path] for merge in still for file in merge.files],
                    into=[merge.uri for merge in still],
                    properties={"maintenance": "compact"},
                )
            return still

        try:
            return giving_way(attempt)
        except CommitFailedException as error:
            raise CompactionError(
                f"{self.spec.name}: gave way to publishes {ATTEMPTS} times; nothing is replaced, run again "
                "later"
            ) from error


def _pack(files: Sequence[DataFile], target_bytes: int) -> Iterator[list[DataFile]]:
    """Neighbours that together are at most one file."""
    group: list[DataFile] = []
    size = 0
    for file in files:
        if group and size + file.file_size_in_bytes > target_bytes:
            yield group
            group, size = [], 0
        group.append(file)
        size += file.file_size_in_bytes
    yield group
