"""What asking the ledger for contents costs: a night against an archive, read from S3, beside DuckDB.

    PYTHONPATH=include:tests python benchmarks/ledger_contents.py [--entries 10000000] [--listing 1000000]

As `benchmarks/ledger.py`, of which it takes the server: contents lie anywhere, so each night is spread over
all. A part of them is known (``--known``, of a hundred); of these the whole answer is read. DuckDB joins
local copies of the same files with the night.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from ledger import access, mixed, served, timed

from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.ledger.contents import found_in
from moderation.tables.ledger.layout import CONTENT_COLUMNS, Run, part_uri
from moderation.tables.ledger.orders import BY_CONTENT, bits_of
from moderation.tables.ledger.runs import Files, write_run

_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_LOADS = 365


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--listing", type=int, action="append")
    parser.add_argument("--known", type=int, default=1, help="of a hundred contents")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ledger-") as name, served(Path(name)) as settings:
        with s3_objects.open_client(settings) as s3:
            run, seconds, cpu = timed(
                partial(write_run, s3, settings, BY_CONTENT, entries(given.entries), Path(name))
            )
            size = sum(file.bytes for part in run for file in part.files)
            bits = sum(part.bits.bytes for part in run if part.bits is not None)
            print(
                f"{given.entries:,} entries written in {seconds:.1f} s, CPU {cpu:.1f} s: {len(run)} parts, "
                f"{size / given.entries:.1f} bytes an entry, {bits / given.entries:.1f} of them first bits"
            )
            copies = copied(s3, settings, run, Path(name))
        for listed in given.listing or [10_000, 1_000_000]:
            night(settings, run, copies, listed, given)


def night(settings: Settings, run: Run, copies: list[str], listed: int, given: argparse.Namespace) -> None:
    """One listing of contents, asked of ours and of DuckDB, the answers held against each other."""
    known = listed * given.known // 100
    numbers = np.arange(listed, dtype=np.uint64) * np.uint64(given.entries // listed or 1)
    contents = pa.table({"etag": etags(numbers, given.entries, new=np.arange(listed) >= known)})
    contents = contents.take(np.random.default_rng(1).permutation(listed))
    ours, seconds, cpu = timed(partial(asked, settings, run, contents))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    theirs, beside, their_cpu = timed(partial(joined, copies, contents))
    assert ours == theirs, (ours, theirs)
    print(
        f"{listed:,} contents: {ours:,} known; ours {seconds:.1f} s, CPU {cpu:.1f} s "
        f"(peak so far {peak:,.0f} MB), DuckDB {beside:.1f} s, CPU {their_cpu:.1f} s"
    )


def asked(settings: Settings, run: Run, contents: pa.Table) -> int:
    """How many of the contents have an answer, as planning asks."""
    found = found_in(Files(settings, access()), run, np.unique(bits_of(contents["etag"])))
    return of_contents(found, contents)


def of_contents(found: Iterator[pa.RecordBatch], contents: pa.Table) -> int:
    """Of the rows those of the contents, told by their whole ETags."""
    with duckdb.connect() as duck:
        duck.execute("SET threads = 2")
        duck.register("contents", contents)
        duck.register("found", pa.RecordBatchReader.from_batches(BY_CONTENT.schema, found))
        duck.execute("CREATE TABLE answers AS SELECT * FROM found SEMI JOIN contents USING (etag)")
        return int(duck.execute("SELECT count(DISTINCT etag) FROM answers").fetchall()[0][0])


def joined(copies: list[str], contents: pa.Table) -> int:
    """The same by DuckDB alone."""
    with duckdb.connect() as duck:
        duck.execute("SET threads = 2")
        duck.register("contents", contents)
        duck.execute(
            "CREATE TABLE answers AS SELECT * FROM read_parquet(?) SEMI JOIN contents USING (etag)", [copies]
        )
        return int(duck.execute("SELECT count(DISTINCT etag) FROM answers").fetchall()[0][0])


def copied(s3: Any, settings: Settings, run: Run, folder: Path) -> list[str]:
    """Local copies of the run's parts."""
    copies = []
    for part in run:
        copies.append(str(folder / f"copy-{part.name}"))
        with Path(copies[-1]).open("wb") as target:
            s3_objects.download(s3, part_uri(settings, part.name), target)
    return copies


def entries(count: int) -> Iterator[pa.Table]:
    """Sorted entries of a year of nights, as bulk jobs of 10,000 images leave them."""
    for at in range(0, count, BY_CONTENT.group_rows):
        numbers = np.arange(at, min(at + BY_CONTENT.group_rows, count), dtype=np.uint64)
        rows, chance = len(numbers), mixed(numbers)
        loads = pa.array([f"20260101T020000Z-{number * 7919:012x}" for number in range(_LOADS)])
        manifests = pa.array([f"m{number:05d}-{number * 104729:012x}" for number in range(32)])
        of_load, of_manifest = (
            pa.array((chance >> np.uint64(s)) % np.uint64(n)) for s, n in ((8, 365), (20, 32))
        )
        columns = {
            "load_id": loads.take(of_load),
            "manifest_id": manifests.take(of_manifest),
            "line_number": pa.array((chance >> np.uint64(30)) % np.uint64(10_000)),
            "dt": pa.array(np.zeros(rows, dtype="int32") + 20_000, pa.date32()),
            "etag": etags(numbers, count),
            "size_bytes": pa.array(chance % np.uint64(4_000_000)),
            "status": pa.array(["moderated"]).take(pa.array(np.zeros(rows, dtype=np.int64))),
            "content_type": pa.array(["none"]).take(pa.array(np.zeros(rows, dtype=np.int64))),
            "label_count": pa.array(np.where(chance % np.uint64(10) == 0, 3, 0)),
            "model_version": pa.array(["7.0"]).take(pa.array(np.zeros(rows, dtype=np.int64))),
            "backend": pa.array(["bulk"]).take(pa.array(np.zeros(rows, dtype=np.int64))),
            "job_id": pa.array([f"{n:064x}" for n in range(_LOADS * 32)]).take(
                pa.array(((chance >> np.uint64(8)) % np.uint64(_LOADS * 32)).astype(np.int64))
            ),
            "moderated_at": pa.array(
                (chance % np.uint64(_LOADS * 32)).astype(np.int64), pa.timestamp("us", "UTC")
            ),
            "min_confidence": pa.array(np.zeros(rows) + 50.0),
        }
        arrays = [
            columns.get(name, pa.nulls(rows)).cast(BY_CONTENT.schema.field(name).type)
            for name in CONTENT_COLUMNS
        ]
        yield pa.table(arrays, schema=BY_CONTENT.schema)


def etags(numbers: np.ndarray, count: int, new: np.ndarray | None = None) -> pa.Array:
    """As random as MD5's, in the order of the numbers; where ``new``, of none of the ``count`` entries."""
    step = np.uint64(2**64 // count)
    high = numbers * step + mixed(numbers) % (step - np.uint64(1))
    low = mixed(numbers + np.uint64(count))
    if new is not None:
        high = np.where(new, mixed(numbers + np.uint64(3 * count)), high)
    octets = np.stack([high, low], axis=1).astype(">u8").view(np.uint8).reshape(len(numbers), 16)
    text = np.stack([_HEX[octets >> 4], _HEX[octets & 15]], axis=2).reshape(-1)
    ends = pa.array(np.arange(len(numbers) + 1, dtype=np.int32) * 32)
    return pa.StringArray.from_buffers(len(numbers), ends.buffers()[1], pa.py_buffer(text.tobytes()))


if __name__ == "__main__":
    main()
