"""Every table of loads anew from what the runs left under ``work_uri``: plans, inputs, records, raw answers.

Loads are built aside in the order of their publishes and compared with their row of ``loads``; only when all
of them agree is anything switched, each table in one snapshot, `loads` last. Until then, and in between, a
reader finds the rows it found before. Equal answers give equal files, name and bytes, as long as
`schema.FORMAT_VERSION` and the Parquet library stay the same. What a manifest cost stays what it was: the
table `jobs` tells, and the price list where that is lost. What people decided comes from its own files.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile

from moderation import schema
from moderation.analyse.record import AnalysisRecord, read_record
from moderation.errors import NeedsAPersonError
from moderation.maintenance import compaction, standing
from moderation.maintenance.place import prove_fit
from moderation.plan import ledger, store
from moderation.plan.plan import Plan
from moderation.publish.build import build_load, complete_records, load_row
from moderation.publish.commit import published_since
from moderation.schema import JOBS, LOADS, TABLES, TableSpec, physical_schema
from moderation.settings import Settings
from moderation.storage import parquet, s3_objects
from moderation.storage.files import Storage, absolute, is_s3, local_path, spool
from moderation.storage.memory import give_back_freed_memory
from moderation.storage.state import read_state
from moderation.tables import checksums
from moderation.tables.catalog import ensure_table, load_table, open_catalog, unknown_columns
from moderation.tables.faults import TablesError, TablesUnavailableError
from moderation.tables.ledger import layout, upkeep
from moderation.tables.published import load_named, loads_in, scan
from moderation.tables.source_ref_ranges import batches_between
from moderation.tables.swap import ATTEMPTS, data_files, giving_way, swap
from moderation.tables.writer import DataFile as BuiltFile

_COUNTS = (
    *("images", "moderated", "failed", "not_attempted", "superseded"),
    *("labels_l1", "labels_l2", "labels_l3", "anomalies", "manifests", "billed", "copies", "contents"),
)
_CENT_OF_A_CENT = 1e-4

_log = logging.getLogger(__name__)


class RebuildError(NeedsAPersonError):
    """The tables cannot be rebuilt as they were; nothing was switched. The message names load and remedy."""


@dataclass(frozen=True, kw_only=True)
class RebuiltLoad:
    """One load, built again.

    :param rows: of all its tables but `loads`.
    :param files: their files.
    :param is_proven: there was a row of `loads` to compare with, and every count agrees.
    :param is_same_digest: the digest agrees too: plan, job records and format are those of the publish.
    """

    load_id: str
    rows: int
    files: int
    is_proven: bool
    is_same_digest: bool


def rebuild(settings: Settings, *, into: Settings | None = None) -> list[RebuiltLoad]:
    """Build all published loads again and switch the tables to them.

    A load is published if it is in `loads`, or if its plan says so: so that a lost catalog can be made anew.

    :param into: settings of other tables and another catalog; None to rebuild in place.
    :raises RebuildError: something is missing, damaged, or gives other rows than were published.
    :raises place.ForeignPlaceError: the other tables would lie among files of others.
    :raises TablesError: catalog or files cannot be read, or publishes were in the way all the time.
    :raises lease.LeaseBusy: a compaction or another rebuild is under way.
    """
    give_back_freed_memory()
    target = into or settings
    if into:
        prove_fit(into, beside=settings)
    with (
        compaction.maintenance(target, "rebuild") as renew,
        Storage(target) as files,
        open_catalog(settings) as source,
        open_catalog(target) as catalog,
    ):
        done = _Rebuild(settings, target, source, catalog, files, renew).run()
    upkeep.forget(target)
    standing.bring_back(settings, into=into)  # no answer tells what people decided
    return done


def reached(step: str) -> None:
    """Called at the end of each step; the place where tests let a rebuild die."""
    _log.debug("rebuild: %s", step)


@dataclass(frozen=True)
class _Load:
    plan: Plan
    published_at: datetime
    row: dict[str, Any] | None


@dataclass
class _Rebuild:
    settings: Settings
    target: Settings
    source: Catalog
    catalog: Catalog
    storage: Storage
    renew: Callable[[], None]
    rows: list[dict[str, Any]] = field(default_factory=list)
    images: dict[str, list[str]] = field(default_factory=dict)
    wanted: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in TABLES})

    def run(self) -> list[RebuiltLoad]:
        present = {name: self._present(table) for name, table in TABLES.items()}
        loads = self._loads()
        done = [self._build(load, present) for load in loads]
        reached("built")
        for name, spec in TABLES.items():
            if spec is not LOADS:
                self.renew()
                self._switch(spec, {load.load_id for load in done})
                reached(f"switched {name}")
        self._write_loads()
        reached("switched loads")
        return done

    def _present(self, spec: TableSpec) -> set[str]:
        table = ensure_table(self.catalog, spec, self.target)
        if columns := unknown_columns(table, spec):
            raise RebuildError(
                f"{spec.name} has columns of a later release ({', '.join(columns)}), which this one would "
                "leave out; rebuild with that release"
            )
        return {file.file_path for file in data_files(table)}

    def _loads(self) -> list[_Load]:
        """Published loads, oldest first."""
        known = {row["load_id"]: row for row in loads_in(self.source).to_pylist()}
        found = []
        client = self.storage.s3_client
        for plan in store.iter_plans(self.settings, s3=client):
            row = known.pop(plan.load_id, None)
            at = row["published_at"] if row else _marked_at(plan, client)
            if at is not None and (row or not plan.is_empty):
                found.append(_Load(plan, at, row))
        if known:
            raise RebuildError(
                f"there is no plan of load {min(known)} ({len(known):,} such loads) under "
                f"{self.settings.work_uri}; bring its folder back, for its rows cannot be made without"
            )
        return sorted(found, key=lambda load: (load.published_at, load.plan.load_id))

    def _build(self, load: _Load, present: dict[str, set[str]]) -> RebuiltLoad:
        self.renew()
        plan = load.plan
        with spool(self.target, plan.load_id) as folder:
            inputs = folder / "inputs.parquet"
            self.storage.copy_to(plan.inputs_uri, inputs)
            with inputs.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != plan.inputs_sha256:
                    raise RebuildError(f"{plan.inputs_uri} was changed after it was planned; bring it back")
            parts = folder / "parts"
            parts.mkdir()
            built = build_load(
                self.settings,
                plan,
                complete_records(plan, list(self._records(plan))),
                storage=self.storage,
                inputs_path=inputs,
                spool=parts,
                meanwhile=self._meanwhile(plan, inputs),
                costs=self._costs(load),
            )
            row = load_row(plan, built) | {"published_at": load.published_at}
            _prove(row, load.row)
            built.raw.keep()
            placed = [(self._place(file, present[file.table]), file.sha256) for file in built.files]
            checksums.record(self.storage.s3_client, self.target, plan.load_id, placed)
        self.rows.append(row)
        reached(f"placed {plan.load_id}")
        return RebuiltLoad(
            load_id=plan.load_id,
            rows=sum(file.rows for file in built.files),
            files=len(built.files),
            is_proven=load.row is not None,
            is_same_digest=load.row is not None and load.row["digest"] == row["digest"],
        )

    def _records(self, plan: Plan) -> Iterator[AnalysisRecord]:
        for manifest in plan.manifests:
            record = read_record(self.storage.s3_client, plan.analysis_record_uri(manifest.manifest_id))
            if record:  # without one the manifest was not started, and the counts tell
                yield record

    def _costs(self, load: _Load) -> dict[str, float]:
        """What the load's manifests cost when it was published; nothing when nobody knows any more."""
        if load.row is None:
            return {}
        columns, where = ["manifest_id", "cost_usd"], f"dt = '{load.plan.dt}'"
        try:
            jobs = load_table(self.source, JOBS)
            found = list(scan(jobs, JOBS, columns, load_ids={load.plan.load_id}, where=where))
        except TablesError as error:
            _log.warning("load %s goes by the price list of today: %s", load.plan.load_id, error)
            return {}
        return {row["manifest_id"]: row["cost_usd"] for batch in found for row in batch.to_pylist()}

    def _meanwhile(self, plan: Plan, inputs: Path) -> pa.Table | None:
        """What `publish` found published since the plan was made, from the files built here."""
        if plan.force:
            return None
        since = published_since(plan)
        earlier = [
            uri
            for row in self.rows
            if row["published_at"] >= since
            for uri in self.images.get(row["load_id"], [])
        ]
        return ledger.about_inputs(self._rows_of(earlier, inputs.with_name("earlier.parquet")), inputs)

    def _rows_of(self, uris: Sequence[str], copy: Path) -> Iterator[pa.RecordBatch]:
        for uri in uris:
            self.storage.copy_to(uri, copy)
            with parquet.open_file(copy) as file:
                yield from batches_between(file, layout.COLUMNS, None)
            copy.unlink()

    def _place(self, file: BuiltFile, present: set[str]) -> str:
        """Put the file where the table will find it; one that readers may be reading is never overwritten."""
        uri = f"{absolute(self.target.tables_uri)}/{file.relative_path}"
        if uri in present and self._digest(uri) != file.sha256:
            stem, _, number = uri.rpartition("-")
            uri = f"{stem}-{file.sha256[:8]}-{number}"
        if uri not in present:
            self.storage.put_file(file.path, uri)
        self.wanted[file.table].append(uri)
        if file.table == schema.IMAGES.name:
            self.images.setdefault(load_named(uri) or "", []).append(uri)
        return uri

    def _digest(self, uri: str) -> str | None:
        """The file's SHA-256; None when it cannot be read."""
        digest = hashlib.sha256()
        try:
            with self.storage.open(uri) as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
        except (OSError, s3_objects.S3Error):
            return None
        return digest.hexdigest()

    def _record(self, uri: str, digest: str | None) -> None:
        name = checksums.record_of(uri)
        checksums.record(self.storage.s3_client, self.target, name, [(uri, digest)] if digest else [])

    def _switch(self, spec: TableSpec, load_ids: set[str]) -> None:
        """Make the built files the only ones of these loads, in one snapshot."""
        wanted = set(self.wanted[spec.name])

        def attempt() -> None:
            table = ensure_table(self.catalog, spec, self.target)
            files = data_files(table)
            # A compacted file holds rows of published loads, all of which are built; the lock keeps
            # compactions away that would add others meanwhile.
            stale = [
                file
                for file in files
                if file.file_path not in wanted
                and (load_named(file.file_path) in load_ids or _is_compacted(file))
            ]
            missing = sorted(wanted - {file.file_path for file in files})
            if stale or missing:
                swap(table, out=stale, into=missing, properties={"maintenance": "rebuild"})

        _commit(spec, attempt)

    def _write_loads(self) -> None:
        """Put the rows into `loads`; rows of loads published meanwhile stay."""
        mine = {row["load_id"]: row for row in self.rows}

        def attempt() -> None:
            table = ensure_table(self.catalog, LOADS, self.target)
            files = data_files(table)
            there = loads_in(self.catalog).to_pylist()
            if all(_without_time(row) in map(_without_time, there) for row in self.rows):
                for file in files:  # what they say has just been proven; an earlier release recorded nothing
                    self._record(file.file_path, self._digest(file.file_path))
                return
            rows = [row for row in there if row["load_id"] not in mine] + self.rows
            with spool(self.target, "loads") as folder:
                uris = [
                    self._put_loads(folder, day, [row for row in rows if row["dt"] == day])
                    for day in sorted({row["dt"] for row in rows})
                ]
            out = [file for file in files if file.file_path not in uris]
            into = sorted(set(uris) - {file.file_path for file in files})
            # Against the table as it was listed above: a load that came meanwhile makes this fail.
            swap(table, out=out, into=into, properties={"maintenance": "rebuild"})

        _commit(LOADS, attempt)

    def _put_loads(self, folder: Path, day: date, rows: Sequence[dict[str, Any]]) -> str:
        ordered = sorted(rows, key=lambda row: (row["published_at"], row["load_id"]))
        path = folder / f"{day}.parquet"
        content = pa.Table.from_pylist(ordered, physical_schema(LOADS))
        parquet.write_table(content, path, compression="zstd", store_schema=False)
        digest = checksums.of_file(path)
        name = f"{LOADS.name}/dt={day}/{compaction.PREFIX}{digest[:12]}-0.parquet"
        uri = f"{absolute(self.target.tables_uri)}/{name}"
        self.storage.put_file(path, uri)
        self._record(uri, digest)
        return uri


