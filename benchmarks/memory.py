"""Peak memory of planning and of publishing, at a number of lines and at ten times as many.

    python benchmarks/memory.py [--lines 100000]

The lines are made here: an S3 Inventory for the plan, manifests with results of bulk jobs for the publish.
Each stage runs in a process of its own, against a real S3; what is printed is the most memory that it ever
had, and the ratio of the two sizes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY / "include"), str(REPOSITORY / "tests")]

import boto3  # noqa: E402 - after the path, so that the script runs uninstalled

from local_aws import seaweedfs  # noqa: E402
from moderation.plan import PlanRequest, load_plan, make_plan  # noqa: E402
from moderation.publish import publish, published_images  # noqa: E402
from moderation.results import AnalysisRecord  # noqa: E402
from moderation.settings import Settings  # noqa: E402
from support.planned_runs import Run, answer, line, weapon_violence  # noqa: E402

KEY = seaweedfs.Credentials("AKIAMEMORYBENCHMARK0", "benchmark-secret-of-no-value")
BUCKET = "memory"
MANIFEST_LINES = 10_000


def main() -> None:
    """Run the stages at both sizes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        folder = Path(name)
        server = seaweedfs.start(folder / "s3", KEY)
        os.environ |= {
            "AWS_ACCESS_KEY_ID": KEY.access_key,
            "AWS_SECRET_ACCESS_KEY": KEY.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": server.endpoint_url,
        }
        try:
            s3 = boto3.client("s3", region_name="us-east-1")
            s3.create_bucket(Bucket=BUCKET)
            for stage in ("plan", "publish"):
                small, large = (measure(stage, folder, s3, given.lines * times) for times in (1, 10))
                print(
                    f"{stage}: {given.lines:,} lines {small:.0f} MB, "
                    f"{10 * given.lines:,} lines {large:.0f} MB, ratio {large / small:.2f}",
                    flush=True,
                )
            s3.close()
        finally:
            server.stop()


def measure(stage: str, folder: Path, s3: Any, lines: int) -> float:
    """Peak memory in MB of a stage."""
    name = f"{stage}-{lines}"
    os.environ |= {
        "MODERATION_WORK_URI": f"s3://{BUCKET}/{name}",
        "MODERATION_TABLES_URI": str(folder / name / "tables"),
        "MODERATION_CATALOG_URI": f"sqlite:///{folder / name / 'catalog.db'}",
    }
    task = inventory(s3, lines, name) if stage == "plan" else answered(s3, lines, name)
    command = [sys.executable, __file__, "--child", stage, task]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def child(stage: str, task: str) -> None:
    """Run one stage and print the peak memory of this process."""
    settings = Settings.from_env()
    if stage == "plan":
        time = datetime(2026, 11, 22, tzinfo=UTC)
        request = PlanRequest(run_key="memory", source=task, logical_time=time, inspect=False)
        make_plan(settings, request, published=published_images)
    else:
        plan = load_plan(task, settings=settings)
        publish(settings, plan, _records(plan))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _records(plan: Any) -> list[AnalysisRecord]:
    """The job records, stored beside the plan."""
    from moderation import s3 as s3_objects  # noqa: PLC0415 - the child's only

    with s3_objects.open_client(Settings.from_env()) as client:
        uris = [plan.analysis_record_uri(manifest.manifest_id) for manifest in plan.manifests]
        return [AnalysisRecord.from_json(s3_objects.read(client, uri).body, where=uri) for uri in uris]


def inventory(s3: Any, lines: int, name: str) -> str:
    """Store an S3 Inventory report of so many pictures; returns its URI."""
    files = []
    for start in range(0, lines, 100_000):
        buffer = io.StringIO()
        writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
        for number in range(start, min(start + 100_000, lines)):
            etag = f"{number:032x}"
            writer.writerow(
                ("photos", f"archive/2026/{number:09d}.jpg", 180_000, "2026-01-02T03:04:05.000Z", etag)
            )
        body = gzip.compress(buffer.getvalue().encode(), 1)
        key = f"{name}/inventory/{start}.csv.gz"
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
    s3.put_object(Bucket=BUCKET, Key=f"{name}/inventory/manifest.json", Body=json.dumps(manifest).encode())
    return f"s3://{BUCKET}/{name}/inventory/manifest.json"


def answered(s3: Any, lines: int, name: str) -> str:
    """Store a plan whose bulk jobs have answered; returns its URI."""
    run = Run(Settings.from_env(), s3, name=name)
    for start in range(0, lines, MANIFEST_LINES):
        refs = [
            f"s3://photos/archive/2026/{number:09d}.jpg" for number in range(start, start + MANIFEST_LINES)
        ]
        body = b"\n".join(
            line(ref, answer(weapon_violence(50 + number % 50) if number % 4 == 0 else ()))
            for number, ref in enumerate(refs)
        )
        run.manifest(refs, body)
    plan = run.store()
    for record in run.records:
        bucket, _, key = plan.analysis_record_uri(record.manifest_id).removeprefix("s3://").partition("/")
        s3.put_object(Bucket=bucket, Key=key, Body=record.to_json())
    return plan.uri


if __name__ == "__main__":
    main()
