"""The tables that belong to no load: appended, rewritten and merged, seen by readers whole or not at all.

Their rows cannot be made again from raw answers. So the files that count are named by a sealed list::

    {work_uri}/standing/tables-4f1c0a9b77de/verdicts.json

Files are uploaded first, then the list is written, which is the commit, then one Iceberg snapshot shows them
to readers. Whoever comes next brings the Iceberg table to what the list says: after a kill in between, and
after a catalog that was lost or set back. One writer of a table at a time, by a lease.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile

from moderation.errors import NeedsAPersonError, TransientError
from moderation.schema import TableSpec, physical_schema
from moderation.settings import Settings
from moderation.storage import lease, s3_objects
from moderation.storage.files import Storage, absolute, spool
from moderation.storage.state import parse_state, seal
from moderation.tables import checksums
from moderation.tables.catalog import ensure_table, load_table, open_catalog, unknown_columns
from moderation.tables.faults import open_parquet
from moderation.tables.published import in_types, scan
from moderation.tables.swap import data_files, giving_way, swap
from moderation.tables.writer import LoadWriter

_LOCK_SECONDS = 60.0
"""How long a killed writer keeps others away. One that lives but was late finds the list changed, and stops.
"""

_WAIT_SECONDS = 120.0

_log = logging.getLogger(__name__)


class StandingError(NeedsAPersonError):
    """A table of no load cannot be written or brought back; the text names the file and the remedy."""


class StandingGoneError(StandingError):
    """A file that the table's list names is not there any more, or is not what was written."""


class StandingBusyError(TransientError):
    """Another writer came in between; nothing was changed."""


def reached(step: str) -> None:
    """Called at the end of each step; the place where tests let a writer die."""
    _log.debug("standing: %s", step)


@contextmanager
def open_standing(
    settings: Settings, spec: TableSpec, *, wait: float = _WAIT_SECONDS
) -> Iterator[StandingTable]:
    """The table for its only writer, brought to what its list says.

    :raises StandingError: the list is damaged, or a file that it names is gone.
    :raises lease.LeaseBusy: another writer kept it for longer than the wait.
    :raises TablesError: catalog or files cannot be read.
    """
    with (
        Storage(settings) as storage,
        lease.hold(
            storage.s3_client,
            _uri(settings, f"{spec.name}-lock"),
            owner=f"a writer of {spec.name}",
            ttl=_LOCK_SECONDS,
            wait=wait,
        ) as held,
        open_catalog(settings) as catalog,
    ):
        table = StandingTable(settings, spec, storage, catalog, held)
        table.settle()
        yield table


def begin_anew(settings: Settings, spec: TableSpec) -> None:
    """Let the list name no file, where what is in them can be made again; the next writer makes it.

    :raises StandingError: the list is damaged.
    """
    with Storage(settings) as storage:
        known = read_list(settings, spec, storage)
        if known.files:
            _write_list(storage.s3_client, settings, spec, known, {})


@dataclass(frozen=True)
class FileList:
    """The files that count.

    :param files: their SHA-256 by their path below the tables' root.
    :param etag: of the list in S3; None when there is none yet.
    """

    files: dict[str, str]
    etag: str | None


def read_list(settings: Settings, spec: TableSpec, storage: Storage) -> FileList:
    """The sealed list of the table's files.

    :raises StandingError: it is not what was written.
    """
    uri = _uri(settings, spec.name)
    stored = s3_objects.find(storage.s3_client, uri)
    if stored is None:
        return FileList({}, None)
    files = parse_state(
        stored.body,
        uri,
        parse=lambda content: {str(path): str(digest) for path, digest in content["files"].items()},
        error=StandingError,
        remedy=f"bring back the version before it; if the catalog still has the whole table {spec.name}, "
        "delete the list and the next writer makes it anew from the table",
    )
    return FileList(files, stored.etag)


