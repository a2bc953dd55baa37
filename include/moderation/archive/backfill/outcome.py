"""What became of the images of a chunk and of a whole archive, counted from published rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from moderation.archive.backfill.cutting import connect
from moderation.archive.backfill.state import Archive, ArchiveError, Chunk
from moderation.reference import error_codes
from moderation.schema import IMAGES
from moderation.settings import Settings
from moderation.sources.base import SourceError
from moderation.sources.listing import OBJECTS, Tally
from moderation.sources.open import open_source
from moderation.sources.told.chunk import open_objects
from moderation.storage import scratch

if TYPE_CHECKING:
    from moderation.sources.gone import Looked

_PORTION = 100_000
_COLUMNS = ["source_ref", "etag", "status", "error_code", "moderated_at"]
_LAST = (
    "SELECT source_ref, bool_or(status = 'moderated') AS answered, "
    "arg_max(etag, (n, coalesce(etag, ''))) AS etag, arg_max(coalesce(error_code, ''), n) AS code "
    "FROM rows GROUP BY source_ref"
)
_THERE = "SELECT source_ref, any_value(etag) AS etag FROM objects GROUP BY source_ref"
_GONE = (
    "there.source_ref IS NULL OR (there.etag IS NULL AND (source_ref IN (FROM marked) OR "
    f"coalesce(code = '{error_codes.INVALID_S3_OBJECT}', false)))"
)
"""A list of keys says nothing of what is there now: S3's last answer does, and what other listings showed."""

Mark = Callable[[Settings, "Looked"], None]
"""Keeps what a listing showed of images that are known."""


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """What became of every key of an archive; ``keys`` is the sum of the next four.

    :ivar answered: an answer is published.
    :ivar refused: none, and there will be none: refused for good, by code.
    :ivar gone: neither, and no longer at the source.
    :ivar owed: the rest, by the code of its last row; "" when it was never attempted.
    :ivar new: at the source now, and not when the archive was listed; no chunk has it.
    :ivar gone_since: of all keys, those no longer at the source; of other content there now: ``changed``.
    """

    keys: int
    answered: int
    refused: dict[str, int]
    gone: int
    owed: dict[str, int]
    new: int
    gone_since: int
    changed: int


def of_chunk(settings: Settings, s3: Any, archive: Archive, chunk: Chunk) -> Chunk:
    """The chunk with what the loads of its run say of its images.

    :raises ArchiveError: its file is damaged; s3.S3Error: S3 cannot be read.
    """
    from moderation.tables.catalog import open_catalog  # noqa: PLC0415 - Iceberg is slow to import
    from moderation.tables.published import loads_in, read_load  # noqa: PLC0415

    key = archive.run_key(chunk)
    with scratch.folder(None, "archive") as folder, closing(connect(folder)) as database:
        _load_chunk(database, s3, chunk)
        _make_rows(database)
        billed, cost = 0, 0.0
        with open_catalog(settings) as catalog:
            for place, load in enumerate(
                row for row in loads_in(catalog).to_pylist() if row["run_key"] == key
            ):
                billed += load["billed"]
                cost += float(load["cost_usd"] or 0)
                for batch in read_load(catalog, IMAGES, load):
                    _add_rows(database, batch.select(_COLUMNS), place)
        counts = database.execute(
            f"SELECT coalesce(answered, false), last.source_ref IS NULL, code, count(*), "  # noqa: S608 - constants
            "count(*) FILTER (objects.etag IS NOT NULL AND last.etag <> objects.etag) "
            f"FROM objects LEFT JOIN ({_LAST}) last USING (source_ref) GROUP BY ALL"
        ).fetchall()
    codes: dict[str, int] = {}
    for answered, before, code, images, _ in counts:
        if not answered and not before:
            codes[code] = codes.get(code, 0) + images
    return replace(
        chunk,
        answered=sum(images for answered, _, _, images, _ in counts if answered),
        before=sum(images for _, before, _, images, _ in counts if before),
        codes=codes,
        gone=codes.get(error_codes.INVALID_S3_OBJECT, 0),
        changed=sum(changed for *_, changed in counts),
        billed=billed,
        cost_usd=cost,
    )