def _commit(spec: TableSpec, attempt: Callable[[], None]) -> None:
    try:
        giving_way(attempt)
    except CommitFailedException as error:
        raise TablesUnavailableError(
            f"{spec.name}: gave way to publishes {ATTEMPTS} times; run again later"
        ) from error


def _prove(row: dict[str, Any], published: dict[str, Any] | None) -> None:
    if published is None:
        return
    other = [
        f"{name} {row[name]:,} instead of {published[name]:,}"
        for name in _COUNTS
        if row[name] != published[name] and published[name] is not None
    ]
    if other:
        raise RebuildError(
            f"load {row['load_id']}: the kept answers give {', '.join(other)}; nothing is switched. Look "
            "whether result files or job records of its plan were changed or deleted since it was published"
        )
    if abs(row["cost_usd"] - published["cost_usd"]) > _CENT_OF_A_CENT:
        raise RebuildError(
            f"load {row['load_id']}: the price list makes it {row['cost_usd']:.4f} USD instead of "
            f"{published['cost_usd']:.4f}, and the table jobs does not tell; nothing is switched. Set "
            "MODERATION_PRICE_TIERS and MODERATION_ADAPTER_PRICE_TIERS as they were then"
        )


def _marked_at(plan: Plan, client: Any) -> datetime | None:
    """When the plan was marked as published; None when it was not."""
    return read_state(
        client,
        f"{plan.folder_uri}/published.json",
        parse=lambda marker: datetime.fromisoformat(marker["at"]).astimezone(UTC),
        error=RebuildError,
        remedy="delete it, then publish the plan again",
    )