@dataclass
class StandingTable:
    """A table of no load in the hands of its only writer."""

    settings: Settings
    spec: TableSpec
    storage: Storage
    catalog: Catalog
    lease: lease.Lease

    def settle(self) -> bool:
        """Bring the Iceberg table to what the list says; whether it was something else.

        :raises StandingError: a file that the list names is gone.
        """
        known = read_list(self.settings, self.spec, self.storage)
        if known.etag is not None:
            return self._show(known.files)
        files = {file.file_path for file in self.data_files()}
        if files:  # the work place was lost, not the table
            self._write_list(known, {self._relative(uri): self._digest(uri) for uri in files})
        return False

    def data_files(self) -> list[DataFile]:
        """The files that readers have."""
        table = load_table(self.catalog, self.spec)
        return data_files(table) if table is not None else []

    def check(self) -> None:
        """Read every file.

        :raises StandingGoneError: one is gone, or is not what was written.
        """
        for path, digest in read_list(self.settings, self.spec, self.storage).files.items():
            uri = f"{absolute(self.settings.tables_uri)}/{path}"
            try:
                found = self._digest(uri)
            except (OSError, s3_objects.S3Error) as error:
                raise self._gone(uri, error) from error
            if found != digest:
                raise _changed(uri)

    def rows(
        self, columns: Sequence[str] | None = None, where: str | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The table's rows.

        :param where: an Iceberg row filter on the partition, by which files are left out.
        """
        table = load_table(self.catalog, self.spec)
        return scan(table, self.spec, columns or self.spec.schema.names, where=where)

    def append(self, rows: pa.Table, *, key: str) -> int:
        """Add the rows that are not there yet; returns how many.

        :param rows: the table's columns in their order.
        :param key: a column whose value names a row; the same value is the same row, on the same day.
        """
        if not rows.num_rows:
            return 0
        days = pc.min_max(rows.column("dt")).as_py()
        where = f"dt >= '{days['min']}' and dt <= '{days['max']}'"
        known = {value for batch in self.rows([key], where) for value in batch.column(key).to_pylist()}
        seen = pc.is_in(rows.column(key), value_set=pa.array(sorted(known), pa.string()))
        fresh = rows.filter(pc.invert(seen))
        if fresh.num_rows:
            self._replace((), [fresh])
        return fresh.num_rows

    def rewrite(self, change: Callable[[pa.Table], pa.Table | None]) -> int:
        """Write files anew that a change concerns.

        :param change: gets the rows of one file; gives as many, or None to leave the file.
        :returns: how many files.
        """
        changed: dict[str, pa.Table] = {}
        for file in self.data_files():
            rows = change(self._read(file.file_path))
            if rows is not None:
                changed[file.file_path] = rows
        if changed:
            self._replace(list(changed), list(changed.values()))
        return len(changed)

    def replace_all(self, rows: pa.Table) -> None:
        """Make these the table's only rows."""
        self._replace([file.file_path for file in self.data_files()], [rows])

    def replace_days(self, rows: pa.Table) -> None:
        """Make these the only rows of their days."""
        days = [f"/dt={day}/" for day in rows.column("dt").unique().to_pylist()]
        uris = [file.file_path for file in self.data_files()]
        self._replace([uri for uri in uris if any(day in uri for day in days)], [rows])

    def merge(self) -> int:
        """One file a partition out of several; returns how many files were replaced."""
        table = load_table(self.catalog, self.spec)
        if table is None or unknown_columns(table, self.spec):
            return 0
        days: dict[str, list[str]] = defaultdict(list)
        for file in data_files(table):
            days[repr(file.partition)].append(file.file_path)
        several = [uris for _, uris in sorted(days.items()) if len(uris) > 1]
        if several:
            merged = [pa.concat_tables([self._read(uri) for uri in uris]) for uris in several]
            self._replace([uri for uris in several for uri in uris], merged)
        return sum(map(len, several))

    def adopt(self, source: Settings) -> int:
        """Take the files of the same table of other settings, whole, in place of what is here.

        :returns: how many.
        :raises StandingError: one of them is gone, or is not the file that was written.
        """
        theirs = read_list(source, self.spec, self.storage).files
        mine = read_list(self.settings, self.spec, self.storage)
        with spool(self.settings, "standing") as folder:
            for number, (path, digest) in enumerate(sorted(theirs.items())):
                self.lease.keep()
                copy = folder / str(number)
                uri = f"{absolute(source.tables_uri)}/{path}"
                try:
                    self.storage.copy_to(uri, copy)
                except (OSError, s3_objects.S3Error) as error:
                    raise self._gone(uri, error) from error
                if checksums.of_file(copy) != digest:
                    raise _changed(uri)
                self._put(copy, path, digest)
                copy.unlink()
        self._write_list(mine, theirs)
        self._show(theirs)
        return len(theirs)

    def _read(self, uri: str) -> pa.Table:
        table = load_table(self.catalog, self.spec)
        assert table is not None  # noqa: S101 - it has named the file
        types = physical_schema(self.spec)
        with open_parquet(table, uri) as file:
            present = [name for name in types.names if name in file.schema_arrow.names]
            batches = [in_types(batch, types) for batch in file.iter_batches(columns=present)]
        return pa.Table.from_batches(batches, types)

    def _replace(self, out: Sequence[str], tables: Sequence[pa.Table]) -> None:
        """Take files out and put rows in, as one change."""
        known = read_list(self.settings, self.spec, self.storage)
        gone = {self._relative(uri) for uri in out}
        wanted = {path: digest for path, digest in known.files.items() if path not in gone}
        with spool(self.settings, "standing") as folder:
            for number, rows in enumerate(tables):
                for path, relative, digest in self._written(rows, folder / str(number)):
                    self._put(path, relative, digest)
                    wanted[relative] = digest
        reached("uploaded")
        self._write_list(known, wanted)
        reached("listed")
        self._show(wanted)
        reached("shown")

    def _written(self, rows: pa.Table, folder: Path) -> Iterator[tuple[Path, str, str]]:
        """Local file, path below the tables' root and SHA-256 of each partition's file."""
        folder.mkdir()
        with LoadWriter(folder, self.spec.name) as writer:
            for part in self._partitions(rows):
                writer.write(self.spec, part)
            files = writer.finish()
        for file in files:
            place, _, name = file.relative_path.rpartition("/")
            number = name.rpartition("-")[2]
            yield file.path, f"{place}/{self.spec.name}-{file.sha256[:12]}-{number}", file.sha256

    def _partitions(self, rows: pa.Table) -> Iterator[pa.Table]:
        if not self.spec.partition_by:
            yield rows
            return
        (name,) = self.spec.partition_by
        for value in sorted(rows.column(name).unique().to_pylist()):
            yield rows.filter(pc.equal(rows.column(name), value))

    def _put(self, path: Path, relative: str, digest: str) -> None:
        self.lease.keep()
        uri = f"{absolute(self.settings.tables_uri)}/{relative}"
        self.storage.put_file(path, uri)
        checksums.record(self.storage.s3_client, self.settings, checksums.record_of(uri), [(uri, digest)])

    def _write_list(self, known: FileList, files: dict[str, str]) -> None:
        _write_list(self.storage.s3_client, self.settings, self.spec, known, files)

    def _show(self, wanted: dict[str, str]) -> bool:
        """One snapshot that has these files and no others; whether one was needed."""
        root = absolute(self.settings.tables_uri)
        uris = {f"{root}/{path}" for path in wanted}

        def attempt() -> bool:
            table = ensure_table(self.catalog, self.spec, self.settings)
            there = data_files(table)
            out = [file for file in there if file.file_path not in uris]
            into = sorted(uris - {file.file_path for file in there})
            if out or into:
                swap(table, out=out, into=into, properties={"standing": self.spec.name})
            return bool(out or into)

        try:
            return giving_way(attempt)
        except FileNotFoundError as error:
            raise self._gone(str(error), error) from error

    def _gone(self, uri: str, error: Exception) -> StandingGoneError:
        return StandingGoneError(
            f"the list {_uri(self.settings, self.spec.name)} names a file that cannot be read: {uri}: "
            f"{error}; bring it back from a backup or an older version of the object"
        )

    def _digest(self, uri: str) -> str:
        digest = hashlib.sha256()
        with self.storage.open(uri) as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()

    def _relative(self, uri: str) -> str:
        return uri.removeprefix(absolute(self.settings.tables_uri) + "/")


def _changed(uri: str) -> StandingGoneError:
    return StandingGoneError(f"{uri} is not the file that was written; bring it back from a backup")


def _uri(settings: Settings, name: str) -> str:
    tables = hashlib.sha256(absolute(settings.tables_uri).encode()).hexdigest()[:12]
    return s3_objects.join_uri(settings.work_uri, "standing", f"tables-{tables}", f"{name}.json")


def _write_list(
    client: Any, settings: Settings, spec: TableSpec, known: FileList, files: dict[str, str]
) -> None:
    """Say which files count: the commit, for which the list must still be the one that was read.

    :raises StandingBusyError: it is not.
    """
    uri = _uri(settings, spec.name)
    body = seal({"files": dict(sorted(files.items()))})
    if known.etag is None:
        written = s3_objects.put_if_absent(client, uri, body)
    else:
        written = s3_objects.put_if_match(client, uri, body, etag=known.etag)
    # An answer that was lost makes the repetition fail, though what lies there is ours.
    if written is None and s3_objects.read(client, uri).body != body:
        raise StandingBusyError(f"{uri}: another writer came in between; run again")
