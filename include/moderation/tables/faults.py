"""What can be wrong with catalog, metadata and files of the tables, each as one error with its remedy.

pyiceberg, SQLAlchemy, Arrow and boto3 raise dozens of classes for the same few faults. Here they end: whoever
opens the catalog or reads through it meets :class:`TablesError` alone.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import BotoCoreError, ClientError
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.expressions import AlwaysTrue, BooleanExpression, parser
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask, Table
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError, SQLAlchemyError

from moderation.errors import ModerationError, NeedsAPersonError, TransientError, kin
from moderation.reference.library_errors import is_disk_full, named
from moderation.schema import LOADS
from moderation.settings import Settings
from moderation.storage import parquet
from moderation.tables.standing import GONE, STANDING, VERDICTS

_READING = threading.Lock()


class TablesError(ModerationError):
    """The tables cannot be read or written; the text names file and remedy. A group."""


class TablesDamagedError(TablesError, NeedsAPersonError):
    """Catalog, metadata or a file is missing, damaged, forbidden, or cannot be written to."""


class TablesUnavailableError(TablesError, TransientError):
    """The catalog or the files' place does not answer, or others write to it."""


# What a database says in an error of its own operation that no second try can mend.
_FOR_A_PERSON = re.compile(
    r"unable to open|readonly|read-only|is full|authentication|pg_hba|does not exist|permission denied|"
    r"could not translate host name|No such file",
    re.IGNORECASE,
)

# What SQLite says of a catalog whose tables are not a catalog's: an error of its operation, unlike elsewhere.
_OF_OTHER_MAKE = re.compile(r"no such (table|column)|has no column")

# What Arrow says of S3 when it was asked by somebody who may not, or who no longer is who they were.
_FORBIDDEN = re.compile(
    r"AWS Error (ACCESS_DENIED|INVALID_ACCESS_KEY_ID|INVALID_CLIENT_TOKEN_ID|SIGNATURE_DOES_NOT_MATCH|"
    r"INVALID_SIGNATURE|UNRECOGNIZED_CLIENT|REQUEST_EXPIRED|EXPIRED_TOKEN|MISSING_AUTHENTICATION_TOKEN)"
    r"|HTTP status 403"
)


@contextmanager
def catalog_faults(uri: str) -> Iterator[None]:
    """Name what the catalog's database, or Glue, raises inside the block.

    :param uri: of the settings; its password gets into no message.
    """
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        text = _first_line(error.orig or error)
        if _FOR_A_PERSON.search(text):
            raise TablesDamagedError(f"{_place(uri)} cannot be used: {text}; {_CHECK}") from error
        if _OF_OTHER_MAKE.search(text):
            raise _damaged(uri, text) from error
        raise TablesUnavailableError(f"{_place(uri)} does not answer: {text}; run again later") from error
    except ArgumentError as error:
        raise TablesDamagedError(
            f"{_place(uri)}: {_first_line(error)}; set MODERATION_CATALOG_URI to a database URI such as "
            "sqlite:////data/catalog.db"
        ) from error
    except SQLAlchemyError as error:
        text = _first_line(getattr(error, "orig", None) or error)
        raise _damaged(uri, text) from error
    except (BotoCoreError, ClientError) as error:
        raise kin(TablesError, like=named(error) or error)(f"{_place(uri)}: {named(error)}") from error
    except CommitFailedException as error:
        raise TablesUnavailableError(
            f"others wrote to the tables at the same time: {error}; run again"
        ) from error


def _damaged(uri: str, text: str) -> TablesDamagedError:
    return TablesDamagedError(
        f"{_place(uri)} is damaged: {text}; if MODERATION_CATALOG_URI is right, {_made_anew(uri)}"
    )


def missing_driver(uri: str, error: Exception) -> TablesDamagedError:
    """The error of a database whose Python package is not installed.

    :param error: pyiceberg's own tells only of its extras, its cause which package it is.
    """
    return TablesDamagedError(
        f"{_place(uri)} needs a package that is not installed: {error.__cause__ or error}"
    )


@contextmanager
def metadata_faults(catalog: Catalog, table: str) -> Iterator[None]:
    """Name what reading a table's Iceberg metadata raises inside the block."""
    try:
        yield
    except (ModerationError, SQLAlchemyError, BotoCoreError, ClientError, NoSuchTableError, MemoryError):
        raise
    except Exception as error:  # damaged JSON and Avro raise whatever their readers stumble over
        anew = _made_anew(catalog.properties.get("uri", "glue"))
        raise _fault(error, f"Iceberg's metadata of {table}", anew) from error


def row_filter(where: str | BooleanExpression | None) -> BooleanExpression:
    """What pyiceberg leaves rows out by; a text is read by one thread at a time.

    pyiceberg's grammar is finished while it reads the first text: another thread that reads one meanwhile is
    told that a filter without a fault has one.
    """
    if not isinstance(where, str):
        return where or AlwaysTrue()
    with _READING:
        return parser.parse(where)


