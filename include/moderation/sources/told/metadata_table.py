"""The images that an S3 Metadata table tells of, which costs no listing and is at most an hour old."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from moderation.settings import Settings
from moderation.sources.base import SourceError
from moderation.sources.listing import BATCH_ROWS, OBJECTS, Tally, Whole, object_rows
from moderation.sources.positions import Position
from moderation.storage import roles, s3_objects
from moderation.variables.machine import MachineSettings
from moderation.variables.roles import S3_TABLES

PREFIX = "table:"

_TABLE_BUCKET = re.compile(r"arn:[a-z\d-]+:s3tables:(?P<region>[a-z\d-]+):\d{12}:bucket/[a-z0-9-]+")
_COLUMNS = (
    "bucket",
    "key",
    "version_id",
    "sequence_number",
    "is_delete_marker",
    "size",
    "last_modified_date",
    "e_tag",
)
_THERE = "'CREATE' AS record_type"
_LOST = (
    "the snapshot up to which it was read has expired, or is of another table: all of it is read, and the "
    "inventory beside it; what is moderated costs nothing"
)
_HELP = (
    "expected table:<catalog>/<namespace>.<table>; the catalog is the ARN of a table bucket, or one of "
    "pyiceberg's own configuration"
)
_CURRENT = """
WITH versions AS (
    SELECT bucket, key, version_id,
        arg_max({{'size': size, 'etag': e_tag, 'at': last_modified_date, 'marker': is_delete_marker,
                 'gone': {gone}}}, sequence_number) AS last,
        coalesce(max(sequence_number) FILTER ({made}), '') AS made
    FROM records GROUP BY bucket, key, version_id
), current AS (
    SELECT bucket, key, arg_max(last, made) FILTER (NOT last.gone AND {known}) AS last,
        bool_or(last.gone) AS lost
    FROM versions GROUP BY bucket, key
)
SELECT bucket, key, last.etag AS etag, last.size AS size, last.at AS last_modified,
    last IS NULL OR coalesce(last.marker, false) AS gone
