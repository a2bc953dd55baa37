"""One stage of a run over so many lines, in a process of its own; prints its peak memory in megabytes.

``python -m support.memory_stages STAGE LINES FOLDER`` with an empty folder for files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import orjson
import pyarrow as pa

from moderation.analyse.record import AnalysisRecord, JobStatus
from moderation.flatten.flatten import flatten_unplanned
from moderation.flatten.rows import LoadContext
from moderation.plan.content.deduplicate import distinct
from moderation.schema import IMAGES, LABELS
from moderation.sources.listing import OBJECTS, Tally, object_rows
from moderation.storage.memory import give_back_freed_memory
from moderation.tables.writer import LoadWriter
from support.planned_runs import answer, weapon_violence

MANIFEST_LINES = 10_000


def main() -> None:
    stage, lines, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    {"listing": listing, "tables": tables}[stage](lines, folder)
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


def tables(lines: int, folder: Path) -> None:
    """Results files, every fourth line with labels of three levels, become Parquet files."""
    give_back_freed_memory()
    context = LoadContext(
        load_id="load", dt=date(2026, 1, 1), min_confidence=50.0, adapter=None, model_version=None
    )
    with LoadWriter(folder, "load") as writer:
        for start in range(0, lines, MANIFEST_LINES):
            record = AnalysisRecord(
                manifest_id=f"{start}", manifest_uri="", lines=0, backend="bulk", status=JobStatus.SUCCEEDED
            )
            for part in flatten_unplanned(context, record, [(_results(start), 1)]):
                writer.write(IMAGES, part.images)
                for (level, _), rows in part.labels.items():
                    writer.write(LABELS[level], rows)
        assert sum(file.rows for file in writer.finish() if file.table == "images") == lines


def _results(start: int) -> bytes:
    said = [orjson.dumps(answer(())), orjson.dumps(answer(weapon_violence()))]
    line = b'{"source-ref":"s3://photos/archive/2026/%09d.jpg","detect-moderation-labels":%b}\n'
    numbers = range(start, start + MANIFEST_LINES)
    return b"".join(line % (number, said[number % 4 == 0]) for number in numbers)


def _objects(lines: int) -> Iterator[pa.RecordBatch]:
    tally, at = Tally(), datetime(2026, 1, 1, tzinfo=UTC)
    for start in range(0, lines, MANIFEST_LINES):
        numbers = range(start, min(start + MANIFEST_LINES, lines))
        places = [place * 7919 % lines for place in numbers]  # each once, for a prime divides no power of ten
        columns: list[list[object]] = [
            ["photos"] * len(places),
            [f"archive/2026/{number // 2:09d}.jpg" for number in places],
            [f"{number:032x}" for number in places],
            [9000] * len(places),
            [at] * len(places),
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, OBJECTS, strict=True)]
        yield object_rows(tally, pa.RecordBatch.from_arrays(arrays, schema=OBJECTS))


if __name__ == "__main__":
    os.environ.setdefault("AWS_REGION", "us-east-1")
    main()