def planned_files(
    table: Table, where: str | BooleanExpression | None = None, columns: tuple[str, ...] = ("*",)
) -> list[FileScanTask]:
    """The files of the table's snapshot that may hold such rows.

    :param where: an Iceberg row filter.
    :raises TablesError: the metadata that lists them cannot be read.
    """
    scan = table.scan(row_filter=row_filter(where), selected_fields=columns)
    with metadata_faults(table.catalog, table.name()[-1]):
        return list(scan.plan_files())


@contextmanager
def open_parquet(
    table: Table, uri: str, *, pre_buffer: bool = False, as_of: DataFile | None = None
) -> Iterator[pq.ParquetFile]:
    """A published file, to be read inside the block.

    :param pre_buffer: see :class:`pyarrow.parquet.ParquetFile`.
    :param as_of: what the catalog says of it: a file of another install may lie in its place.
    :raises TablesError: it is missing, damaged, or cannot be reached.
    """
    try:
        with (
            table.io.new_input(uri).open() as stream,
            parquet.open_file(stream, pre_buffer=pre_buffer) as file,
        ):
            if as_of is not None:
                _check_identity(cast(pa.NativeFile, stream).size(), file.metadata.num_rows, as_of)
            yield file
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        if is_disk_full(error):  # of what is written meanwhile
            raise
        raise file_fault(table, uri, error) from error


def _check_identity(size: int, rows: int, said: DataFile) -> None:
    if size != said.file_size_in_bytes:
        raise OSError(f"it has {size:,} bytes and the catalog says {said.file_size_in_bytes:,}")
    if rows != said.record_count:
        raise OSError(f"it has {rows:,} rows and the catalog says {said.record_count:,}")


def file_fault(table: Table, uri: str, error: Exception) -> TablesError:
    """The error that stands for what opening or reading a published file raised."""
    if _is_replaced(table, uri):
        return TablesUnavailableError(f"{uri} was replaced while it was to be read; run again")
    return _fault(error, uri, remedy_of(table))


def remedy_of(table: Table) -> str:
    """How a file of the table that is damaged or gone is made anew."""
    if (name := table.name()[-1]) in STANDING:
        return _OF_NO_LOAD.format(_ALSO.get(name, "").format(command=Settings.from_env().command))
    # A rebuild reads `loads` before it writes anything.
    is_of_loads = table.name()[-1] == LOADS.name
    return _made_anew(table.catalog.properties.get("uri", "glue")) if is_of_loads else _rebuilt("it")


def _is_replaced(table: Table, uri: str) -> bool:
    """Whether the table needs the file no more: the next attempt of a killed publish removes its files."""
    try:
        now = table.catalog.load_table(table.name())
        return all(task.file.file_path != uri for task in now.scan().plan_files())
    except Exception:  # then more is wrong, and what the file's own error tells is true
        return False


def _fault(error: Exception, what: str, remedy: str) -> TablesError:
    known = named(error) if isinstance(error, OSError) else None
    if isinstance(known, TransientError):
        return TablesUnavailableError(f"{what} cannot be reached: {known}")
    if is_forbidden(error):
        remedy = "check the rights and the credentials of whoever runs this; nothing is known to be damaged"
    return TablesDamagedError(f"{what} cannot be read: {_first_line(error)}; {remedy}")


def is_forbidden(error: BaseException | None) -> bool:
    """Whether an error of reading a file says that somebody may not, and nothing of the file."""
    return isinstance(error, PermissionError) or _FORBIDDEN.search(str(error)) is not None


_OF_NO_LOAD = "bring it back from a backup or an older version of the object{}"
_ALSO = {
    VERDICTS.name: "; while the database of verdicts is whole, `{command} verdicts publish --anew` makes "
    "the table from it",
    GONE.name: "; or let the next run that lists a whole prefix begin the table anew",
}
_CHECK = "check MODERATION_CATALOG_URI, the rights and the room on the disk"


def _made_anew(uri: str) -> str:
    """How metadata that cannot be read any more is replaced: a rebuild needs a catalog that can be."""
    if uri.startswith("sqlite"):
        first = f"move {_database(uri)} away"
    elif uri == "glue":
        first = "delete the tables of the database moderation in Glue"
    else:
        first = "drop the table iceberg_tables of the catalog's database"
    return f"{first}, then {_rebuilt('the tables')}"


def _rebuilt(what: str) -> str:
    command = f"{Settings.from_env().command} rebuild"
    return f"`{command}` makes {what} anew from the kept answers, without paying again"


def _place(uri: str) -> str:
    return "the catalog in Glue" if uri == "glue" else f"the catalog {_database(uri)}"


def _database(uri: str) -> str:
    """The file, or the URI without password, login and parameters."""
    try:
        url = make_url(uri)
    except ArgumentError:
        return uri.partition("://")[0] or "of an empty URI"
    if url.get_backend_name() == "sqlite":
        return url.database or ":memory:"
    return f"{url.get_backend_name()}://{url.host or ''}/{url.database or ''}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