FROM current WHERE last IS NOT NULL OR lost
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MetadataTable:
    """The objects in an inventory or journal table of S3 Metadata.

    Of a versioned bucket only the current versions count; what a journal says was deleted is left out.
    ``sequence_number`` orders the records of one key, and is used for nothing else. A journal tells of what
    changed since it was begun, an inventory of everything. Of a journal only the records are read that were
    appended since the position of the tally; where the snapshot of that has expired, all of it, and the
    inventory beside it. Schemas: S3 user guide, "S3 Metadata live
    inventory tables schema" and "S3 Metadata journal tables schema".

    :param uri: ``table:<catalog>/<namespace>.<table>``; the catalog is the ARN of a table bucket (that of
        AWS is ``aws-s3``), or the name of one in pyiceberg's configuration.
    """

    uri: str
    checks_headers: bool = False
    retry_refused: bool = False
    tells_changes: bool = True

    @classmethod
    def parse(cls, text: str) -> MetadataTable:
        """Check what a person wrote.

        :raises SourceError: it names no catalog and table.
        """
        catalog, _, table = text.removeprefix(PREFIX).rpartition("/")
        if not catalog or not re.fullmatch(r"[\w-]+(\.[\w-]+)+", table):
            raise SourceError(f"source {text!r}: {_HELP}")
        return cls(text)

    def batches(
        self, settings: Settings, s3: Any, tally: Tally, *, dry_run: bool
    ) -> Iterator[pa.RecordBatch]:
        """Read the table's newest snapshot, of a journal what has come since the tally's position.

        :raises SourceError: there is no such catalog or table, or it cannot be read, or has other columns.
        """
        with (
            self._opened(settings) as (catalog, table),
            tempfile.TemporaryDirectory(prefix="moderation-") as folder,
        ):
            journal = self._is_journal(table)
            since = tally.since if journal else None
            lost = since is not None and not _goes_on_from(table, since)
            if lost:
                log.warning("%s: %s", self.uri, _LOST)
                since = None
            query = _CURRENT.format(
                gone="record_type = 'DELETE' AND NOT coalesce(is_delete_marker, false)",
                made="record_type = 'CREATE' OR is_delete_marker",
                known="made <> ''" if since else "true",
            )
            limits: dict[str, Any] = {
                "temp_directory": folder,
                "memory_limit": MachineSettings.from_env().duckdb_memory,
            }
            try:
                with closing(duckdb.connect(config=limits)) as connection:
                    _register(connection, table, since, self._inventory(catalog) if lost else None)
                    told = _Told(journal)
                    for batch in connection.sql(query).to_arrow_reader(BATCH_ROWS):
                        yield object_rows(tally, _as_objects(told.there(batch)))
                    tally.whole = told.whole()
                    tally.reached = _newest(table) if journal else None
            except (OSError, pa.ArrowException, duckdb.Error) as error:
                raise SourceError(f"{self.uri} cannot be read: {error}") from error

    def _is_journal(self, table: Any) -> bool:
        names = set(table.schema().column_names)
        if missing := set(_COLUMNS) - names:
            raise SourceError(f"{self.uri} has no column {min(missing)}: it is no table of S3 Metadata")
        return "record_type" in names

    def _inventory(self, catalog: Any) -> Any:
        """The inventory table beside a journal; None where there is none."""
        name = self.uri.rpartition("/")[2].rpartition(".")[0] + ".inventory"
        if catalog.table_exists(name):
            return catalog.load_table(name)
        log.warning("%s has no %s beside it: what the journal tells is all that is read", self.uri, name)
        return None

    @contextmanager
    def _opened(self, settings: Settings) -> Iterator[tuple[Any, Any]]:
        from pyiceberg.catalog import load_catalog  # noqa: PLC0415 - Iceberg is slow to import

        catalog_name, _, name = self.uri.removeprefix(PREFIX).rpartition("/")
        with ExitStack() as stack:
            properties = stack.enter_context(_properties(catalog_name, settings))
            if properties is None:
                raise SourceError(
                    f"{self.uri}: pyiceberg's configuration has no catalog {catalog_name!r}; {_HELP}"
                )
            try:
                catalog = stack.enter_context(closing(load_catalog(catalog_name, **properties)))
                table = catalog.load_table(name)
            except Exception as error:  # Every catalog has errors of its own.
                told = f"{self.uri} cannot be read: {type(error).__name__}: {error}"
                raise SourceError(told) from error
            yield catalog, table


def _goes_on_from(table: Any, since: Position) -> bool:
    """Whether all that was appended since a position can still be told."""
    from pyiceberg.table.snapshots import (  # noqa: PLC0415 - Iceberg is slow to import
        Operation,
        ancestors_between_ids,
        is_parent_ancestor_of,
    )

    newest = table.current_snapshot()
    if newest is None or str(table.metadata.table_uuid) != since.table:
        return False
    if newest.snapshot_id == since.snapshot:
        return True
    if not is_parent_ancestor_of(newest.snapshot_id, since.snapshot, table.metadata):
        return False
    between = ancestors_between_ids(since.snapshot, newest.snapshot_id, table.metadata)
    # Records that expire are deleted, and files that are merged replaced: neither tells of anything new.
    return all(one.summary is None or one.summary.operation != Operation.OVERWRITE for one in between)


def _newest(table: Any) -> Position | None:
    snapshot = table.current_snapshot()
    return snapshot and Position(
        table=str(table.metadata.table_uuid),
        snapshot=snapshot.snapshot_id,
        sequence=snapshot.sequence_number or 0,
    )


