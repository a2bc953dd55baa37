"""A part of an archive: objects that a survey found, in a Parquet file of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moderation.settings import Settings
from moderation.sources.base import SourceError
from moderation.sources.listing import BATCH_ROWS, OBJECTS, Tally, object_rows
from moderation.storage import s3_objects

PREFIX = "chunk:"


@dataclass(frozen=True)
class Chunk:
    """The objects in a file of :data:`moderation.sources.listing.OBJECTS`, as they were when listed.

    :param uri: ``chunk:`` and where the file is, in S3.
    """

    uri: str
    checks_headers: bool = False
    retry_refused: bool = False

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
        with tempfile.TemporaryFile() as file:
            s3_objects.download(s3, place, file)
            file.seek(0)
            try:
                parquet = pq.ParquetFile(file, page_checksum_verification=True)
                for batch in parquet.iter_batches(BATCH_ROWS, columns=OBJECTS.names):
                    yield object_rows(tally, batch.cast(OBJECTS))
            except (OSError, pa.ArrowException, KeyError) as error:
                raise SourceError(
                    f"{place} is damaged: {error}; start another archive over the same source: what is "
                    "answered is not asked again"
                ) from error
