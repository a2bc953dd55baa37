"""The images of a folder in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa

from moderation.settings import Settings
from moderation.sources.listing import BATCH_ROWS, OBJECTS, Tally, Whole, chunked, object_rows
from moderation.sources.parallel_listing import list_in_parallel
from moderation.storage import s3_objects


@dataclass(frozen=True)
class S3Prefix:
    """All pictures in a folder of a bucket."""

    uri: str
    checks_headers: bool = False
    retry_refused: bool = False
    tells_changes: bool = False

    def batches(
        self, settings: Settings, s3: Any, tally: Tally, *, dry_run: bool
    ) -> Iterator[pa.RecordBatch]:
        """List with ListObjectsV2.

        :raises s3.S3Error: the bucket cannot be listed.
        """
        bucket, prefix = s3_objects.split_uri(self.uri)
        for entries in chunked(chain.from_iterable(self._pages(s3, settings.inspect_threads)), BATCH_ROWS):
            columns: list[list[Any]] = [
                [bucket] * len(entries),
                [entry["Key"] for entry in entries],
                [s3_objects.etag_of(entry) or None for entry in entries],
                [entry["Size"] for entry in entries],
                [entry["LastModified"] for entry in entries],
            ]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, OBJECTS, strict=True)]
            yield object_rows(tally, pa.RecordBatch.from_arrays(arrays, schema=OBJECTS))
        tally.whole = Whole(f"s3://{bucket}/{_below(prefix)}", is_now=True)

    def _pages(self, s3: Any, threads: int) -> Iterator[list[dict[str, Any]]]:
        bucket, prefix = s3_objects.split_uri(self.uri)
        if prefix and not prefix.endswith(("*", "/")):
            # Or the object of that very key.
            single = s3_objects.list_pages(s3, bucket, prefix, delimiter="/")
            yield [entry for page in single for entry in page.get("Contents", []) if entry["Key"] == prefix]
        yield from list_in_parallel(s3, bucket, _below(prefix), threads=threads)


def _below(prefix: str) -> str:
    """What keys begin with: "photos" means the folder photos/, not photos-of-last-year/ too."""
    if prefix.endswith("*"):
        return prefix[:-1]
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