def _register(connection: Any, table: Any, since: Position | None, inventory: Any) -> None:
    """Give DuckDB the view ``records``; every record of an inventory says that the object is there."""
    journal = "record_type" in table.schema().column_names
    wanted = (*_COLUMNS, "record_type") if journal else _COLUMNS
    if since is None:
        scan = table.scan(selected_fields=wanted)
    elif since == _newest(table):
        scan = table.scan(selected_fields=wanted, limit=0)
    else:
        scan = table.incremental_append_scan(
            from_snapshot_id_exclusive=since.snapshot, selected_fields=wanted
        )
    connection.register("told", scan.to_arrow_batch_reader())
    columns = ", ".join(_COLUMNS)
    views = [f"SELECT {columns}, {'record_type' if journal else _THERE} FROM told"]  # noqa: S608
    if inventory is not None:
        connection.register("shown", inventory.scan(selected_fields=_COLUMNS).to_arrow_batch_reader())
        views.append(f"SELECT {columns}, {_THERE} FROM shown")  # noqa: S608
    connection.execute(f"CREATE TEMP VIEW records AS {' UNION ALL '.join(views)}")


class _Told:
    """What a table tells of the objects of a bucket that are not there.

    :param journal: it tells of those alone that were deleted, and not of every object.
    """

    def __init__(self, journal: bool) -> None:
        self._journal = journal
        self._buckets: set[str] = set()
        self._deleted = [pa.array([], pa.string())]

    def there(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of what is there."""
        self._buckets.update(pc.unique(batch.column("bucket")).to_pylist())
        gone = batch.column("gone")
        if self._journal:
            out = batch.filter(gone)
            folders = pc.binary_join_element_wise("s3:/", out.column("bucket"), "/")
            self._deleted.append(
                pc.binary_join_element_wise(folders, out.column("key"), "/").cast(pa.string())
            )
        return batch.filter(pc.invert(gone))

    def whole(self) -> Whole | None:
        """What it tells all of; tables of S3 Metadata are of one bucket."""
        if len(self._buckets) != 1:
            return None
        deleted = pa.concat_arrays(self._deleted) if self._journal else None
        return Whole(f"s3://{next(iter(self._buckets))}/", is_now=False, deleted=deleted)


@contextmanager
def _properties(catalog: str, settings: Settings) -> Iterator[Mapping[str, Any] | None]:
    """How a catalog is reached; None when it is unknown.

    The Iceberg endpoint of S3 Tables, and the files behind it, are used with the role of ``s3tables`` in
    ``MODERATION_ROLES``, else with the process's own credentials; both are renewed while the block lasts.
    What pyiceberg's own configuration says of another catalog stands as it is.
    """
    from pyiceberg.catalog import BOTOCORE_SESSION  # noqa: PLC0415 - as above
    from pyiceberg.utils.config import Config  # noqa: PLC0415 - as above

    from moderation.tables import renewed_io  # noqa: PLC0415 - as above
    from moderation.tables.catalog import s3_properties  # noqa: PLC0415 - as above

    found = _TABLE_BUCKET.fullmatch(catalog)
    if not found:
        yield Config().get_catalog_config(catalog)
        return
    session, region = s3_objects.session(), found["region"]
    role = roles.by_place(region, session).get(S3_TABLES)
    with (
        renewed_io.properties(role or session.get_credentials()) as keys,
        # boto3 knows the endpoint: of the region's partition, or what AWS_ENDPOINT_URL_S3TABLES says.
        closing(session.client("s3tables", region_name=region)) as client,
    ):
        yield {
            "type": "rest",
            "uri": f"{client.meta.endpoint_url}/iceberg",
            "warehouse": catalog,
            "rest.sigv4-enabled": "true",
            "rest.signing-name": "s3tables",
            "rest.signing-region": region,
            **s3_properties(settings),
            "s3.region": region,
            **keys,
            **({BOTOCORE_SESSION: roles.session_of(role)} if role else {}),
        }


def _as_objects(batch: pa.RecordBatch) -> pa.RecordBatch:
    etags = pc.utf8_trim(batch.column("etag"), '"')
    times = pc.cast(batch.column("last_modified"), pa.timestamp("us"))
    columns = [
        batch.column("bucket"),
        batch.column("key"),
        pc.if_else(pc.equal(etags, ""), pa.scalar(None, pa.string()), etags),
        batch.column("size"),
        pc.assume_timezone(times, "UTC"),
    ]
    columns = [pc.cast(column, field.type) for column, field in zip(columns, OBJECTS, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=OBJECTS)