def reconcile(settings: Settings, s3: Any, archive: Archive, *, mark: Mark | None = None) -> Reconciliation:
    """List the source once more, and say of every key what became of it.

    The local disk holds the keys and what was published of them; memory a portion.

    :param mark: keeps what is gone, where the source shows all of something; `publish.gone.mark`.
    :raises ArchiveError: a chunk's file is damaged; s3.S3Error: S3 cannot be read.
    """
    from moderation.tables.published import stream_images  # noqa: PLC0415 - Iceberg is slow to import

    with scratch.folder(None, "archive") as folder, closing(connect(folder)) as database:
        for chunk in archive.chunks:
            _load_chunk(database, s3, chunk)
        _make_rows(database)
        between = database.execute("SELECT min(source_ref), max(source_ref) FROM objects").fetchall()[0]
        for place, batch in enumerate(_portions(stream_images(settings, _COLUMNS, between=between))):
            _add_rows(database, batch, place, last="moderated_at")
        database.execute("ALTER TABLE objects RENAME TO keys")
        _list_again(database, settings, s3, archive, mark, folder)
        _add_marked(database, settings, between)
        counts = database.execute(
            f"SELECT coalesce(answered, false), {_GONE}, coalesce(code, ''), count(*), "  # noqa: S608 - constants
            "count(*) FILTER (keys.etag IS NOT NULL AND there.etag <> keys.etag) "
            f"FROM keys LEFT JOIN ({_LAST}) last USING (source_ref) "
            f"LEFT JOIN ({_THERE}) there USING (source_ref) GROUP BY ALL"
        ).fetchall()
        ((new,),) = database.execute(
            f"SELECT count(*) FROM ({_THERE}) ANTI JOIN keys USING (source_ref)"  # noqa: S608 - constants
        ).fetchall()
    answered = gone = 0
    refused: dict[str, int] = {}
    owed: dict[str, int] = {}
    for is_answered, is_gone, code, images, _ in counts:
        if is_answered:
            answered += images
        elif error_codes.is_permanent(code):
            refused[code] = refused.get(code, 0) + images
        elif is_gone:
            gone += images
        else:
            owed[code] = owed.get(code, 0) + images
    return Reconciliation(
        keys=sum(images for *_, images, _ in counts),
        answered=answered,
        refused=refused,
        gone=gone,
        owed=owed,
        new=new,
        gone_since=sum(images for _, is_gone, _, images, _ in counts if is_gone),
        changed=sum(changed for *_, changed in counts),
    )


def as_json(found: Reconciliation) -> dict[str, Any]:
    """As it is kept."""
    return asdict(found)


def _make_rows(database: duckdb.DuckDBPyConnection) -> None:
    database.execute(
        "CREATE TABLE rows (source_ref VARCHAR, etag VARCHAR, status VARCHAR, error_code VARCHAR, n BIGINT)"
    )


def _add_rows(
    database: duckdb.DuckDBPyConnection, batch: pa.RecordBatch | pa.Table, place: int, *, last: str = ""
) -> None:
    """Keep the published rows about the objects.

    :param place: later loads have greater ones; ``last`` is a column of time that tells better.
    """
    database.register("portion", batch)
    order = f"coalesce(epoch_us({last}), 0)" if last else str(place)
    database.execute(
        f"INSERT INTO rows SELECT source_ref, etag, status, error_code, {order} FROM portion "  # noqa: S608 - constants
        "SEMI JOIN objects USING (source_ref)"
    )
    database.unregister("portion")


def _portions(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Fewer and larger: each costs a pass over the keys."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= _PORTION:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _list_again(  # noqa: PLR0917 - of one place
    database: duckdb.DuckDBPyConnection,
    settings: Settings,
    s3: Any,
    archive: Archive,
    mark: Mark | None,
    folder: Path,
) -> None:
    from moderation.sources.gone import Watch, shown_besides  # noqa: PLC0415 - Iceberg is slow to import

    _make_objects(database)
    watch = Watch.begin(settings, s3)
    tally = Tally(names=settings.no_image_names, unread=True)
    with shown_besides(tally, folder) as besides:
        for batch in open_source(archive.source).batches(settings, s3, tally, dry_run=True):
            _add_objects(database, batch.select(OBJECTS.names))
    if mark and tally.whole:
        rows = database.sql("SELECT DISTINCT source_ref FROM objects ORDER BY source_ref")
        listed = (batch.column(0) for batch in rows.to_arrow_reader(_PORTION))
        if looked := watch.look(archive.source, tally.whole, listed, besides.names()):
            mark(settings, looked)


def _add_marked(
    database: duckdb.DuckDBPyConnection, settings: Settings, between: tuple[str, str] | None
) -> None:
    """Keep which of the keys are marked as gone."""
    from moderation.tables.catalog import load_table, open_catalog  # noqa: PLC0415 - as above
    from moderation.tables.published import scan  # noqa: PLC0415
    from moderation.tables.standing import GONE  # noqa: PLC0415

    database.execute("CREATE TABLE marked (source_ref VARCHAR)")
    with open_catalog(settings) as catalog:
        for batch in scan(load_table(catalog, GONE), GONE, ["source_ref"], between=between):
            database.register("portion", batch)
            database.execute("INSERT INTO marked SELECT source_ref FROM portion")
            database.unregister("portion")


def _make_objects(database: duckdb.DuckDBPyConnection) -> None:
    database.execute("CREATE TABLE IF NOT EXISTS objects (source_ref VARCHAR, etag VARCHAR)")


def _add_objects(database: duckdb.DuckDBPyConnection, batch: pa.RecordBatch) -> None:
    database.register("portion", pa.Table.from_batches([batch]))
    database.execute("INSERT INTO objects SELECT concat('s3://', bucket, '/', key), etag FROM portion")
    database.unregister("portion")


def _load_chunk(database: duckdb.DuckDBPyConnection, s3: Any, chunk: Chunk) -> None:
    _make_objects(database)
    try:
        with open_objects(s3, chunk.uri) as file:
            for batch in file.iter_batches(_PORTION, columns=OBJECTS.names):
                _add_objects(database, batch)
    except SourceError as error:
        raise ArchiveError(str(error)) from error
