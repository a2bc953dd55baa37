"""The images that a file names, one a line or row."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from moderation.settings import Settings
from moderation.sources.base import SourceError
from moderation.sources.listing import BATCH_ROWS, OBJECTS, Tally, chunked, object_rows
from moderation.storage import s3_objects

PREFIX = "list:"
_REF_COLUMNS = ("source_ref", "source-ref", "uri")
_HELP = "expected a column source_ref (s3://bucket/key), or the columns bucket and key"


@dataclass(frozen=True)
class KeyList:
    """The objects named in a text file (an ``s3://`` address a line), a CSV, JSON Lines or Parquet.

    Columns (a CSV has a header) or members: ``source_ref`` (also ``uri``, and ``source-ref`` as in a manifest
    of AWS), or ``bucket`` and ``key``. Keys are taken as they stand, not URL-encoded. Size, time and ETag are
    read from the objects.

    :param uri: ``list:`` and where the file is, in S3 or on this machine; its name ends in ``.txt``,
        ``.csv``, ``.jsonl`` or ``.parquet``.
    """

    uri: str
    checks_headers: bool = False
    retry_refused: bool = False
    tells_changes: bool = False

    def batches(
        self, settings: Settings, s3: Any, tally: Tally, *, dry_run: bool
    ) -> Iterator[pa.RecordBatch]:
        """Read the file.

        :raises SourceError: it is not there, or a line names no object; s3.S3Error: it cannot be read.
        """
        place = self.uri.removeprefix(PREFIX)
        read = READERS.get(Path(place).suffix.lower())
        if read is None:
            raise SourceError(f"{place}: a list ends in {', '.join(READERS)}")
        with _opened(place, s3) as file:
            for names in chunked(read(file, place), BATCH_ROWS):
                count = len(names)
                columns = [
                    [name.bucket for name in names],
                    [name.key for name in names],
                    *[[None] * count] * 3,
                ]
                arrays = [
                    pa.array(column, field.type) for column, field in zip(columns, OBJECTS, strict=True)
                ]
                yield object_rows(tally, pa.RecordBatch.from_arrays(arrays, schema=OBJECTS))


def _opened(place: str, s3: Any) -> IO[bytes]:
    if not place.startswith("s3://"):
        try:
            return Path(place).expanduser().open("rb")
        except OSError as error:
            raise SourceError(f"list {place}: cannot be read: {error.strerror}") from error
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        s3_objects.download(s3, place, file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _location(where: str, row: dict[str, Any]) -> s3_objects.Location:
    ref = next((row[name] for name in _REF_COLUMNS if row.get(name)), None)
    if ref is None:
        if not row.get("bucket") or not row.get("key"):
            raise SourceError(f"{where}: {_HELP}")
        return s3_objects.Location(str(row["bucket"]), str(row["key"]))
    try:
        found = s3_objects.split_uri(str(ref))
    except ValueError as error:
        raise SourceError(f"{where}: {error}") from error
    if not found.key:
        raise SourceError(f"{where}: {ref!r} names a bucket, no object; a whole bucket is a source by itself")
    return found


def _decoded(file: IO[bytes], place: str) -> Iterator[str]:
    try:
        for number, line in enumerate(file):
            yield line.decode("utf-8" if number else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{place}: is not UTF-8: {error}") from error


def _lines(file: IO[bytes], place: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_decoded(file, place), start=1):
        if text := line.rstrip("\r\n"):
            yield f"{place} line {number}", text


def _text(file: IO[bytes], place: str) -> Iterator[s3_objects.Location]:
    for where, line in _lines(file, place):
        yield _location(where, {"uri": line.strip()})


def _jsonl(file: IO[bytes], place: str) -> Iterator[s3_objects.Location]:
    for where, line in _lines(file, place):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise SourceError(f"{where}: is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise SourceError(f"{where}: {_HELP}")
        yield _location(where, row)


def _csv(file: IO[bytes], place: str) -> Iterator[s3_objects.Location]:
    try:
        rows = csv.DictReader(_decoded(file, place), strict=True)
        for row in rows:
            yield _location(f"{place} line {rows.line_num}", row)
    except csv.Error as error:
        raise SourceError(f"{place}: is no CSV: {error}") from error


def _parquet(file: IO[bytes], place: str) -> Iterator[s3_objects.Location]:
    try:
        parquet = pq.ParquetFile(file, page_checksum_verification=True)
        wanted = [name for name in parquet.schema_arrow.names if name in {*_REF_COLUMNS, "bucket", "key"}]
        number = 0
        for batch in parquet.iter_batches(BATCH_ROWS, columns=wanted):
            for row in batch.to_pylist():
                number += 1
                yield _location(f"{place} row {number}", row)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{place} is no readable Parquet file: {error}") from error


READERS: dict[str, Callable[[IO[bytes], str], Iterator[s3_objects.Location]]] = {
    ".txt": _text,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
"""By the ending of the list's name."""
