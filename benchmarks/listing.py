"""How fast images are found: a prefix listed in parallel beside plain ways, and an S3 Inventory of many keys.

    PYTHONPATH=include:tests python benchmarks/listing.py [--objects 40000] [--folders 16] [--keys 1000000]

One real S3 server holds the objects. The best raw listing is given every folder by name, a thread for each;
ours finds the folders by itself. Each is the best of three. The inventory is read as the planner reads it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from local_aws import seaweedfs
from moderation.settings import Settings
from moderation.sources.listing import Tally
from moderation.sources.parallel_listing import list_in_parallel
from moderation.sources.s3_prefix import S3Prefix
from moderation.sources.told.inventory import Inventory
from moderation.storage import s3_objects

BUCKET, ROUNDS, THREADS = "photos", 3, 16


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--objects", type=int, default=40_000)
    parser.add_argument("--folders", type=int, default=16)
    parser.add_argument("--keys", type=int, default=1_000_000, help="in the inventory; 0 for none")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="listing-") as name:
        key = seaweedfs.Credentials("AKIALISTINGBENCHMARK", "benchmark-secret-of-no-value")
        server = seaweedfs.start(Path(name) / "s3", key)
        os.environ |= {
            "AWS_ACCESS_KEY_ID": key.access_key,
            "AWS_SECRET_ACCESS_KEY": key.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": server.endpoint_url,
        }
        try:
            settings = replace(Settings.from_env(), inspect_threads=THREADS)
            with s3_objects.open_client(settings, connections=2 * THREADS) as s3:
                s3.create_bucket(Bucket=BUCKET)
                listings(s3, settings, given.objects, given.folders)
                if given.keys:
                    inventory(s3, settings, given.keys)
        finally:
            server.stop()


def listings(s3: Any, settings: Settings, objects: int, folders: int) -> None:
    """One prefix, listed in four ways."""
    names = [f"archive/{number % folders:03d}/{number:08d}.jpg" for number in range(objects)]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda name: s3.put_object(Bucket=BUCKET, Key=name, Body=b"-"), names))

        def raw(folder: int) -> int:
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=BUCKET, Prefix=f"archive/{folder:03d}/"
            )
            return sum(len(page.get("Contents", [])) for page in pages)

        ways: dict[str, Callable[[], int]] = {
            "raw, every folder known, a thread each": lambda: sum(pool.map(raw, range(folders))),
            "ours, bare": lambda: sum(
                len(page) for page in list_in_parallel(s3, BUCKET, "archive/", threads=THREADS)
            ),
            "ours, rows as planned": lambda: rows(S3Prefix(f"s3://{BUCKET}/archive/"), s3, settings),
            "raw, page after page": lambda: sum(
                len(page["Contents"]) for page in s3_objects.list_pages(s3, BUCKET, "archive/")
            ),
        }
        best = {}
        for way, run in ways.items():
            seconds = []
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                assert run() == objects
                seconds.append(time.perf_counter() - begun)
            best[way] = min(seconds)
    fastest = best["raw, every folder known, a thread each"]
    print(f"{objects:,} objects in {folders} folders, {THREADS} threads")
    for way, seconds in best.items():
        pace = objects / seconds
        print(f"  {way:40} {seconds:7.2f} s {pace:10,.0f} keys/s {fastest / seconds:7.2f} of the best raw")


def rows(source: Any, s3: Any, settings: Settings) -> int:
    """How many rows a source gives."""
    return sum(batch.num_rows for batch in source.batches(settings, s3, Tally(), dry_run=True))


def inventory(s3: Any, settings: Settings, keys: int) -> None:
    """A CSV inventory of ten files."""
    entries = []
    for part in range(10):
        lines = (
            f'"photos","archive/some%20folder/{n * 7919 % keys:09d}.jpg","{1000 + n}",'
            f'"2026-01-02T03:04:05.000Z","{n:032x}","true","false"\n'
            for n in range(part * keys // 10, (part + 1) * keys // 10)
        )
        body = gzip.compress("".join(lines).encode(), 1)
        s3.put_object(Bucket=BUCKET, Key=f"inventory/{part}.csv.gz", Body=body)
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        entries.append({"key": f"inventory/{part}.csv.gz", "MD5checksum": md5})
        del body
    manifest = {
        "destinationBucket": f"arn:aws:s3:::{BUCKET}",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag, IsLatest, IsDeleteMarker",
        "files": entries,
    }
    s3.put_object(Bucket=BUCKET, Key="inventory/manifest.json", Body=json.dumps(manifest))
    begun = time.perf_counter()
    assert rows(Inventory(f"s3://{BUCKET}/inventory/manifest.json"), s3, settings) == keys
    print(f"inventory of {keys:,} keys (CSV, 10 files): {time.perf_counter() - begun:.1f} s")
    estimated(settings)


def estimated(settings: Settings) -> None:
    """The command over the same inventory, in a process of its own: time, processor time, and memory."""
    command = [sys.executable, "-m", "moderation.cli", "archive", "estimate", "--json", "--dry-run"]
    with tempfile.TemporaryDirectory(prefix="estimate-") as folder:
        places = {
            "MODERATION_CATALOG_URI": f"sqlite:///{folder}/catalog.db",
            "MODERATION_TABLES_URI": f"{folder}/tables",
            "MODERATION_WORK_URI": f"s3://{BUCKET}/work",
        }
        begun = time.perf_counter()
        process = subprocess.Popen(
            [*command, f"s3://{BUCKET}/inventory/manifest.json"],
            env=os.environ | places,
            stdout=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
    assert status == 0
    processor = used.ru_utime + used.ru_stime
    print(
        f"  archive estimate of it: {seconds:.1f} s, {processor:.1f} s of processor time, "
        f"{used.ru_maxrss / 1024:,.0f} MB at most"
    )


if __name__ == "__main__":
    main()
