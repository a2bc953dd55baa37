"""The images of an S3 Inventory report."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any
from urllib.parse import unquote_plus

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from moderation.settings import Settings
from moderation.sources.base import SourceError
from moderation.sources.listing import BATCH_ROWS, ListingBuilder, Tally
from moderation.storage import s3_objects


@dataclass(frozen=True)
class Inventory:
    """The objects in an S3 Inventory report, which costs no listing however large the bucket is.

    Format: S3 user guide, "Locating your inventory list". Of a versioned bucket only the latest versions
    count. The report shows the bucket as it was: whoever checks headers sees what changed since.
    """

    uri: str
    checks_headers: bool = False
    retry_refused: bool = False

    def batches(
        self, settings: Settings, s3: Any, tally: Tally, *, dry_run: bool
    ) -> Iterator[pa.RecordBatch]:
        """Read the report's files one after the other, each proven by its MD5 sum.

        :raises SourceError: the report is damaged or lacks a column; s3.S3Error: a file cannot be read.
        """
        manifest = self._manifest(s3)
        bucket = str(manifest["destinationBucket"]).removeprefix("arn:aws:s3:::").rpartition(":")[2]
        builder = ListingBuilder()
        for entry in manifest["files"]:
            uri = f"s3://{bucket}/{entry['key']}"
            with tempfile.TemporaryFile() as file:
                s3_objects.download(s3, uri, file)
                _verify(file, uri, entry.get("MD5checksum"))
                for row in self._rows(file, uri, manifest):
                    self._add(builder, tally, row, uri)
                    if len(builder) >= BATCH_ROWS:
                        yield builder.take()
        if len(builder):
            yield builder.take()

    def _manifest(self, s3: Any) -> dict[str, Any]:
        try:
            manifest = orjson.loads(s3_objects.read(s3, self.uri).body)
            files, where = manifest["files"], manifest["destinationBucket"]
            kind, schema = manifest["fileFormat"], manifest["fileSchema"]
            if not all(isinstance(text, str) for text in (where, kind, schema)):
                raise TypeError
            if not all(isinstance(entry["key"], str) for entry in files):
                raise TypeError
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise SourceError(f"{self.uri} is no manifest.json of S3 Inventory; name that file") from error
        if kind not in {"CSV", "Parquet"}:
            raise SourceError(
                f"{self.uri}: format {kind} is not read; choose CSV or Parquet in the inventory"
            )
        return dict(manifest)

    def _rows(self, file: IO[bytes], uri: str, manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if manifest["fileFormat"] == "Parquet":
            yield from _parquet_rows(file, uri)
            return
        names = [_snake(name) for name in manifest["fileSchema"].split(",")]
        try:
            with gzip.open(file) as unpacked, io.TextIOWrapper(unpacked, "utf-8-sig", newline="") as lines:
                for number, values in enumerate(csv.reader(lines), start=1):
                    if not values:  # a blank line says nothing
                        continue
                    if len(values) != len(names):
                        raise SourceError(
                            f"{uri} line {number}: {len(values)} columns, {len(names)} expected"
                        )
                    row: dict[str, Any] = dict(zip(names, values, strict=True))
                    row["key"] = unquote_plus(row.get("key", ""))  # keys are URL-encoded in CSV reports only
                    yield row
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"{uri} cannot be unpacked: {error}; run the inventory again") from error

    def _add(self, builder: ListingBuilder, tally: Tally, row: dict[str, Any], uri: str) -> None:
        if str(row.get("is_latest", "true")).lower() == "false":
            return
        if str(row.get("is_delete_marker", "false")).lower() == "true":
            return
        try:
            builder.add_object(
                tally,
                bucket=row["bucket"],
                key=row["key"],
                etag=str(row.get("e_tag") or "").strip('"'),
                size=int(row["size"]),
                at=_timestamp(row["last_modified_date"]),
            )
        except KeyError as error:
            raise SourceError(
                f"{uri} has no column {error}; add Size, LastModifiedDate, ETag to it"
            ) from error
        except (TypeError, ValueError) as error:
            raise SourceError(f"{uri}: the row of {row['key']!r} cannot be read: {error}") from error


def _verify(file: IO[bytes], uri: str, expected: str | None) -> None:
    file.seek(0)
    md5 = hashlib.md5(usedforsecurity=False)
    while chunk := file.read(1024 * 1024):
        md5.update(chunk)
    found = md5.hexdigest()
    file.seek(0)
    if expected and found != expected.lower():
        raise SourceError(f"{uri} is damaged: MD5 {found}, the inventory says {expected}; run it again")


def _parquet_rows(file: IO[bytes], uri: str) -> Iterator[dict[str, Any]]:
    try:
        parquet = pq.ParquetFile(file, page_checksum_verification=True)
        wanted = {"bucket", "key", "size", "last_modified_date", "e_tag", "is_latest", "is_delete_marker"}
        columns = [name for name in parquet.schema_arrow.names if name in wanted]
        for batch in parquet.iter_batches(BATCH_ROWS, columns=columns):
            yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{uri} is no readable Parquet file: {error}; run the inventory again") from error


def _snake(name: str) -> str:
    """``LastModifiedDate`` of a CSV report is ``last_modified_date`` in a Parquet report."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name.strip()).strip("_")


def _timestamp(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
