"""Speed and peak memory of a compaction to files of the real size.

``PYTHONPATH=include python benchmarks/compaction.py FOLDER [--images 6000000] [--loads 8]``

Several loads of one day are published into FOLDER, merged by `compaction.compact` in a process of its own
with its default target, and read again: every row has to be there. FOLDER can be deleted afterwards.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import boto3

from local_aws import seaweedfs
from local_aws.seaweedfs import Credentials
from moderation.maintenance import compaction
from moderation.query.published_views import open_published
from moderation.settings import Settings

sys.path.insert(0, str(Path(__file__).parent / "queries"))
from generate import Data, connect, publish_day, register

TABLES = ("images", "labels_l1", "labels_l2", "labels_l3")


@contextmanager
def locks(folder: Path) -> Iterator[str]:
    """S3 for the lock of the compaction; the tables are local."""
    credentials = Credentials("AKIABENCHMARK0000000", "secret-of-no-value-anywhere")
    server = seaweedfs.start(folder / "s3", credentials)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": server.endpoint_url,
    }
    boto3.client("s3").create_bucket(Bucket="work")
    try:
        yield "s3://work"
    finally:
        server.stop()


def compact(settings: Settings) -> tuple[float, int, list[str]]:
    start = time.perf_counter()
    done = compaction.compact(settings)
    seconds = time.perf_counter() - start
    said = [f"{table.table}: {table.merged} files into {table.written}, {table.bytes:,} B" for table in done]
    status = Path("/proc/self/status").read_text()
    # Not getrusage: it begins with the peak of the process that started this one.
    return seconds, int(status.partition("VmHWM:")[2].split()[0]), said


def digests(settings: Settings) -> list[object]:
    """An order-free digest of every column of every row."""
    with open_published(settings) as connection:
        return [
            connection.execute(f"SELECT count(*), sum(hash(t)) FROM {table} AS t").fetchone()
            for table in TABLES
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=6_000_000)
    parser.add_argument("--loads", type=int, default=8)
    args = parser.parse_args()
    data = Data(args.folder.absolute(), args.images, args.loads)
    data.folder.mkdir(parents=True, exist_ok=True)
    with connect(data) as connection:
        connection.execute("UPDATE runs SET dt = (SELECT min(dt) FROM runs)")
        for load in range(args.loads):
            publish_day(connection, data, load)
    register(data)
    with locks(data.folder) as work_uri:
        settings = replace(data.settings, work_uri=work_uri)
        before = digests(settings)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, peak, said = pool.apply(compact, (settings,))
        assert digests(settings) == before, "rows were lost or changed"
    print("\n".join(said))
    size = sum(file.stat().st_size for file in (data.folder / "published").rglob("compacted-*.parquet"))
    speed = size / 1e6 / seconds
    print(f"{size / 1e6:,.0f} MB in {seconds:.1f} s: {speed:,.0f} MB/s, peak {peak / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
