"""Rows taken out of the tables of loads, in one snapshot a table, and every older snapshot with them.

The rows of `images` go last: by them the others are found again when an erasure was killed in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import And, BooleanExpression, GreaterThanOrEqual, In, LessThanOrEqual
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from moderation.maintenance import cleaning, compaction
from moderation.maintenance.erasure import steps
from moderation.maintenance.erasure.wanted import Wanted
from moderation.schema import ANOMALIES, IMAGES, LABELS, TABLES, TableSpec, physical_schema
from moderation.settings import Settings
from moderation.storage.files import Storage, absolute, spool
from moderation.tables import checksums
from moderation.tables.catalog import load_table
from moderation.tables.faults import TablesUnavailableError, open_parquet, planned_files
from moderation.tables.published import in_types, load_named
from moderation.tables.swap import ATTEMPTS, forget_taken_out, giving_way, swap
from moderation.tables.writer import ROW_GROUP_ROWS, LoadWriter

PLACE = ("load_id", "manifest_id", "line_number")
_FOUND = (*PLACE, "source_ref", "bucket", "key", "etag", "size_bytes", "origin", "status")
_MOST_LITERALS = 200
"""More are not held against the bounds of a file by pyiceberg."""
_SETTLED = timedelta(hours=1)
"""Metadata that no snapshot names and that is older belongs to no commit that is still under way."""

Mask = Callable[[pa.RecordBatch], pa.BooleanArray]


@dataclass
class LoadTables:
    """The tables of loads.

    :param renew: proves and renews the lock that keeps compactions and rebuilds away.
    """

    settings: Settings
    catalog: Catalog
    storage: Storage
    renew: Callable[[], None]

    def find(self, wanted: Wanted) -> pa.Table:
        """The rows of `images` that are asked for, whatever load they are of: the columns of an image's
        identity, in memory.
        """
        table = load_table(self.catalog, IMAGES)
        types = pa.schema([physical_schema(IMAGES).field(name) for name in _FOUND])
        parts = [types.empty_table()]
        for file in self._files(table, _where(wanted)):
            assert table is not None  # noqa: S101 - it has named the file
            self.renew()
            for batch in _read(table, file.file_path, _FOUND, types):
                kept = batch.filter(wanted.mask(batch))
                if kept.num_rows:
                    parts.append(pa.Table.from_batches([kept]))
        return pa.concat_tables(parts)

    def erase(self, rows: pa.Table, keys: frozenset[str]) -> dict[str, int]:
        """Take images out of every table but `jobs` and `loads`; returns rows by table. May be repeated.

        :param rows: of :meth:`find`.
        :param keys: further names of them, by which anomalies are found.
        """
        gone = {}
        loads = sorted(set(rows.column("load_id").to_pylist()))
        where = _among("load_id", loads)
        refs = {*keys, *rows.column("source_ref").to_pylist()}
        for spec in (*LABELS.values(), ANOMALIES, IMAGES):
            places = _anomalies(refs) if spec is ANOMALIES else _at(rows)
            # An anomaly may be about an image that is in no row: of a line that nobody asked for.
            everywhere = None if spec is ANOMALIES else where
            gone[spec.name] = self._take_out(spec, everywhere, places) if loads or spec is ANOMALIES else 0
            steps.reached(f"erased {spec.name}")
        return gone

    def replace_rows(
        self, spec: TableSpec, changed: dict[tuple[Any, ...], dict[str, Any]], key: Sequence[str]
    ) -> int:
        """Put other values into rows of a small table; returns how many differ.

        :param changed: values of columns by those of ``key``.
        """

        def change(rows: pa.Table) -> pa.Table:
            listed = [row | changed.get(tuple(row[name] for name in key), {}) for row in rows.to_pylist()]
            return pa.Table.from_pylist(listed, rows.schema)

        loads = sorted({values[0] for values in changed})
        if not loads:
            return 0
        where = _among("load_id", loads)
        return self._rewrite(spec, where, change)

    def forget_what_was(self, pending: list[str], note: Callable[[list[str]], None]) -> int:
        """Expire every snapshot but the current one, and delete what only those needed; returns files.

        :param pending: files that an earlier try was about to delete.
        :param note: keeps the list of files before they are past finding.
        """
        removed, others = 0, set(pending)
        for spec in TABLES.values():
            self.renew()
            table = load_table(self.catalog, spec)
            if table is None or table.current_snapshot() is None:
                continue
            before = cleaning.files_of_snapshots(table)
            _commit(spec, partial(forget_taken_out, table))
            root = absolute(self.settings.tables_uri)
            ours = (f"{root}/{spec.name}/", f"{root}/_iceberg/{spec.name}/")
            mine = {uri for uri in others if uri.startswith(ours)}
            stale = sorted(before | mine)
            others -= mine
            note(sorted({*stale, *others}))
            cleaning.expire_snapshots(table, before=datetime.now(UTC) + timedelta(days=1))
            steps.reached(f"expired {spec.name}")
            needed = cleaning.files_of_snapshots(table)
            for uri in [*(uri for uri in stale if uri not in needed), *self._unneeded(spec)]:
                self.storage.delete(uri)
                checksums.forget(self.storage.s3_client, self.settings, uri)
                removed += 1
            note(sorted(others))
            steps.reached(f"removed {spec.name}")
        return removed

    def _unneeded(self, spec: TableSpec) -> Iterator[str]:
        """Files that no snapshot names, as of an earlier compaction.

        Of data those of unfinished loads stay, and compactions are kept away; of metadata what a commit that
        is under way may have written before it names it.
        """
        now = datetime.now(UTC)
        for before, is_data in ((now + timedelta(days=1), True), (now - _SETTLED, False)):
            found = cleaning.unneeded_files(self.settings, spec, self.catalog, self.storage, before=before)
            yield from (uri for uri in found if uri.endswith(".parquet") is is_data)

    def _take_out(self, spec: TableSpec, where: BooleanExpression | None, places: Mask) -> int:
        before = [0]

        def change(rows: pa.Table) -> pa.Table:
            kept = [batch.filter(pc.invert(places(batch))) for batch in rows.to_batches()]
            found = pa.Table.from_batches(kept, rows.schema)
            before[0] += rows.num_rows - found.num_rows
            return found

        self._rewrite(spec, where, change, only=places)
        return before[0]

    def _rewrite(
        self,
        spec: TableSpec,
        where: BooleanExpression | None,
        change: Callable[[pa.Table], pa.Table],
        only: Mask | None = None,
    ) -> int:
        """Write files anew of which a change makes something else, and swap them in one snapshot."""
        table = load_table(self.catalog, spec)
        written: dict[str, str | None] = {}
        for file in self._files(table, where):
            assert table is not None  # noqa: S101 - it has named the file
            if only is None or _holds(table, spec, file, only):
                self.renew()
                written[file.file_path] = self._written(table, spec, file, change)
        changed = {old: new for old, new in written.items() if new != old}

        def attempt() -> None:
            assert table is not None  # noqa: S101 - there are files
            table.refresh()
            there = {file.file_path: file for file in self._files(table, None)}
            out = [there[old] for old in changed if old in there]
            into = sorted({new for old, new in changed.items() if new and old in there} - there.keys())
            if out:
                swap(table, out=out, into=into, properties={"maintenance": "erase"})

        if changed:
            _commit(spec, attempt)
        return len(changed)

    def _written(
        self, table: Table, spec: TableSpec, file: DataFile, change: Callable[[pa.Table], pa.Table]
    ) -> str | None:
        """Put what a change makes of a file beside it; its URI, None when no row is left.

        The same rows give the same name: what a killed erasure has put there is written over.
        """
        types = physical_schema(spec)
        digest = hashlib.sha256(f"{file.file_path}\n".encode())
        with spool(self.settings, "erase") as folder:
            stem = f"{load_named(file.file_path) or compaction.PREFIX.rstrip('-')}-new"
            with LoadWriter(folder, stem, max_file_rows=file.record_count + 1) as writer:
                is_same = True
                for batch in _read(table, file.file_path, types.names, types):
                    rows = pa.Table.from_batches([batch])
                    changed = change(rows)
                    is_same = is_same and changed.equals(rows)
                    writer.write(spec, changed)
                made = writer.finish()
            if is_same:
                return file.file_path
            if not made:
                return None
            digest.update(made[0].sha256.encode())
            place = made[0].relative_path.rpartition("/")[0]
            name = f"{stem.removesuffix('-new')}-{digest.hexdigest()[:12]}-0.parquet"
            uri = f"{absolute(self.settings.tables_uri)}/{place}/{name}"
            self.storage.put_file(made[0].path, uri)
            record = checksums.record_of(uri)
            checksums.record(self.storage.s3_client, self.settings, record, [(uri, made[0].sha256)])
        return uri

    @staticmethod
    def _files(table: Table | None, where: BooleanExpression | None) -> list[DataFile]:
        if table is None or table.current_snapshot() is None:
            return []
        return sorted((task.file for task in planned_files(table, where)), key=lambda file: file.file_path)


def _holds(table: Table, spec: TableSpec, file: DataFile, only: Mask) -> bool:
    names = [name for name in (*PLACE, "source_ref", "message", "raw") if name in spec.schema.names]
    types = pa.schema([physical_schema(spec).field(name) for name in names])
    return any(
        pc.any(only(batch), min_count=0).as_py() for batch in _read(table, file.file_path, names, types)
    )


def _at(rows: pa.Table) -> Mask:
    """Rows of these images, by load, manifest and line; those without a line by their key."""
    lined = rows.filter(pc.is_valid(rows.column("line_number")))
    places = {tuple(row) for row in zip(*(lined.column(name).to_pylist() for name in PLACE), strict=True)}
    refs = {(row["load_id"], row["source_ref"]) for row in rows.select(["load_id", "source_ref"]).to_pylist()}
    loads = pa.array(sorted({load for load, _ in refs}), pa.string())
    names = pa.array(sorted({ref for _, ref in refs}), pa.string())

    def mask(batch: pa.RecordBatch) -> pa.BooleanArray:
        likely = pc.and_(
            pc.is_in(batch.column("load_id").cast(pa.string()), value_set=loads),
            pc.is_in(batch.column("source_ref").cast(pa.string()), value_set=names),
        )
        found = [False] * batch.num_rows
        for index in pc.indices_nonzero(likely).to_pylist():
            row = {name: batch.column(name)[index].as_py() for name in (*PLACE, "source_ref")}
            is_there = tuple(row[name] for name in PLACE) in places
            found[index] = is_there or (
                row["line_number"] is None and (row["load_id"], row["source_ref"]) in refs
            )
        return pa.array(found, pa.bool_())

    return mask


def _anomalies(refs: set[str]) -> Mask:
    """Anomalies of these keys, or that quote a line about them."""
    names = pa.array(sorted(refs), pa.string())

    def mask(batch: pa.RecordBatch) -> pa.BooleanArray:
        found = pc.is_in(batch.column("source_ref").cast(pa.string()), value_set=names)
        quoted = [
            any(ref in text for ref in refs for text in (raw, message) if text)
            for raw, message in zip(batch["raw"].to_pylist(), batch["message"].to_pylist(), strict=True)
        ]
        return pc.or_(found, pa.array(quoted, pa.bool_()))

    return mask


def _read(table: Table, uri: str, names: Sequence[str], types: pa.Schema) -> Iterator[pa.RecordBatch]:
    with open_parquet(table, uri) as file:
        there = [name for name in names if name in file.schema_arrow.names]
        for batch in file.iter_batches(ROW_GROUP_ROWS, columns=there):
            yield in_types(batch, types)


def _where(wanted: Wanted) -> BooleanExpression | None:
    """By which files of `images` can be left out; None when any may hold a row."""
    if wanted.contents or not all(key.startswith(("s3://", "file://")) for key in wanted.keys):
        return None
    return _among("source_ref", wanted.keys)


def _among(column: str, values: Collection[str]) -> BooleanExpression | None:
    if not values:
        return None
    if len(values) <= _MOST_LITERALS:
        return cast(Any, In)(column, set(values))  # its annotations are those of the JSON form
    lower = cast(Any, GreaterThanOrEqual)(column, min(values))
    return And(lower, cast(Any, LessThanOrEqual)(column, max(values)))


def _commit(spec: TableSpec, attempt: Callable[[], None]) -> None:
    try:
        giving_way(attempt)
    except CommitFailedException as error:
        raise TablesUnavailableError(
            f"{spec.name}: gave way to publishes {ATTEMPTS} times; run again later, what was done stays done"
        ) from error
