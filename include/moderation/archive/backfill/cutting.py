"""Cuts an archive into chunks, each a list of objects in S3 that is a source of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from moderation.archive.backfill import state
from moderation.archive.backfill.state import Archive, ArchiveError, Chunk, Options
from moderation.settings import Settings
from moderation.sources.listing import BATCH_ROWS, OBJECTS, Tally
from moderation.sources.open import open_source
from moderation.storage import s3_objects, scratch
from moderation.variables.machine import MachineSettings

_ON_DISK = pa.schema(
    [
        (name, pa.timestamp("us") if name == "last_modified" else OBJECTS.field(name).type)
        for name in OBJECTS.names
    ]
)
"""Times without zone, UTC all of them: to know zones, DuckDB needs an extension."""

_BY = {
    "newest": "last_modified DESC NULLS LAST, bucket, key",
    "prefix": "bucket, key",
    "given": "place",
}


def cut(settings: Settings, s3: Any, name: str, source: str, options: Options, *, now: str) -> Archive:
    """List a source and write its chunks; the archive itself is the caller's to write, after them.

    The local disk holds the listing, memory a portion of it. Begun again, it makes the same files of the same
    listing; what a killed try has left is part of no archive.

    :param now: the time, as ISO text.
    :raises ArchiveError: the source is no S3, or holds nothing.
    :raises moderation.sources.base.SourceError: it cannot be read; s3.S3Error: S3 cannot.
    """
    state.check_name(name)
    opened = open_source(source)
    tally = Tally(names=settings.no_image_names, unread=True)  # what a chunk holds, its rows account for
    with scratch.folder(None, "archive") as folder, closing(connect(folder)) as database:
        database.execute(
            "CREATE TABLE objects (place BIGINT, bucket VARCHAR, key VARCHAR, etag VARCHAR, size BIGINT, "
            "last_modified TIMESTAMP)"
        )
        place = 0
        for batch in opened.batches(settings, s3, tally, dry_run=True):
            if batch.column("bucket").null_count:
                raise ArchiveError(
                    f"{source} is a local folder; many machines work an archive off: copy it to S3 first"
                )
            insert(database, batch.select(OBJECTS.names), first=place)
            place += batch.num_rows
        uri = state.folder_uri(settings, name)
        chunks = tuple(
            _written(s3, uri, number, part, folder)
            for number, part in enumerate(
                _parts(database, options, copies_together=settings.share_answers), start=1
            )
        )
    if not chunks:
        raise ArchiveError(f"{source} holds no image; {tally.listed:,} objects were listed")
    return Archive(
        name=name,
        source=opened.uri,
        options=options,
        created_at=now,
        listed=tally.listed,
        left_out=dict(tally.by_rule.most_common()),
        chunks=chunks,
    )


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """A database on the local disk that keeps to the memory that the settings allow."""
    limits: dict[str, Any] = {
        "memory_limit": MachineSettings.from_env().duckdb_memory,
        "temp_directory": str(folder),
    }
    return duckdb.connect(str(folder / "objects.duckdb"), config=limits)


def insert(database: duckdb.DuckDBPyConnection, batch: pa.RecordBatch, *, first: int) -> None:
    """Append objects to the table `objects`, the first of them at a place of the listing."""
    places = pa.array(range(first, first + batch.num_rows), pa.int64())
    table = pa.Table.from_batches([batch.cast(_ON_DISK)]).add_column(0, "place", places)
    database.register("portion", table)
    database.execute("INSERT INTO objects SELECT * FROM portion")
    database.unregister("portion")


def _parts(
    database: duckdb.DuckDBPyConnection, options: Options, *, copies_together: bool
) -> Iterator[Iterator[pa.RecordBatch]]:
    """The objects of each chunk in turn; each is to be read before the next.

    :param copies_together: an object comes right after the first of its content, for chunks that are under
        way at the same time do not know each other's answers, and each would pay.
    """
    database.execute(
        "CREATE TABLE ordered AS SELECT bucket, key, etag, size, last_modified FROM objects "  # noqa: S608 - constants
        "QUALIFY row_number() OVER (PARTITION BY bucket, key ORDER BY place) = 1 "
        f"ORDER BY {_BY[options.order]}"
    )
    database.execute("DROP TABLE objects")
    if copies_together:
        _bring_copies_together(database)
    ((count,),) = database.execute("SELECT count(*) FROM ordered").fetchall()
    for start in range(0, count, options.chunk_images):
        rows = database.sql(
            "SELECT * FROM ordered "  # noqa: S608 - numbers
            f"WHERE rowid >= {start} AND rowid < {start + options.chunk_images} ORDER BY rowid"
        )
        reader: pa.RecordBatchReader = rows.to_arrow_reader(BATCH_ROWS)
        yield iter(reader)


def _bring_copies_together(database: duckdb.DuckDBPyConnection) -> None:
    # What is the same content decides each run by itself; a number groups in half the time of the text.
    database.execute(
        "CREATE TEMP TABLE several AS SELECT TRY_CAST(etag AS UUID) AS digest, size AS bytes, "
        "min(rowid) AS first FROM ordered WHERE digest IS NOT NULL GROUP BY ALL HAVING count(*) > 1"
    )
    if database.execute("SELECT 1 FROM several LIMIT 1").fetchall():
        database.execute(
            "CREATE TABLE together AS SELECT bucket, key, etag, size, last_modified FROM ordered "
            "LEFT JOIN several ON digest = TRY_CAST(etag AS UUID) AND bytes = size "
            "ORDER BY coalesce(first, ordered.rowid), ordered.rowid"
        )
        database.execute("DROP TABLE ordered")
        database.execute("ALTER TABLE together RENAME TO ordered")
    database.execute("DROP TABLE several")


def _written(s3: Any, folder_uri: str, number: int, part: Iterator[pa.RecordBatch], folder: Path) -> Chunk:
    path = folder / "chunk.parquet"
    images, first, last = 0, "", ""
    with pq.ParquetWriter(path, OBJECTS, compression="zstd", write_page_checksum=True) as writer:
        for batch in part:
            writer.write_batch(batch.cast(_ON_DISK).cast(OBJECTS))
            refs = [f"s3://{batch.column('bucket')[at]}/{batch.column('key')[at]}" for at in (0, -1)]
            first, last = first or refs[0], refs[1]
            images += batch.num_rows
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
        file.seek(0)
        uri = f"{folder_uri}/chunks/{number:05d}-{digest}.parquet"
        s3_objects.put(s3, uri, file)
    path.unlink()
    return Chunk(number=number, uri=uri, images=images, first=first, last=last)
