"""What asking the ledger costs: a night against an archive, read from S3, beside DuckDB over the same files.

    PYTHONPATH=include:tests python benchmarks/ledger.py [--entries 10000000] [--listing 1000000]

One real S3 server holds the ledger. The archive is written as one big run, as a merge leaves it; the listing
lies under one prefix first and is spread over all afterwards; half of its keys are known. Ours asks portion
by portion as planning does, from S3. DuckDB makes one anti-join of the listing and local copies of the same
files, for its reader of S3 is an extension to be downloaded. Both read the listing from a local file, both
get two threads; DuckDB 8 GB of memory, and room on disk beyond.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from local_aws import seaweedfs
from moderation.plan import ledger
from moderation.plan.ledger import Question
from moderation.settings import Settings
from moderation.sources.gone import side_by_side
from moderation.storage import s3_objects
from moderation.storage.row_file import PORTION_ROWS
from moderation.tables.ledger.layout import COLUMNS, Run, part_uri
from moderation.tables.ledger.lookup import Lookup
from moderation.tables.ledger.names import names_below
from moderation.tables.ledger.orders import BY_NAME, by_name
from moderation.tables.ledger.runs import Files, merged, write_run

BUCKET = "work"
FAN_IN, DELTA = 16, 10_000
QUESTION = Question("7.0", None, 50.0)
_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_Made = TypeVar("_Made")
LISTED = pa.schema([("source_ref", pa.string()), ("etag", pa.string())])
PREFIX = "s3://photos-of-an-archive/customers"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--listing", type=int, default=1_000_000)
    parser.add_argument("--all", action="store_true", help="also ask for as many keys as there are entries")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ledger-") as name, served(Path(name)) as settings:
        with s3_objects.open_client(settings) as s3:
            begin = time.perf_counter()
            run = write_run(s3, settings, BY_NAME, entries(given.entries), Path(name))
            size = sum(part.bytes for part in run)
            print(
                f"{given.entries:,} entries written in {time.perf_counter() - begin:.1f} s: "
                f"{len(run)} parts, {size / given.entries:.1f} bytes an entry"
            )
            merging(s3, settings, Path(name), size / given.entries)
            copies = [str(Path(name) / f"copy-{part.name}") for part in run]
            for part, copy in zip(run, copies, strict=True):
                with Path(copy).open("wb") as target:
                    s3_objects.download(s3, part_uri(settings, part.name), target)
        nights(settings, run, copies, given)
        whole(settings, run, copies, given.entries)


@contextmanager
def served(folder: Path) -> Iterator[Settings]:
    """A server of S3 below the folder, and settings of it; two threads for what Arrow does."""
    key = seaweedfs.Credentials("AKIALEDGERBENCHMARKS", "benchmark-secret-of-no-value")
    server = seaweedfs.start(folder / "s3", key)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": key.access_key,
        "AWS_SECRET_ACCESS_KEY": key.secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": server.endpoint_url,
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # as the product's own processes have it; see storage.memory
    }
    pa.set_cpu_count(2)
    try:
        settings = replace(Settings.from_env(), work_uri=f"s3://{BUCKET}/work")
        with s3_objects.open_client(settings) as s3:
            s3.create_bucket(Bucket=BUCKET)
        yield settings
    finally:
        server.stop()


def nights(settings: Settings, run: Run, copies: list[str], given: argparse.Namespace) -> None:
    """Each listing, asked of ours and of DuckDB, the answers held against each other."""
    step = max(given.entries // (given.listing // 2), 1)
    listings = {
        "under one prefix": listing(given.entries // 3, given.listing, 1),
        "spread": listing(0, given.listing, step),
    }
    if given.all:
        listings["as many as entries"] = listing(0, given.entries, 2)
    for name, made in listings.items():
        with written(made, Path(copies[0]).parent) as file:
            known = beside(partial(asked, settings, run, file), partial(anti_join, copies, file))
        print(f"{name}: {known} known", flush=True)


def whole(settings: Settings, run: Run, copies: list[str], entries: int) -> None:
    """A listing of the whole archive that shows every second known key: which others are gone."""
    with written(listing(0, entries, 2), Path(copies[0]).parent) as file:
        missing = beside(partial(gone, settings, run, file), partial(gone_by_join, copies, file))
    print(f"a whole listing of {entries:,}: {missing} gone", flush=True)


def beside(ours: Callable[[], int], theirs: Callable[[], int]) -> str:
    """What both find, alike, and what it took each."""
    (found, seconds, cpu), peak = apart(ours)
    (other, their_seconds, their_cpu), their_peak = apart(theirs)
    assert found == other, (found, other)
    return (
        f"ours {seconds:.1f} s, CPU {cpu:.1f} s, {peak:,.0f} MB; DuckDB {their_seconds:.1f} s, "
        f"CPU {their_cpu:.1f} s, {their_peak:,.0f} MB; ratio {seconds / their_seconds:.2f}, "
        f"CPU {cpu / their_cpu:.2f}; {found:,}"
    )


def apart(work: Callable[[], int]) -> tuple[tuple[int, float, float], float]:
    """What `timed` says of work in a process of its own, and the most memory that this had, in MB."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(alone, work).result()