def _is_compacted(file: DataFile) -> bool:
    return f"/{compaction.PREFIX}" in file.file_path


def _without_time(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "published_at"}


def other_tables(settings: Settings, tables_uri: str, catalog_uri: str | None) -> Settings:
    """The settings with other tables, and a catalog of their own.

    :param catalog_uri: by default a SQLite file, in the tables' folder when that is local and else beside
        the catalog of the settings.
    :raises RebuildError: the tables are the same, or no place for the catalog is known.
    """
    if absolute(tables_uri) == absolute(settings.tables_uri):
        raise RebuildError(f"--into {tables_uri} is where the tables are; leave it out to rebuild in place")
    if catalog_uri is None:
        if not is_s3(tables_uri):
            catalog_uri = f"sqlite:///{local_path(tables_uri) / '_iceberg' / 'catalog.db'}"
        elif settings.catalog_uri.startswith("sqlite:///"):
            digest = hashlib.sha256(tables_uri.encode()).hexdigest()[:8]
            catalog_uri = f"{settings.catalog_uri.removesuffix('.db')}-{digest}.db"
        else:
            raise RebuildError("name a catalog for the other tables: --catalog sqlite:////data/rebuilt.db")
    if catalog_uri == settings.catalog_uri:
        raise RebuildError(f"--catalog {catalog_uri} is the one in use; other tables need another")
    return replace(settings, tables_uri=tables_uri.rstrip("/"), catalog_uri=catalog_uri)
