"""How much of the DetectModerationLabels quota is used over whole runs, and what trouble costs.

    python benchmarks/detect_pacing.py [quiet] [death] [storm] [--tps 50] [--seconds 60] [--tasks 3]

Real processes (one a task, as Airflow runs them) share the quota of a real offline Rekognition that keeps it,
with a moderator that takes no time. By the server's own clock:

- "steady" is what it was paid for in the middle half of the run,
- "whole" all images from the first bill to the last, with joining, handing over and the last stragglers,
- "wall" all images from the first task's start to the last one's files.

``death`` kills one task with SIGKILL after a third of the time, and runs it again when the others have ended;
"back" is how long the others took to use its share. ``storm`` has the server refuse 30 % of the calls, at
random, for as long as the middle third of the run; at most 70 % of the quota can get through then. "Lost" are
images without a result, "twice" those paid for more than once.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime
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
STORM = {"kind": "throttle", "operation": "DetectModerationLabels", "probability": 0.3, "seed": 4}
SCENARIOS = ("quiet", "death", "storm")


class Still:
    """A moderator that sees nothing, at once."""

    def __init__(self, **_: Any) -> None:
        pass

    def moderate(self, data: bytes, *, min_confidence: float = 50.0) -> SimpleNamespace:
        return SimpleNamespace(labels=(), content_types=(), width=80, height=80)


@dataclass
class Bench:
    """The servers, and the place of one scenario's files."""

    server: Any
    s3: Any
    env: dict[str, str]
    folder: Path
    scenario: str
    tasks: int
    tps: float
    seconds: float
    began: float = 0.0
    outcomes: dict[int, dict[str, Any]] = field(default_factory=dict)

    def upload(self) -> int:
        """Write the manifests; returns the number of images."""
        each = round(self.tps * self.seconds / self.tasks)
        line = json.dumps({"source-ref": f"s3://{BUCKET}/image.jpg"}) + "\n"
        for task in range(self.tasks):
            key = f"{self.scenario}/{task}.jsonl"
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=(line * each).encode())
        return each * self.tasks

    def start(self, task: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "moderation.cli.detect"),
                *(f"s3://{BUCKET}/{self.scenario}/{task}.jsonl", f"s3://{BUCKET}/out/{self.scenario}/{task}"),
                *("--tps", str(self.tps), "--spool", str(self.folder / "spool" / f"{self.scenario}-{task}")),
                *("--part-seconds", "2", "--owner-seconds", "6"),
            ],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def wait(self, task: int, process: subprocess.Popen[bytes]) -> None:
        out, errors = process.communicate()
        if process.returncode:
            raise SystemExit(errors.decode())
        self.outcomes[task] = json.loads(out)

    def local(self, path: str, method: str = "GET", body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.server.endpoint_url}/_local{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.server.admin_token}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def paid_at(self, since: float) -> list[float]:
        """Times of the bills after ``since``."""
        times, page = [], 0
        while page is not None:
            found = self.local(f"/ledger?after={page}")
            times += [entry["at"] for entry in found["entries"]]
            page = found["next"]
        return sorted(at for at in times if at >= since)

    def run(self) -> str:
        """Run the scenario; returns its line of the table."""
        images = self.upload()
        self.began = time.time()
        processes = {task: self.start(task) for task in range(self.tasks)}
        killed_at = storm = None
        if self.scenario == "death":
            killed_at = self._kill(processes)
        if self.scenario == "storm":
            storm = self._storm()
        threads = [threading.Thread(target=self.wait, args=item) for item in processes.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ended = max(map(completed, self.outcomes.values()))
        times = self.paid_at(self.began)
        if killed_at:
            self.wait(0, self.start(0))
        paid = len(self.paid_at(self.began))
        answered = sum(outcome["billed"] for outcome in self.outcomes.values())
        return self._row(times, ended, images, answered, paid) + self._trouble(times, killed_at, storm)

    def _kill(self, processes: dict[int, subprocess.Popen[bytes]]) -> float:
        time.sleep(self.seconds / 3)
        victim = processes.pop(0)
        victim.kill()
        victim.communicate()
        return time.time()

    def _storm(self) -> tuple[float, float]:
        time.sleep(self.seconds / 3)
        self.local("/faults", "PUT", [STORM])
        begun = time.time()
        time.sleep(self.seconds / 3)
        self.local("/faults", "DELETE")
        return begun, time.time()

    def _row(self, times: list[float], ended: float, images: int, answered: int, paid: int) -> str:
        span = times[-1] - times[0]
        middle = [at for at in times if times[0] + span / 4 <= at < times[0] + 3 * span / 4]
        started = min(float_time(outcome["started_at"]) for outcome in self.outcomes.values())
        throttles = sum(outcome["throttles"] for outcome in self.outcomes.values())
        return (
            f"{self.scenario:<8} {self.tasks:>5} {self.tps:>6g} {images:>7} "
            f"{len(middle) / (span / 2) / self.tps:>7.1%} {len(times) / span / self.tps:>7.1%} "
            f"{len(times) / (ended - started) / self.tps:>7.1%} {throttles:>9} "
            f"{images - answered:>5} {paid - answered:>6}"
        )

    def _trouble(self, times: list[float], killed_at: float | None, storm: tuple[float, float] | None) -> str:
        def used(begin: float, end: float) -> str:
            return f"{sum(begin <= at < end for at in times) / (end - begin) / self.tps:.0%}"

        if killed_at:
            seconds = range(30)
            back = next(
                (
                    s
                    for s in seconds
                    if sum(killed_at + s <= at < killed_at + s + 3 for at in times) >= 2.85 * self.tps
                ),
                None,
            )
            return f"  back after {back} s" if back is not None else "  not back"
        if storm:
            begun, ended = storm
            return (
                f"  in the storm {used(begun + 2, ended)}, the 10 s after it {used(ended, ended + 10)}, "
                f"then {used(ended + 10, times[-1])}"
            )
        return ""


def float_time(text: str) -> float:

    return datetime.fromisoformat(text).timestamp()


def completed(outcome: dict[str, Any]) -> float:
    return float_time(outcome["completed_at"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scenario", nargs="*", default=["quiet"], help=", ".join(SCENARIOS))
    parser.add_argument("--tps", type=float, nargs="+", default=[50.0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--tasks", type=int, default=3)
    given = parser.parse_args()
    print(
        f"{'':<8} {'tasks':>5} {'quota':>6} {'images':>7} {'steady':>7} {'whole':>7} {'wall':>7} "
        f"{'throttles':>9} {'lost':>5} {'twice':>6}",
        flush=True,
    )
    credentials = seaweedfs.Credentials("AKIAPACINGBENCHMARK0", "of-no-value-anywhere")
    for tps in given.tps:
        for scenario in given.scenario:
            with tempfile.TemporaryDirectory() as temporary:
                measure(Path(temporary), credentials, scenario, given.tasks, tps, given.seconds)


def measure(  # noqa: PLR0917 - a script
    folder: Path, credentials: seaweedfs.Credentials, scenario: str, tasks: int, tps: float, seconds: float
) -> None:
    limits = {"calls_per_second": {"*": None, "DetectModerationLabels": tps}}
    settings = ServerSettings(moderator="detect_pacing:Still", limits=limits)
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
            picture = io.BytesIO()
            Image.new("RGB", (80, 80)).save(picture, "JPEG")
            s3.put_object(Bucket=BUCKET, Key="image.jpg", Body=picture.getvalue())
            print(Bench(server, s3, env, folder, scenario, tasks, tps, seconds).run(), flush=True)
            s3.close()
    finally:
        storage.stop()


if __name__ == "__main__":
    main()
