"""The Iceberg tables: opened, and made or widened from `moderation.schema` when needed.

The catalog is a database of its own (SQLite by default) or AWS Glue. Iceberg's metadata lies in ``_iceberg``
below the tables' root, a name that Hive-style readers skip, so that the Parquet folders stay plain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa
from botocore.credentials import Credentials
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
)
from pyiceberg.catalog import BOTOCORE_SESSION, Catalog, load_catalog
from pyiceberg.catalog.sql import IcebergNamespaceProperties, IcebergTables, SqlCatalog
from pyiceberg.exceptions import NoSuchTableError, NotInstalledError, TableAlreadyExistsError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from moderation.schema import TABLES, TableSpec
from moderation.settings import Settings
from moderation.storage import files, roles, s3_objects
from moderation.tables import renewed_io
from moderation.tables.faults import TablesDamagedError, catalog_faults, metadata_faults, missing_driver
from moderation.variables.machine import MachineSettings
from moderation.variables.roles import GLUE

NAMESPACE = "moderation"

_BUSY_SECONDS = 60
"""How long SQLite waits for another writer of the catalog."""

_CATALOG_TABLES = (IcebergTables, IcebergNamespaceProperties)

_TYPES: dict[pa.DataType, IcebergType] = {
    pa.string(): StringType(),
    pa.int32(): IntegerType(),
    pa.int64(): LongType(),
    pa.float64(): DoubleType(),
    pa.bool_(): BooleanType(),
    pa.date32(): DateType(),
    pa.timestamp("us", tz="UTC"): TimestamptzType(),
}

_PROPERTIES = {
    "format-version": "2",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
    "write.metadata.metrics.column.load_id": "full",
    "write.metadata.metrics.column.content_type": "full",
    # A commit that meets another one is looked at again by `publish.commit`, never just repeated: the
    # other one may have been another attempt at the same load.
    "commit.retry.num-retries": "0",
}


@contextmanager
def open_catalog(settings: Settings) -> Iterator[Catalog]:
    """The catalog of the settings; its connections are closed at the end of the block.

    :raises TablesError: it cannot be opened, or what the block asks of it fails.
    """
    own = s3_objects.session()
    held = roles.by_place(settings.region, own)
    with (
        renewed_io.properties(own.get_credentials(), held) as keys,
        catalog_faults(settings.catalog_uri),
    ):
        try:
            told = {**_properties(settings), **_glue_session(settings, held), **s3_properties(settings)}
            catalog = load_catalog(NAMESPACE, **told, **keys)
        except (ModuleNotFoundError, NotInstalledError) as error:
            raise missing_driver(settings.catalog_uri, error) from error
        try:
            if isinstance(catalog, SqlCatalog):
                _create_catalog_tables(catalog)
            if settings.catalog_uri == "glue":
                _send_commits_once(catalog)
            yield catalog
        finally:
            catalog.close()


def _properties(settings: Settings) -> dict[str, Any]:
    properties: dict[str, Any] = {"warehouse": files.absolute(settings.tables_uri)}
    if settings.catalog_uri == "glue":
        properties |= {"type": "glue", "glue.region": settings.region}
        if endpoint := MachineSettings.from_env().glue_endpoint:
            properties["glue.endpoint"] = endpoint
    else:
        uri = _database_uri(settings.catalog_uri)
        properties |= {"type": "sql", "uri": uri, "init_catalog_tables": "false"}
    return properties


def _glue_session(settings: Settings, held: Mapping[str, Credentials]) -> dict[str, Any]:
    """The session of a Glue catalog that is used with a role of its own."""
    if settings.catalog_uri != "glue" or GLUE not in held:
        return {}
    return {BOTOCORE_SESSION: roles.session_of(held[GLUE])}


def load_table(catalog: Catalog, table: TableSpec) -> Table | None:
    """The table as it is now; None when nothing was ever published.

    :raises TablesError: its metadata cannot be read.
    """
    try:
        with metadata_faults(catalog, table.name):
            return catalog.load_table((NAMESPACE, table.name))
    except NoSuchTableError:
        return None


def ensure_table(catalog: Catalog, table: TableSpec, settings: Settings) -> Table:
    """The table, made when missing, with columns added that a later release of `schema` brought."""
    found = load_table(catalog, table) or _create(catalog, table, settings)
    known = {entry.name for entry in found.schema().fields}
    if any(name not in known for name in table.schema.names):
        with found.update_schema() as update:
            for entry in iceberg_schema(table).fields:
                if entry.name not in known:
                    update.add_column(entry.name, entry.field_type, doc=entry.doc)
    return found


def unknown_columns(found: Table, table: TableSpec) -> list[str]:
    """Columns that a later release has added: whoever writes rows again without knowing them loses them."""
    return [entry.name for entry in found.schema().fields if entry.name not in table.schema.names]


def iceberg_schema(table: TableSpec) -> Schema:
    """The columns as Iceberg sees them: the same names, order and documentation."""
    return Schema(
        *(
            NestedField(
                field_id=number,
                name=entry.name,
                field_type=_TYPES[entry.type],
                required=not entry.nullable,
                doc=(entry.metadata or {}).get(b"doc", b"").decode(),
            )
            for number, entry in enumerate(table.schema, start=1)
        )
    )


def _create(catalog: Catalog, table: TableSpec, settings: Settings) -> Table:
    schema = iceberg_schema(table)
    partitions = PartitionSpec(
        *(
            PartitionField(
                source_id=schema.find_field(name).field_id,
                field_id=1000 + number,
                transform=IdentityTransform(),
                name=name,
            )
            for number, name in enumerate(table.partition_by)
        )
    )
    properties = {
        **_PROPERTIES,
        "comment": table.doc,
        "schema.name-mapping.default": schema.name_mapping.model_dump_json(),
    }
    root = files.absolute(settings.tables_uri)
    with suppress(IntegrityError):  # another process was first, here and below
        catalog.create_namespace_if_not_exists(NAMESPACE)
    try:
        return catalog.create_table(
            (NAMESPACE, table.name),
            schema=schema,
            location=f"{root}/_iceberg/{table.name}",
            partition_spec=partitions,
            properties=properties,
        )
    except (TableAlreadyExistsError, IntegrityError):
        return catalog.load_table((NAMESPACE, table.name))


def ensure_tables(catalog: Catalog, settings: Settings) -> dict[str, Table]:
    """Every table by name."""
    return {table.name: ensure_table(catalog, table, settings) for table in TABLES.values()}


def _create_catalog_tables(catalog: SqlCatalog) -> None:
    """The catalog's own tables, made when missing; other processes may be making them right now.

    pyiceberg would do it while it opens the catalog, and leave a connection open when it is overtaken.
    """
    for _ in _CATALOG_TABLES:  # each time we are overtaken, one more of them is there
        try:
            catalog.create_tables()
            return
        except (OperationalError, ProgrammingError) as error:
            if "already exists" not in str(error):
                raise
    catalog.create_tables()


_NEVER_ARRIVED = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)


def _send_commits_once(catalog: Any) -> None:
    """Never repeat a commit to Glue whose answer was lost.

    boto3 would, and Glue refuses the repetition of one that landed as a conflict. pyiceberg takes a conflict
    for proof that nothing landed and removes the commit's files, which the table names by then: nobody could
    read it any more. What was throttled or never arrived is still repeated.
    """
    catalog.glue.meta.events.register_first("needs-retry.glue.UpdateTable", _raise_unless_harmless)


def _raise_unless_harmless(response: Any, caught_exception: Exception | None, **_: Any) -> None:
    if caught_exception is not None and not isinstance(caught_exception, _NEVER_ARRIVED):
        raise caught_exception
    if response is not None and response[0].status_code >= 500:
        raise ClientError(response[1], "UpdateTable")


def _database_uri(uri: str) -> str:
    url = make_url(uri)
    if url.get_backend_name() != "sqlite":
        return uri
    if url.database and url.database != ":memory:":
        folder = files.local_path(url.database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TablesDamagedError(
                f"{folder} cannot be made: {error.strerror}; set MODERATION_CATALOG_URI to a file in another"
            ) from error
    return url.update_query_dict({"timeout": str(_BUSY_SECONDS)}).render_as_string(hide_password=False)


def s3_properties(settings: Settings) -> dict[str, Any]:
    """What Arrow's S3 client needs to reach the same place as boto3."""
    properties = {"s3.region": settings.region, "s3.connect-timeout": "10", "s3.request-timeout": "60"}
    if endpoint := MachineSettings.from_env().s3_endpoint:
        properties["s3.endpoint"] = endpoint
    return properties
