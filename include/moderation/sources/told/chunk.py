"""A part of an archive: objects that a survey found, in a Parquet file of its own."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moderation.settings import Settings
from moderation.sources.base import SourceError
from moderation.sources.listing import BATCH_ROWS, OBJECTS, Tally, object_rows
from moderation.storage import s3_objects

PREFIX = "chunk:"
_NAMED = re.compile(r"/\d{5,}-([0-9a-f]{12})\.parquet$")


@dataclass(frozen=True)
class Chunk:
    """The objects in a file of :data:`moderation.sources.listing.OBJECTS`, as they were when listed.

    :param uri: ``chunk:`` and where the file is, in S3.
    """

    uri: str
    checks_headers: bool = False
    retry_refused: bool = False
    tells_changes: bool = False

    @classmethod
    def parse(cls, text: str) -> Chunk:
        """Check what a person wrote.

        :raises SourceError: it names no object.
        """
        try:
            place = s3_objects.split_uri(text.removeprefix(PREFIX))
        except ValueError as error:
            raise SourceError(f"source {text!r}: {error}") from error
        if not place.key:
            raise SourceError(f"source {text!r}: expected chunk:s3://bucket/key of a chunk's file")
        return cls(text)

    def batches(
        self, settings: Settings, s3: Any, tally: Tally, *, dry_run: bool
    ) -> Iterator[pa.RecordBatch]:
        """Read the file.

        :raises SourceError: it is damaged; s3.S3Error: it cannot be read.
        """
        place = self.uri.removeprefix(PREFIX)
        with open_objects(s3, place) as parquet:
            for batch in parquet.iter_batches(BATCH_ROWS, columns=OBJECTS.names):
                yield object_rows(tally, batch.cast(OBJECTS))


@contextmanager
def open_objects(s3: Any, uri: str) -> Iterator[pq.ParquetFile]:
    """A chunk's file, proven by the digest in its name.

    :raises SourceError: it is not what was written; s3.S3Error: it cannot be read.
    """
    remedy = "start another archive over the same source: what is answered is not asked again"
    with tempfile.TemporaryFile() as file:
        try:
            s3_objects.download(s3, uri, file)
        except s3_objects.S3Error as error:
            if error.is_missing:
                raise SourceError(f"{uri} is not there any more; {remedy}") from error
            raise
        file.seek(0)
        named = _NAMED.search(uri)
        try:
            if named and not hashlib.file_digest(file, "sha256").hexdigest().startswith(named[1]):
                raise OSError("its content is not what its name says")
            parquet = pq.ParquetFile(file)
            parquet.schema_arrow.field("key")
        except (OSError, pa.ArrowException, KeyError) as error:
            raise SourceError(f"{uri} is damaged: {error}; {remedy}") from error
        yield parquet
