"""Training on the offline endpoint: seconds, memory, and the pace of a job beside it.

``python benchmarks/training.py 400 10000`` prints a row for each number of images: a training on images that
no job has answered, with its processor time, in which other load on the machine counts least; one on images
that a job has answered, as those of a training from verdicts are; the same once more. The images are those of
``include/local_aws/adapter_images``, changed a little so that each is another. ``--once``: the
first training alone.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "include"))

import boto3  # noqa: E402
import psutil  # noqa: E402
from PIL import Image, ImageEnhance  # noqa: E402

from local_aws import seaweedfs  # noqa: E402
from local_aws.rekognition import launch  # noqa: E402
from local_aws.rekognition.settings import ServerSettings  # noqa: E402

IMAGES = REPOSITORY / "include" / "local_aws" / "adapter_images"
BUCKET = "training"
KEY = seaweedfs.Credentials("AKIABENCHMARK0000000", "b" * 40)
BESIDE = 300


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("counts", type=int, nargs="*", default=[400], metavar="IMAGES")
    parser.add_argument("--once", action="store_true", help="only a training on what nobody has seen")
    given = parser.parse_args()
    timed = ("never seen", "answered before", "trained on before")
    print(
        f"| images | {' | '.join(f'{name}: s, CPU s' for name in timed)} | peak MB | job, images/s | beside |"
    )
    print("|---|---|---|---|---|---|---|")
    for count in given.counts:
        with tempfile.TemporaryDirectory() as folder:
            print(
                f"| {' | '.join(str(value) for value in measure(Path(folder), count, once=given.once))} |",
                flush=True,
            )
    return 0


def measure(folder: Path, count: int, *, once: bool) -> list[Any]:
    """Train on ``count`` images that nobody has seen, alone and with a job beside, and on known ones."""
    with ExitStack() as stack:
        s3_server = seaweedfs.start(folder / "s3", KEY)
        stack.callback(s3_server.stop)
        options = {
            "aws_access_key_id": KEY.access_key,
            "aws_secret_access_key": KEY.secret_key,
            "region_name": "us-east-1",
        }
        s3 = boto3.client("s3", endpoint_url=s3_server.endpoint_url, **options)
        put_images(s3, count)
        with server(folder / "first", s3_server.endpoint_url, options) as first:
            peak = Peak(first.pid)
            cold = first.timed(lambda: train(first.client, "alone"))
            highest = peak.stop()
        if once:
            return [count, f"{cold[0]:.1f}, {cold[1]:.1f}", "", "", round(highest), "", ""]
        with server(folder / "second", s3_server.endpoint_url, options) as second:
            pace = job_pace(second.client, "manifest.jsonl", min(count, BESIDE))
            job_pace(second.client, "everything.jsonl", count)
            known = second.timed(lambda: train(second.client, "known"))
            again = second.timed(lambda: train(second.client, "again"))
        with server(folder / "third", s3_server.endpoint_url, options) as third:
            thread = threading.Thread(target=lambda: train(third.client, "beside"))
            thread.start()
            beside = job_pace(third.client, "manifest.jsonl", min(count, BESIDE))
            still = thread.is_alive()
            thread.join()
        return [
            count, *(f"{wall:.1f}, {busy:.1f}" for wall, busy in (cold, known, again)), round(highest),
            round(pace, 1), f"{beside:.1f}{'' if still else ' (the training ended before)'}",
        ]  # fmt: skip


class Server:
    """A running endpoint and a client of it."""

    def __init__(self, running: launch.Rekognition, options: dict[str, str]) -> None:
        self.client = boto3.client("rekognition", endpoint_url=running.endpoint_url, **options)
        self.pid = running.process.pid

    def timed(self, work: Callable[[], Any]) -> tuple[float, float]:
        """Seconds that some work takes, and of the server's processor time."""
        begun, busy = time.monotonic(), self._busy()
        work()
        return time.monotonic() - begun, self._busy() - busy

    def _busy(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


@contextmanager
def server(state: Path, s3_endpoint_url: str, options: dict[str, str]) -> Iterator[Server]:
    """Start an endpoint that has seen nothing."""
    with launch.start(state, KEY, s3_endpoint_url, settings=ServerSettings()) as running:
        yield Server(running, options)


def put_images(s3: Any, count: int) -> None:
    """Store images, their ground truth and a manifest of some of them."""
    s3.create_bucket(Bucket=BUCKET)
    with (IMAGES / "truth.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    chance = random.Random(3)
    lines = []
    for number in range(count):
        row = rows[number % len(rows)]
        key = f"{number:05}.png"
        with Image.open(IMAGES / "images" / row["file"]) as image, io.BytesIO() as out:
            changed = image.convert("RGB").rotate(chance.uniform(-10, 10), fillcolor=(255, 255, 255))
            ImageEnhance.Brightness(changed).enhance(chance.uniform(0.8, 1.1)).save(out, "PNG")
            s3.put_object(Bucket=BUCKET, Key=key, Body=out.getvalue())
        labels = [{"Name": row["label"]}] if row["label"] else []
        lines.append(
            {
                "source-ref": f"s3://{BUCKET}/{key}",
                "content-moderation-groundtruth": {"ModerationLabels": labels},
            }
        )
    put_lines(s3, "truth.jsonl", lines)
    refs = [{"source-ref": line["source-ref"]} for line in lines]
    put_lines(s3, "manifest.jsonl", refs[:BESIDE])
    put_lines(s3, "everything.jsonl", refs)


def put_lines(s3: Any, key: str, lines: list[dict[str, Any]]) -> None:
    """Store JSON Lines."""
    s3.put_object(Bucket=BUCKET, Key=key, Body="\n".join(map(json.dumps, lines)).encode())


def train(rekognition: Any, name: str) -> None:
    """Train a version and wait for it."""
    project = rekognition.create_project(
        ProjectName=name, Feature="CONTENT_MODERATION", AutoUpdate="DISABLED"
    )
    truth = {"S3Object": {"Bucket": BUCKET, "Name": "truth.jsonl"}}
    rekognition.create_project_version(
        ProjectArn=project["ProjectArn"],
        VersionName="v",
        OutputConfig={"S3Bucket": BUCKET, "S3KeyPrefix": name},
        TrainingData={"Assets": [{"GroundTruthManifest": truth}]},
        TestingData={"AutoCreate": True},
    )
    while True:
        (version,) = rekognition.describe_project_versions(ProjectArn=project["ProjectArn"])[
            "ProjectVersionDescriptions"
        ]
        if version["Status"] != "TRAINING_IN_PROGRESS":
            break
        time.sleep(0.5)
    if version["Status"] != "TRAINING_COMPLETED":
        raise SystemExit(version["StatusMessage"])


def job_pace(rekognition: Any, manifest: str, count: int) -> float:
    """Run a media analysis job on so many images; return images a second."""
    begun = time.monotonic()
    job = rekognition.start_media_analysis_job(
        OperationsConfig={"DetectModerationLabels": {}},
        Input={"S3Object": {"Bucket": BUCKET, "Name": manifest}},
        OutputConfig={"S3Bucket": BUCKET, "S3KeyPrefix": "jobs"},
    )["JobId"]
    while rekognition.get_media_analysis_job(JobId=job)["Status"] not in {"SUCCEEDED", "FAILED"}:
        time.sleep(0.2)
    return count / (time.monotonic() - begun)


class Peak:
    """The most memory (MB resident) that a process has while this watches."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._most = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """End and return the peak."""
        self._over.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            (line,) = [one for one in self._status.read_text().splitlines() if one.startswith("VmRSS")]
            self._most = max(self._most, int(line.split()[1]) / 1000)


if __name__ == "__main__":
    sys.exit(main())
