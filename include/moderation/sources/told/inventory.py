"""The images of an S3 Inventory report."""

from __future__ import annotations

import codecs
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from moderation.settings import Settings
from moderation.sources.base import SourceError
from moderation.sources.listing import OBJECTS, Tally, Whole, object_rows
from moderation.sources.told import inventory_files
from moderation.storage import s3_objects

_MISSING = "has no column {}; add Size, LastModifiedDate, ETag to the inventory"


@dataclass(frozen=True)
class Inventory:
    """The objects in an S3 Inventory report, which costs no listing however large the bucket is.

    Format: S3 user guide, "Locating your inventory list"; CSV, ORC or Parquet. Of a versioned bucket only the
    latest versions count. The report shows the bucket as it was: reading the headers shows what changed.
    """

    uri: str
    checks_headers: bool = False
    retry_refused: bool = False
    tells_changes: bool = False

    def batches(
        self, settings: Settings, s3: Any, tally: Tally, *, dry_run: bool
    ) -> Iterator[pa.RecordBatch]:
        """Read the report's files one after the other, each proven by its MD5 sum.

        :raises SourceError: the report is damaged or lacks a column; s3.S3Error: a file cannot be read.
        """
        manifest = self._manifest(s3)
        bucket = str(manifest["destinationBucket"]).removeprefix("arn:aws:s3:::").rpartition(":")[2]
        read = inventory_files.READERS[manifest["fileFormat"]]
        for entry in manifest["files"]:
            uri = f"s3://{bucket}/{entry['key']}"
            with tempfile.TemporaryFile() as file:
                s3_objects.download(s3, uri, file)
                _verify(file, uri, entry.get("MD5checksum"))
                for batch in read(file, uri, manifest["fileSchema"]):
                    yield object_rows(tally, _objects(batch, uri))
        if source := manifest.get("sourceBucket"):
            tally.whole = Whole(f"s3://{source}/", is_now=False)

    def _manifest(self, s3: Any) -> dict[str, Any]:
        try:
            manifest = orjson.loads(s3_objects.read(s3, self.uri).body.removeprefix(codecs.BOM_UTF8))
            files, where = manifest["files"], manifest["destinationBucket"]
            kind, schema = manifest["fileFormat"], manifest["fileSchema"]
            if not all(isinstance(text, str) for text in (where, kind, schema)):
                raise TypeError
            if not all(isinstance(entry["key"], str) for entry in files):
                raise TypeError
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise SourceError(f"{self.uri} is no manifest.json of S3 Inventory; name that file") from error
        if kind not in inventory_files.READERS:
            known = ", ".join(inventory_files.READERS)
            raise SourceError(
                f"{self.uri}: format {kind} is not read; choose one of {known} in the inventory"
            )
        return dict(manifest)


def _verify(file: IO[bytes], uri: str, expected: str | None) -> None:
    file.seek(0)
    found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()  # type: ignore[arg-type]
    file.seek(0)
    if expected and found != expected.lower():
        raise SourceError(f"{uri} is damaged: MD5 {found}, the inventory says {expected}; run it again")


def _objects(batch: pa.RecordBatch, uri: str) -> pa.RecordBatch:
    """The latest versions that are no delete markers, as rows of `OBJECTS`."""
    for name, passing in (("is_latest", "true"), ("is_delete_marker", "false")):
        if name in batch.schema.names:
            told = pc.utf8_lower(pc.cast(batch.column(name), pa.string()))
            told = pc.fill_null(pc.if_else(pc.equal(told, ""), passing, told), passing)
            batch = batch.filter(pc.equal(told, passing))
    missing = {"bucket", "key", "size", "e_tag", "last_modified_date"} - {*batch.schema.names}
    if missing:
        raise SourceError(f"{uri} {_MISSING.format(min(missing))}")
    etags = pc.utf8_trim(pc.cast(batch.column("e_tag"), pa.string()), '"')
    columns = [
        pc.cast(batch.column("bucket"), pa.string()),
        pc.cast(batch.column("key"), pa.string()),
        pc.if_else(pc.equal(etags, ""), pa.scalar(None, pa.string()), etags),
        _cast(batch, "size", uri),
        _cast(batch, "last_modified_date", uri),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=OBJECTS)


def _cast(batch: pa.RecordBatch, name: str, uri: str) -> pa.Array:
    """A column of numbers or times; what is no such value names its row."""
    kind = OBJECTS.field({"size": "size", "last_modified_date": "last_modified"}[name]).type
    column = batch.column(name)
    try:
        cast = _as_time(column, kind) if pa.types.is_timestamp(kind) else pc.cast(column, kind)
        if not cast.null_count:
            return cast
        number = pc.index(pc.is_null(cast), value=True).as_py()
    except pa.ArrowInvalid:
        number = next(index for index in range(len(column)) if not _can_be(column.slice(index, 1), kind))
    key, value = batch.column("key")[number].as_py(), column[number].as_py()
    raise SourceError(f"{uri}: the row of {key!r} cannot be read: {name} is {value!r}")


def _as_time(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        return pc.assume_timezone(pc.cast(column, pa.timestamp("us")), "UTC")
    try:
        return pc.cast(column, kind)
    except pa.ArrowInvalid:  # A time without a zone, or a day alone: UTC.
        return pc.assume_timezone(pc.cast(column, pa.timestamp("us")), "UTC")


def _can_be(value: pa.Array, kind: pa.DataType) -> bool:
    try:
        _as_time(value, kind) if pa.types.is_timestamp(kind) else pc.cast(value, kind)
    except pa.ArrowInvalid:
        return False
    return True