def alone(work: Callable[[], int]) -> tuple[tuple[int, float, float], float]:
    """The part of `apart` in the process."""
    pa.set_cpu_count(2)
    return timed(work), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def gone(settings: Settings, run: Run, file: Path) -> int:
    """How many entries a listing does not show."""
    names = names_below(Files(settings, access()), [run], PREFIX)
    shown = (portion["source_ref"].combine_chunks() for portion in portions(file))
    pairs = side_by_side(names, shown, is_bounded=False)
    return sum(len(known) - pc.sum(pc.is_in(known, value_set=seen)).as_py() for known, seen in pairs)


def gone_by_join(copies: list[str], file: Path) -> int:
    """The same by DuckDB's anti-join."""
    with joining(file) as duck:
        found = duck.execute(
            "SELECT count(*) FROM (SELECT source_ref FROM read_parquet(?)) "
            "ANTI JOIN (SELECT source_ref FROM read_parquet(?)) USING (source_ref)",
            [copies, str(file)],
        ).fetchone()
    assert found is not None
    return int(found[0])


@contextmanager
def written(made: Iterator[pa.Table], folder: Path) -> Iterator[Path]:
    """A listing as a local file, which both sides read."""
    file = folder / "listing.parquet"
    with pq.ParquetWriter(file, LISTED, compression="zstd") as target:
        for portion in made:
            target.write_table(portion)
    yield file
    file.unlink()


def portions(file: Path) -> Iterator[pa.Table]:
    """The listing in the portions in which planning reads one."""
    with pq.ParquetFile(file) as listed:
        for batch in listed.iter_batches(PORTION_ROWS):
            yield pa.Table.from_batches([batch])


