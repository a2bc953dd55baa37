"""One stage of a run over so many lines, in a process of its own; prints its peak memory in megabytes.

``python -m support.memory_stages STAGE LINES FOLDER`` with an empty folder for files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from moderation.distinct import distinct
from moderation.listing import ListingBuilder, Tally
from moderation.memory import give_back_freed_memory

MANIFEST_LINES = 10_000


def main() -> None:
    stage, lines, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    {"listing": listing}[stage](lines, folder)
    # Not ru_maxrss: Linux counts what the parent had when it started this process.
    print(int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024)


def listing(lines: int, folder: Path) -> None:
    """Objects in no order, each listed twice, become a listing in order, which is read in portions."""
    give_back_freed_memory()
    found, again = distinct(_objects(lines), folder)
    assert (found.rows, again) == (lines // 2, lines // 2)
    last = ""
    for portion in found.portions():
        assert last < portion["source_ref"][0].as_py()
        last = portion["source_ref"][-1].as_py()


def _objects(lines: int) -> Iterator[pa.RecordBatch]:

    builder, tally = ListingBuilder(), Tally()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for start in range(0, lines, MANIFEST_LINES):
        for place in range(start, start + MANIFEST_LINES):
            number = place * 7919 % lines  # each number once, for a prime divides no power of ten
            key = f"archive/2026/{number // 2:09d}.jpg"
            builder.add_object(tally, bucket="photos", key=key, etag=f"{number:032x}", size=9000, at=at)
        yield builder.take()


if __name__ == "__main__":
    os.environ.setdefault("AWS_REGION", "us-east-1")
    main()
