"""Peak memory of each stage that touches all lines of a run, at a number of lines and at ten times as many.

    python benchmarks/memory.py [--lines 100000] [--stage plan --stage publish …]

The lines are made here: an S3 Inventory in no order, and manifests with the results of bulk jobs. Each stage
runs in a process of its own, against a real S3; printed are its seconds and the most memory that it ever had,
with the ratio of the two sizes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY / "include"), str(REPOSITORY / "tests")]

BUCKET = "memory"
MANIFEST_LINES = 10_000
NAME = "memory"
ETAG = "e1"


def main() -> None:
    """Run the stages at both sizes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000, help="a multiple of 10,000")
    parser.add_argument("--stage", action="append", choices=STAGES)
    parser.add_argument("--child", choices=STAGES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.lines)
        return
    stages = given.stage or list(STAGES)
    found: dict[str, list[tuple[float, float]]] = {stage: [] for stage in stages}
    for lines in (given.lines, 10 * given.lines):
        with tempfile.TemporaryDirectory(prefix="memory-") as name:
            for stage, result in run(Path(name), lines, stages):
                found[stage].append(result)
                print(f"  {stage}, {lines:,} lines: {result[0]:.0f} MB, {result[1]:.1f} s", flush=True)
    print(f"{'':12} {given.lines:>13,} lines {10 * given.lines:>16,} lines  ratio")
    for stage, ((small, quick), (large, slow)) in found.items():
        print(f"{stage:12} {small:7.0f} MB {quick:7.1f} s {large:7.0f} MB {slow:7.1f} s {large / small:8.2f}")