@contextmanager
def joining(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of the same threads, whose memory a machine has."""
    with duckdb.connect() as duck:
        duck.execute("SET threads = 2")
        duck.execute("SET enable_progress_bar = false")
        duck.execute("SET memory_limit = '8GB'")
        duck.execute(f"SET temp_directory = '{file.parent / 'spilled'}'")
        yield duck


def merging(s3: Any, settings: Settings, folder: Path, bytes_each: float) -> None:
    """What a run of each night and its merges write, for as many nights as fill two tiers."""
    files, nights_each = Files(settings, access()), FAN_IN
    runs = [
        write_run(s3, settings, BY_NAME, entries(DELTA, first=number), folder)
        for number in range(nights_each)
    ]
    one = sum(part.bytes for run in runs for part in run)
    begin = time.perf_counter()
    big = write_run(
        s3, settings, BY_NAME, merged([files.stream(run, BY_NAME) for run in runs], BY_NAME.key), folder
    )
    seconds = time.perf_counter() - begin
    merged_bytes = sum(part.bytes for part in big)
    print(
        f"{nights_each} runs of {DELTA:,}: {one:,} bytes written, merged in {seconds:.2f} s into "
        f"{merged_bytes:,}: {(one + merged_bytes) / (FAN_IN * DELTA * bytes_each):.2f} times the rows' bytes "
        "with this merge, once more with each sixteenfold growth"
    )


def entries(count: int, first: int = 0) -> Iterator[pa.Table]:
    """Sorted entries; every second number is known."""
    for at in range(0, count, BY_NAME.group_rows):
        numbers = pa.array(range(at, min(at + BY_NAME.group_rows, count)), pa.int64())
        table = keyed(pc.add(pc.multiply(numbers, 2), 2 * first * count))
        rows = len(table)
        constant = {"status": "moderated", "error_code": None, "model_version": "7.0", "adapter": None}
        columns = {name: pa.array([value] * rows, pa.string()) for name, value in constant.items()}
        more = {"min_confidence": pa.array([50.0] * rows)}
        yield by_name(
            pa.table({**dict(zip(table.column_names, table.columns, strict=True)), **columns, **more})
        )


def listing(begin: int, rows: int, step: int) -> Iterator[pa.Table]:
    """Portions of a listing in order: a known key, an unknown one, ``step`` entries on, and so forth."""
    for at in range(0, rows, PORTION_ROWS):
        places = range(at, min(at + PORTION_ROWS, rows))
        yield keyed(pa.array([2 * (begin + place // 2 * step) + place % 2 for place in places], pa.int64()))


def keyed(numbers: pa.Array) -> pa.Table:
    """Names of 80 bytes in order of the numbers, and etags as random as MD5's."""
    texts = pc.utf8_lpad(numbers.cast(pa.string()), 14, "0")
    folders = pc.utf8_slice_codeunits(texts, 0, 9)
    names = pc.binary_join_element_wise(PREFIX, folders, texts, "original-photo.jpg", "/")
    return pa.table({"source_ref": names, "etag": md5s(numbers.to_numpy().astype(np.uint64))})


def md5s(numbers: np.ndarray) -> pa.Array:
    """ETags as random as MD5's."""
    words = [mixed(numbers), mixed(numbers + np.uint64(1 << 40))]
    octets = np.stack(words, axis=1).astype(">u8").view(np.uint8).reshape(-1)
    text = np.stack([_HEX[octets >> 4], _HEX[octets & 15]], axis=1).tobytes()
    ends = pa.py_buffer(np.arange(len(numbers) + 1, dtype=np.int32) * 32)
    return pa.StringArray.from_buffers(len(numbers), ends, pa.py_buffer(text))


def mixed(numbers: np.ndarray) -> np.ndarray:
    """SplitMix64 of numbers of 64 bits."""
    found = numbers * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        found = (found ^ (found >> np.uint64(shift))) * np.uint64(factor)
    return found ^ (found >> np.uint64(31))


def asked(settings: Settings, run: Run, file: Path) -> int:
    """How many of the listing are settled, as planning asks."""
    found = 0
    with Lookup(Files(settings, access()), [run]) as lookup:
        for portion in portions(file):
            rows = lookup.about(COLUMNS, portion["source_ref"])
            settled = ledger.settled(portion, rows, question=QUESTION)
            found += len(settled) - settled.null_count
    return found


def anti_join(copies: list[str], file: Path) -> int:
    """How many of the listing DuckDB's anti-join does not leave."""
    with joining(file) as duck:
        left = duck.execute(
            "SELECT (SELECT count(*) FROM read_parquet($listing)) - count(*) "
            "FROM read_parquet($listing) ANTI JOIN "
            "(SELECT source_ref, lower(hex(md5)) AS etag FROM read_parquet($known) "
            "WHERE status = 'moderated') USING (source_ref, etag)",
            {"listing": str(file), "known": copies},
        ).fetchone()
    assert left is not None
    return int(left[0])


def access() -> dict[str, str]:
    """How Arrow reaches the server."""
    names = {"endpoint": "AWS_ENDPOINT_URL_S3", "access-key-id": "AWS_ACCESS_KEY_ID"}
    names |= {"secret-access-key": "AWS_SECRET_ACCESS_KEY", "region": "AWS_REGION"}
    return {f"s3.{name}": os.environ[variable] for name, variable in names.items()}


def timed(work: Callable[[], _Made]) -> tuple[_Made, float, float]:
    """What it gives, how long it took, and how much of the CPU."""
    begin, cpu = time.perf_counter(), time.process_time()
    return work(), time.perf_counter() - begin, time.process_time() - cpu


if __name__ == "__main__":
    main()
