"""How much of the DetectModerationLabels quota is used, and how often it is exceeded.

    python benchmarks/detect_pacing.py [--tps 50] [--seconds 20] [--tasks 1 3]

Real processes (one a task, as Airflow runs them) share the quota of a real offline Rekognition that keeps it,
with a moderator that takes no time. "Steady" is what the server was paid for in the middle half of the run,
by its own clock; "whole" is all images over the longest task, with the time it takes to agree on shares.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY / "include"))

from local_aws import seaweedfs  # noqa: E402 - after the path, so that the script runs uninstalled
from local_aws.rekognition import launch  # noqa: E402
from local_aws.rekognition.settings import ServerSettings  # noqa: E402

MODEL_VERSION = "offline-still-1"
BUCKET = "pacing"


class Still:
    """A moderator that sees nothing, at once."""

    def __init__(self, **_: Any) -> None:
        pass

    def moderate(self, data: bytes, *, min_confidence: float = 50.0) -> SimpleNamespace:
        return SimpleNamespace(labels=(), content_types=(), width=80, height=80)


def upload(s3: Any, tasks: int, each: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (80, 80)).save(buffer, "JPEG")
    s3.put_object(Bucket=BUCKET, Key="image.jpg", Body=buffer.getvalue())
    line = json.dumps({"source-ref": f"s3://{BUCKET}/image.jpg"}) + "\n"
    for task in range(tasks):
        s3.put_object(Bucket=BUCKET, Key=f"{tasks}/{task}.jsonl", Body=(line * each).encode())


def run_task(tasks: int, task: int, tps: float, env: dict[str, str], spool: Path) -> dict[str, Any]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "moderation.detect"),
            *(f"s3://{BUCKET}/{tasks}/{task}.jsonl", f"s3://{BUCKET}/out/{tasks}/{task}"),
            *("--tps", str(tps), "--spool", str(spool / f"{tasks}-{task}")),
        ],
        env=env,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def paid_at(server: Any, after: int) -> tuple[list[float], int]:
    """Times of the bills since entry ``after``, and the last entry's number."""
    times, last, page = [], after, after
    while page is not None:
        request = urllib.request.Request(
            f"{server.endpoint_url}/_local/ledger?after={page}",
            headers={"Authorization": f"Bearer {server.admin_token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)
        times += [entry["at"] for entry in found["entries"]]
        last = found["entries"][-1]["id"] if found["entries"] else last
        page = found["next"]
    return sorted(times), last


def steady(times: list[float]) -> float:
    """Bills a second in the middle half of the time: without queues at the start, stragglers at the end."""
    span = times[-1] - times[0]
    middle = [at for at in times if times[0] + span / 4 <= at < times[0] + 3 * span / 4]
    return len(middle) / (span / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tps", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1, 3])
    given = parser.parse_args()

    credentials = seaweedfs.Credentials("AKIAPACINGBENCHMARK0", "of-no-value-anywhere")
    limits = {"calls_per_second": {"*": None, "DetectModerationLabels": given.tps}}
    settings = ServerSettings(moderator="detect_pacing:Still", limits=limits)
    print(
        f"{'tasks':>5} {'quota':>7} {'steady':>10} {'of quota':>9} {'whole':>8} "
        f"{'throttles':>10} {'images':>7}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        storage = seaweedfs.start(folder / "s3", credentials)
        try:
            server = launch.start(
                folder / "rekognition",
                credentials,
                storage.endpoint_url,
                settings=settings,
                python_path=[Path(__file__).parent],
            )
            env = {
                **os.environ,
                "AWS_ACCESS_KEY_ID": credentials.access_key,
                "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
                "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL_S3": storage.endpoint_url,
                "AWS_ENDPOINT_URL_REKOGNITION": server.endpoint_url,
                "MODERATION_WORK_URI": f"s3://{BUCKET}/work",
                "PYTHONPATH": str(REPOSITORY / "include"),
            }
            os.environ.update(env)
            with server:
                s3 = boto3.client("s3", region_name="us-east-1")
                s3.create_bucket(Bucket=BUCKET)
                last = 0
                for tasks in given.tasks:
                    upload(s3, tasks, round(given.tps * given.seconds / tasks))
                    with ThreadPoolExecutor(tasks) as pool:
                        outcomes = list(
                            pool.map(
                                lambda task, tasks=tasks: run_task(
                                    tasks, task, given.tps, env, folder / "spool"
                                ),
                                range(tasks),
                            )
                        )
                    times, last = paid_at(server, last)
                    top = steady(times)
                    whole = len(times) / max(outcome["seconds"] for outcome in outcomes)
                    throttles = sum(outcome["throttles"] for outcome in outcomes)
                    print(
                        f"{tasks:>5} {given.tps:>7g} {top:>8.2f}/s {top / given.tps:>9.1%} {whole:>6.2f}/s "
                        f"{throttles:>10} {len(times):>7}"
                    )
                s3.close()
        finally:
            storage.stop()


if __name__ == "__main__":
    main()