def run(folder: Path, lines: int, stages: list[str]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Megabytes and seconds of the stages, on one server with one run of so many lines."""
    import boto3  # noqa: PLC0415 - a stage shall not pay for what it does not need

    from local_aws import seaweedfs  # noqa: PLC0415

    key = seaweedfs.Credentials("AKIAMEMORYBENCHMARK0", "benchmark-secret-of-no-value")
    server = seaweedfs.start(folder / "s3", key)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": key.access_key,
        "AWS_SECRET_ACCESS_KEY": key.secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": server.endpoint_url,
        "MODERATION_WORK_URI": f"s3://{BUCKET}/work",
        "MODERATION_TABLES_URI": str(folder / "tables"),
        "MODERATION_CATALOG_URI": f"sqlite:///{folder / 'catalog.db'}",
        "MODERATION_WAREHOUSE": str(folder / "warehouse.duckdb"),
        "TMPDIR": str(folder),
    }
    try:
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket=BUCKET)
        if {"plan", "plan again"} & set(stages):
            inventory(s3, lines)
        if set(stages) - {"plan", "detect"}:
            answered(s3, lines)
        s3.close()
        for stage in STAGES:
            needed = stage == "publish" and bool(set(stages) - {"plan", "detect"})
            if stage in stages or needed:
                command = [sys.executable, __file__, "--child", stage, "--lines", str(lines)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                memory, seconds = map(float, done.stdout.split()[-2:])
                if stage in stages:
                    yield stage, (memory, seconds)
    finally:
        server.stop()


def child(stage: str, lines: int) -> None:
    """Run one stage and print the peak memory of this process, and its seconds."""
    from moderation.settings import Settings  # noqa: PLC0415

    begun = time.monotonic()
    STAGES[stage](Settings.from_env(), lines)
    print(peak_megabytes(), time.monotonic() - begun)


def peak_megabytes() -> float:
    """The most memory that this process ever had.

    Not ``ru_maxrss``: Linux counts what the parent had when it started this process.
    """
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def plan(settings: Any, lines: int) -> None:
    """List, sort, leave out what is published, cut, and write inputs and manifests."""
    planned = _plan(settings, "plan")
    assert planned.totals.to_analyse == lines, planned.totals


def plan_again(settings: Any, lines: int) -> None:
    """The same when all of it is published already."""
    planned = _plan(settings, "plan-again")
    assert planned.totals.already_moderated == lines, planned.totals


def _plan(settings: Any, run_key: str) -> Any:
    from moderation.plan.planner import make_plan, release  # noqa: PLC0415
    from moderation.plan.request import PlanRequest  # noqa: PLC0415
    from moderation.tables.published import stream_images  # noqa: PLC0415

    request = PlanRequest(
        run_key=run_key,
        source=f"s3://{BUCKET}/inventory/manifest.json",
        logical_time=datetime(2026, 11, 22, tzinfo=UTC),
        inspect=False,
    )
    made = make_plan(settings, request, published=stream_images)
    release(made, settings=settings)
    return made


def submit(settings: Any, lines: int) -> None:
    """Prove that no manifest changed, as before the first paid call."""
    from moderation.plan.store import check_manifests, load_plan, plan_uri  # noqa: PLC0415
    from moderation.storage import s3_objects  # noqa: PLC0415

    with s3_objects.open_client(settings) as client:
        check_manifests(load_plan(plan_uri(settings, "plan", 1), s3=client), s3=client)


def detect(settings: Any, lines: int) -> None:
    """The two files of each manifest, from the checkpoint of its answers; one manifest after the other."""
    from moderation.analyse.detect.checkpoint import Spool  # noqa: PLC0415
    from moderation.analyse.detect.manifest import Line, ManifestFile  # noqa: PLC0415
    from moderation.analyse.detect.output import Place, write_files  # noqa: PLC0415
    from moderation.storage import s3_objects  # noqa: PLC0415
    from support.planned_runs import answer, weapon_violence  # noqa: PLC0415

    with s3_objects.open_client(settings) as client, tempfile.TemporaryDirectory() as folder:
        for start in range(0, lines, MANIFEST_LINES):
            some = [Line(number + 1, ref) for number, ref in enumerate(references(start))]
            images = {line.number: line.source_ref or "" for line in some}
            with Spool(Path(folder, f"{start}.spool"), f"job-{start}", images) as spool:
                for line in some:
                    spool.add(line.number, answer=answer(weapon_violence()))
                manifest = ManifestFile(f"s3://{BUCKET}/m{start}", "", tuple(some))
                write_files(client, Place(f"s3://{BUCKET}/detect/{start}"), manifest, spool, None)
                spool.delete()


def publish(settings: Any, lines: int) -> None:
    """Reconcile, flatten, write, upload, commit."""
    from moderation.analyse.record import AnalysisRecord  # noqa: PLC0415
    from moderation.publish.commit import publish as publish_load  # noqa: PLC0415
    from moderation.storage import s3_objects  # noqa: PLC0415

    planned = _answered_plan(settings)
    with s3_objects.open_client(settings) as client:
        uris = [planned.analysis_record_uri(manifest.manifest_id) for manifest in planned.manifests]
        records = [AnalysisRecord.from_json(s3_objects.read(client, uri).body, where=uri) for uri in uris]
    load = publish_load(settings, planned, records)
    assert load.row["moderated"] == lines, load.row


def load(settings: Any, lines: int) -> None:
    """Into the DuckDB file."""
    from moderation.warehouses import configured  # noqa: PLC0415

    for warehouse in configured.configured(settings):
        assert warehouse.load(_answered_plan(settings).load_id)["images"] == lines


def report(settings: Any, lines: int) -> None:
    """The run's report as text and the completion report."""
    from moderation.report.run_report import report as write_report  # noqa: PLC0415

    planned = _answered_plan(settings)
    write_report(planned.uri, planned.load_id, settings=settings)


def rebuild(settings: Any, lines: int) -> None:
    """The tables anew from the raw answers."""
    from moderation.maintenance.rebuild import rebuild as rebuild_tables  # noqa: PLC0415

    (done,) = rebuild_tables(settings)
    assert done.is_same_digest, done


def _answered_plan(settings: Any) -> Any:
    from moderation.plan.store import load_plan  # noqa: PLC0415

    return load_plan(f"{settings.work_uri}/runs/{NAME}/plan-001/plan.json", settings=settings)


STAGES: dict[str, Callable[[Any, int], None]] = {
    "plan": plan,
    "submit": submit,
    "detect": detect,
    "publish": publish,
    "load": load,
    "report": report,
    "plan again": plan_again,
    "rebuild": rebuild,
}


def references(start: int) -> list[str]:
    """The pictures of a manifest."""
    return [f"s3://photos/archive/2026/{number:09d}.jpg" for number in range(start, start + MANIFEST_LINES)]


def inventory(s3: Any, lines: int) -> None:
    """Store an S3 Inventory report of so many pictures, in no order."""
    numbers = list(range(lines))
    random.Random(1).shuffle(numbers)
    files = []
    for start in range(0, lines, 100_000):
        body = gzip.compress(
            "".join(
                f'"photos","archive/2026/{number:09d}.jpg","180000","2026-01-02T03:04:05.000Z","{ETAG}"\n'
                for number in numbers[start : start + 100_000]
            ).encode(),
            1,
        )
        key = f"inventory/{start}.csv.gz"
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        files.append({"key": key, "size": len(body), "MD5checksum": hashlib.md5(body).hexdigest()})
    manifest = {
        "sourceBucket": "photos",
        "destinationBucket": f"arn:aws:s3:::{BUCKET}",
        "version": "2016-11-30",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
        "files": files,
    }
    s3.put_object(Bucket=BUCKET, Key="inventory/manifest.json", Body=json.dumps(manifest).encode())


def answered(s3: Any, lines: int) -> None:
    """Store a plan whose bulk jobs have answered, every fourth picture with labels of three levels."""
    from moderation.settings import Settings  # noqa: PLC0415
    from support.planned_runs import Run, answer, weapon_violence  # noqa: PLC0415

    made = Run(Settings.from_env(), s3, name=NAME)
    said = [
        json.dumps(answer(weapon_violence(50 + number % 50) if number % 4 == 0 else ()))
        for number in range(100)
    ]
    for start in range(0, lines, MANIFEST_LINES):
        refs = references(start)
        body = "\n".join(
            f'{{"source-ref": "{ref}", "detect-moderation-labels": {said[number % 100]}}}'
            for number, ref in enumerate(refs)
        )
        made.manifest(refs, body.encode(), etag=ETAG)
    stored = made.store()
    for record in made.records:
        for uri, body in (
            (stored.analysis_record_uri(record.manifest_id), record.to_json()),
            (record.manifest_uri, b"a report tells its checksum, whatever it is"),
        ):
            bucket, _, key = uri.removeprefix("s3://").partition("/")
            s3.put_object(Bucket=bucket, Key=key, Body=body)


if __name__ == "__main__":
    main()
