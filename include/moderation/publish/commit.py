"""All rows of a run become visible at once, or none.

Files are written under names that nobody else uses, added to the data tables, and at the very end one row is
added to ``loads``: the commit point. Killed at any step, a publish is run again and ends with the same rows,
once; a publish that had already reached its end says so and does nothing.

Steps, each safe to repeat: build (local disk) → upload → add to the data tables → remove files of an earlier
attempt whose inputs differed → commit ``loads``. The commit is made against the ``loads`` that was read; when
another load came first and answers some of the same images, these are left out and the files built again.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table

from moderation import schema
from moderation.analyse.record import AnalysisRecord
from moderation.errors import ModerationError, NeedsAPersonError, TransientError, kin
from moderation.plan import ledger, store
from moderation.plan.plan import Plan
from moderation.plan.planner import mark_published
from moderation.publish import refusals
from moderation.publish.build import BuiltLoad, build_load, complete_records, load_row
from moderation.publish.strays import drop_strays, turn
from moderation.reference.library_errors import named
from moderation.settings import Settings
from moderation.storage import parquet, scratch
from moderation.storage.files import Storage, absolute, spool
from moderation.storage.lease import Lease, LeaseBusy, LeaseLost
from moderation.storage.memory import give_back_freed_memory
from moderation.storage.s3_objects import S3Error
from moderation.tables import checksums
from moderation.tables.catalog import ensure_tables, load_table, open_catalog
from moderation.tables.faults import TablesError
from moderation.tables.ledger.layout import COLUMNS
from moderation.tables.published import files_named, loads_in, row_of, scan
from moderation.tables.swap import giving_way
from moderation.tables.writer import DataFile

_log = logging.getLogger(__name__)

_ATTEMPTS = 20
"""How often a publish gives way to others that commit at the same time."""

_CLOCK_SKEW = dt.timedelta(minutes=10)
"""By how much the clocks of planning and publishing machines may differ."""


class PublishError(ModerationError):
    """A load could not be published; the message says at which step, why, and what is visible. A group."""


class PublishBlockedError(PublishError, NeedsAPersonError):
    """What is in the way goes away when a person removes it."""


class PublishInterruptedError(PublishError, TransientError):
    """What is in the way goes away by itself."""


class ReconciliationError(PublishError, NeedsAPersonError):
    """The answers do not fit what was asked; nothing was published. The message names the places."""


class ToleranceExceededError(PublishError, NeedsAPersonError):
    """More images than tolerated have no answer yet; nothing was published."""


@dataclass(frozen=True, kw_only=True)
class PublishedLoad:
    """A load that readers see.

    :param row: its row of ``loads``, `schema.LOADS`.
    :param repeated: it had been published before, by this run or an earlier attempt.
    :param files: table, URI, rows, bytes and SHA-256 of each file; empty when ``repeated``.
    """

    load_id: str
    row: dict[str, Any]
    repeated: bool
    files: tuple[tuple[str, str, int, int, str], ...] = ()


def publish(
    settings: Settings,
    plan: Plan | str,
    records: Sequence[AnalysisRecord],
    *,
    stop_on_mismatch: bool = False,
    accept_lost: bool = False,
    tolerated_failure_percentage: float = 100.0,
    spool_dir: Path | None = None,
) -> PublishedLoad:
    """Publish everything a plan's jobs answered, with every input accounted for.

    :param plan: the plan, or the URI of its ``plan.json``.
    :param records: one a manifest; a manifest without one counts as not started.
    :param stop_on_mismatch: refuse to publish when answers are not those to the question
        (`Anomaly.is_mismatch`), or answers of jobs that succeeded are lost, instead of recording it.
    :param accept_lost: with it, record lost answers all the same: their images are owed.
    :param tolerated_failure_percentage: refuse to publish when more of the images than that are still owed.
    :param spool_dir: where files are built before they are uploaded; the system's folder for temporary files
        by default, the tables' own disk when they are local.
    :raises PublishBlockedError: S3, the disk or the catalog refused; mend that, then run again as before.
    :raises PublishInterruptedError: they did not answer, or others were in the way; run again as before.
    :raises ReconciliationError: see ``stop_on_mismatch``.
    :raises ToleranceExceededError: see ``tolerated_failure_percentage``.
    """
    give_back_freed_memory()
    with Storage(settings) as storage:
        if isinstance(plan, str):
            plan = store.load_plan(plan, s3=storage.s3_client)
        with (
            _named_errors(plan.load_id),
            turn(storage, plan) as mine,
            open_catalog(settings) as catalog,
        ):
            publisher = _Publisher(
                settings,
                plan,
                complete_records(plan, records),
                storage,
                catalog,
                stop_on_mismatch,
                accept_lost,
                tolerated_failure_percentage,
                mine,
            )
            load = publisher.run(spool_dir)
            mark_published(plan, settings=settings)
            reached("marked")
            return load


def published_since(plan: Plan) -> dt.datetime:
    """Loads published from this time on may be unknown to the ledger that the plan was made with."""
    return dt.datetime.fromisoformat(plan.created_at) - _CLOCK_SKEW


def reached(step: str) -> None:
    """Called at the end of each step; the place where tests let a publish die."""
    _log.debug("publish: %s", step)


@dataclass
class _Publisher:
    settings: Settings
    plan: Plan
    records: tuple[AnalysisRecord, ...]
    storage: Storage
    catalog: Catalog
    stop_on_mismatch: bool
    accept_lost: bool
    tolerated: float
    turn: Lease
    digests: list[tuple[str, str]] = field(default_factory=list)

    def run(self, spool_dir: Path | None) -> PublishedLoad:
        name = self.plan.load_id
        with scratch.folder(spool_dir, name) if spool_dir else spool(self.settings, name) as folder:
            for attempt in range(_ATTEMPTS):
                base = loads_in(self.catalog)
                if found := row_of(base, self.plan.load_id):
                    return PublishedLoad(load_id=self.plan.load_id, row=found, repeated=True)
                own = folder / f"attempt-{attempt}"
                own.mkdir()
                load = self._attempt(base, own)
                if load is not None:
                    return load
                shutil.rmtree(own)
        raise PublishInterruptedError(
            f"load {self.plan.load_id} gave way to others {_ATTEMPTS} times; it is not published, run again"
        )

    def _attempt(self, loads: pa.Table, spool: Path) -> PublishedLoad | None:
        """Publish against the ``loads`` that was read; None when it has changed in a way that matters."""
        tables = ensure_tables(self.catalog, self.settings)
        # First: while a row of loads lies there, a reader of plain files counts on the rest.
        self._drop_strays(schema.LOADS, tables)
        inputs_path = spool / "inputs.parquet"
        self.storage.copy_to(self.plan.inputs_uri, inputs_path)
        store.check_inputs(self.plan, inputs_path)
        meanwhile = self._published_meanwhile(loads, inputs_path)
        built = build_load(
            self.settings,
            self.plan,
            self.records,
            storage=self.storage,
            inputs_path=inputs_path,
            spool=spool,
            meanwhile=meanwhile,
        )
        self._refuse_what_cannot_stand(built)
        built.raw.keep()
        reached("built")
        self._upload(built.files)
        self._add_files(tables, built)
        row = load_row(self.plan, built)
        self.digests = [(self._uri(file.relative_path), file.sha256) for file in built.files]

        def is_overtaken(loads: pa.Table) -> bool:
            if row_of(loads, self.plan.load_id):
                return True
            return _keys(self._published_meanwhile(loads, inputs_path)) != _keys(meanwhile)

        if not self._commit(tables[schema.LOADS.name], row, loads, spool, is_overtaken):
            return None
        reached("committed")
        files = tuple(
            (file.table, self._uri(file.relative_path), file.rows, file.bytes, file.sha256)
            for file in built.files
        )
        return PublishedLoad(load_id=self.plan.load_id, row=row, repeated=False, files=files)

    def _published_meanwhile(self, loads: pa.Table, inputs_path: Path) -> pa.Table | None:
        """Rows, about our inputs, of loads that the plan's ledger cannot have seen; None for a plan that
        repeats on purpose.
        """
        if self.plan.force:
            return None
        since = published_since(self.plan)
        later = loads.filter(pc.greater_equal(loads.column("published_at"), pa.scalar(since)))
        names, days = (set(later.column(name).to_pylist()) for name in ("load_id", "dt"))
        images = load_table(self.catalog, schema.IMAGES) if names else None
        # Without it, every file of all years would be read.
        where = f"dt >= '{min(days)}' and dt <= '{max(days)}'" if names else None
        theirs = scan(images, schema.IMAGES, COLUMNS, load_ids=names, where=where)
        return ledger.about_inputs(theirs, inputs_path)

    def _refuse_what_cannot_stand(self, built: BuiltLoad) -> None:
        if self.stop_on_mismatch and (why := refusals.of_mismatches(self.settings, self.plan, built)):
            raise ReconciliationError(why)
        lost = refusals.of_lost(self.settings, self.plan, built)
        if self.stop_on_mismatch and not self.accept_lost and lost:
            raise ReconciliationError(lost)
        if why := refusals.of_inputs(self.plan, built):
            raise ReconciliationError(why)
        if why := refusals.of_owed(self.settings, self.plan, built, tolerated=self.tolerated):
            raise ToleranceExceededError(why)

    def _upload(self, files: Sequence[DataFile]) -> None:
        for file in files:
            self.turn.keep()
            self.storage.put_file(file.path, self._uri(file.relative_path))
            reached(f"uploaded {file.table}")

    def _add_files(self, tables: dict[str, Table], built: BuiltLoad) -> None:
        for name, table in tables.items():
            if name == schema.LOADS.name:
                continue
            wanted = {self._uri(file.relative_path) for file in built.files if file.table == name}
            self.turn.keep()
            self._replace_files(table, wanted)
            reached(f"added {name}")
            self._drop_strays(schema.TABLES[name], tables)

    def _drop_strays(self, spec: schema.TableSpec, tables: dict[str, Table]) -> None:
        self.turn.keep()
        drop_strays(tables[spec.name], spec, self.plan, self.storage, self._uri(spec.name))

    def _replace_files(self, table: Table, wanted: set[str]) -> None:
        """Make ``wanted`` the load's only files in the table, in place of those of an attempt that differed.

        Once another attempt has committed the load, a compaction may have moved its rows into a file of
        another name; so ``loads`` is asked after the table, and the commit holds only for that table.
        """

        def attempt() -> None:
            table.refresh()
            if self._is_committed():
                return
            # All of them, even under the same names: with another price list or Parquet library an earlier
            # attempt had other bytes, and the table would tell their sizes and bounds.
            stale = files_named(table, self.plan.load_id, self.plan.dt)
            missing = sorted(wanted)
            if not stale and not missing:
                return
            properties = {"load_id": self.plan.load_id}
            with table.transaction() as transaction:
                if stale:
                    with transaction.update_snapshot(properties).overwrite() as snapshot:
                        for file in stale:
                            snapshot.delete_data_file(file)
                if missing:
                    transaction.add_files(missing, properties, check_duplicate_files=False)

        giving_way(attempt)

    def _is_committed(self) -> bool:
        load_id, loads = self.plan.load_id, schema.LOADS
        where = f"dt = '{self.plan.dt}' and load_id = '{load_id}'"
        found = scan(load_table(self.catalog, loads), loads, ["load_id"], load_ids={load_id}, where=where)
        return any(batch.num_rows for batch in found)

    def _commit(
        self,
        table: Table,
        row: dict[str, Any],
        loads: pa.Table,
        spool: Path,
        is_overtaken: Callable[[pa.Table], bool],
    ) -> bool:
        """Add the row of ``loads``; False when what has come since ``loads`` was read matters, or never ends.

        :param is_overtaken: whether the load has to be built again, now that ``loads`` is another.
        """
        seen = _ids(loads)

        def attempt() -> bool:
            nonlocal seen
            table.refresh()
            there = loads_in(self.catalog)
            if _ids(there) != seen and is_overtaken(there):
                return False
            seen = _ids(there)
            self._add_row(table, row, spool)
            return True

        try:
            return giving_way(attempt)
        except CommitFailedException:
            return False

    def _add_row(self, table: Table, row: dict[str, Any], spool: Path) -> None:
        """Add the row if the table still is as it was refreshed last.

        Each try has a file of its own: two processes that publish the same load never overwrite each other.

        :raises CommitFailedException: it is not; nothing was added.
        """
        row["published_at"] = dt.datetime.now(dt.UTC)
        path = spool / "load.parquet"
        content = pa.Table.from_pylist([row], schema.physical_schema(schema.LOADS))
        parquet.write_table(content, path, compression="zstd", store_schema=False)
        unique = uuid.uuid4().hex[:12]
        uri = self._uri(f"{schema.LOADS.name}/dt={self.plan.dt}/{self.plan.load_id}-{unique}.parquet")
        self.turn.renew()
        self.storage.put_file(path, uri)
        reached("uploaded loads")
        written = [*self.digests, (uri, checksums.of_file(path))]
        checksums.record(self.storage.s3_client, self.settings, self.plan.load_id, written)
        try:
            table.add_files([uri], {"load_id": self.plan.load_id}, check_duplicate_files=False)
        except CommitFailedException:
            self.storage.delete(uri)
            raise

    def _uri(self, relative_path: str) -> str:
        return f"{absolute(self.settings.tables_uri)}/{relative_path}"


def _keys(rows: pa.Table | None) -> list[str]:
    return sorted(ledger.keys(rows).drop_null().to_pylist()) if rows is not None else []


def _ids(loads: pa.Table) -> set[str]:
    return set(loads.column("load_id").to_pylist())


@contextmanager
def _named_errors(load_id: str) -> Iterator[None]:
    """Turn what disk, S3 and catalog raise into one error that says what it means for readers."""
    advice = "run again with the same plan: the load ends up published once. Readers see all of it or nothing"
    try:
        yield
    except (LeaseBusy, LeaseLost) as error:
        raise PublishInterruptedError(
            f"load {load_id}: another attempt publishes it: {error}; {advice}"
        ) from error
    except (S3Error, TablesError, OSError) as error:
        cause = named(error) or error
        raise kin(PublishError, like=cause)(f"load {load_id}: {cause}; {advice}") from error
    except pa.ArrowException as error:
        raise PublishBlockedError(f"load {load_id}: {type(error).__name__}: {error}; {advice}") from error
