"""Manifests an hour through the real scheduler, and what Airflow takes for each, with inference off.

    python benchmarks/throughput.py [--manifests 60] [--images 100] [--slots 4] [--deferrable] [--spare 2]

A stack as `make up` starts it, in a folder of its own, moderates so many manifests in one run of *Moderate
images*. The offline Rekognition looks at no image: a job takes the seconds that it is told to. Printed are

- manifests an hour, and what the quota would allow (slots and the seconds of a job),
- CPU seconds of Airflow's processes and all their children, from the trigger to the end of the run, for each
  manifest, without what they take when idle; the same without the rest of a run, from a run of one manifest,
- the share of time in which all job slots were filled, from the first moment when they were to the start of
  the last job, by the service's own clock,
- the time that a slot stays empty between two jobs, and the steps of a task that it is made of,
- rows in Airflow's database for each manifest, by table.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import psutil
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY / "include"), str(REPOSITORY / "plugins")]

from local_aws import ports  # noqa: E402 - after the path, so that the script runs uninstalled
from local_aws.stack import environment  # noqa: E402
from local_aws.stack.airflow_api import AirflowApi  # noqa: E402
from local_aws.stack.layout import Layout  # noqa: E402
from local_aws.stack.registry import owner_of_this_process  # noqa: E402
from local_aws.stack.services import AIRFLOW_PARTS, Stack  # noqa: E402

MODEL_VERSION = "offline-still-1"
DAG_ID = "moderate_images"
PARTS = (*AIRFLOW_PARTS, "triggerer")


class Still:
    """A moderator that sees nothing, at once."""

    def __init__(self, **_: Any) -> None:
        pass

    def moderate(self, data: bytes, *, min_confidence: float = 50.0) -> SimpleNamespace:
        return SimpleNamespace(labels=(), content_types=(), width=80, height=80)


class BenchedStack(Stack):
    """The stack of `make up` without its schedule, with what the benchmark sets."""

    def __init__(self, layout: Layout, environ: dict[str, str], given: argparse.Namespace) -> None:
        super().__init__(layout, owner=owner_of_this_process(), environ=environ)
        self._given = given

    def airflow_environment(self, port: int) -> dict[str, str]:
        added = {"MODERATION_MANIFEST_IMAGES": str(self._given.images)}
        if self._given.deferrable:
            added["AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE"] = "True"
        return {**super().airflow_environment(port), **added}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--manifests", type=int, default=60)
    parser.add_argument("--images", type=int, default=100, help="of a manifest")
    parser.add_argument("--slots", type=int, default=4, help="jobs that the service lets be open")
    parser.add_argument("--spare", type=int, default=0, help="slots of the pool above these")
    parser.add_argument("--job-seconds", type=float, default=10.0)
    parser.add_argument("--deferrable", action="store_true", help="wait in the triggerer")
    given = parser.parse_args()
    # A background process of a shell ignores Ctrl-C; told to end, it stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with tempfile.TemporaryDirectory(prefix="throughput-") as name:
        root = Path(name)
        for folder in ("plugins", "include", "dags"):
            shutil.copytree(REPOSITORY / folder, root / folder)  # who edits meanwhile disturbs nothing
        os.environ["LOCAL_REKOGNITION_SETTINGS"] = json.dumps(server_settings(given))
        os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # the service finds `Still` there
        stack = BenchedStack(Layout(root), environ(), given)
        try:
            measure(stack, given)
        finally:
            stack.stop()


def server_settings(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "moderator": "throughput:Still",
        "seconds_per_image": given.job_seconds / given.images,
        "running_jobs": given.slots,
        "limits": {"open_jobs": given.slots},
    }


def environ() -> dict[str, str]:
    keep = ("AIRFLOW", "AWS_", "MODERATION_", "LOCAL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(keep)} | {
        "S3_PORT": str(ports.find_free(companion_offset=10_000)),
        "REKOGNITION_PORT": str(ports.find_free()),
        "AIRFLOW_PORT": str(ports.find_free()),
    }


def measure(stack: Stack, given: argparse.Namespace) -> None:
    """Run one manifest, then all, and print what they took."""
    os.environ.update(stack.start_aws())
    s3 = boto3.client("s3")
    for prefix, images in (("one", given.images), ("many", given.images * given.manifests)):
        upload(s3, prefix, images)
    url = stack.start_airflow(parts=PARTS)
    api = AirflowApi(url, user="admin", password=stack.secrets.airflow_password)
    api.wait_healthy(lambda: None)
    api.make_pool(environment.JOB_POOL, slots=given.slots + given.spare, description="benchmark")
    api.wait_for_dag(DAG_ID, lambda: None)
    run(stack, api, "warm")  # imports, bytecode
    one = run(stack, api, "one")
    idle = idle_cpu(stack, 20.0)
    many = run(stack, api, "many")
    report(stack, given, one, many, idle)


def upload(s3: Any, prefix: str, images: int) -> None:
    """Write images of different content, so that each is asked for."""
    picture = io.BytesIO()
    Image.new("RGB", (80, 80)).save(picture, "JPEG")
    body, bucket = picture.getvalue(), environment.BUCKETS[0]

    def put(number: int) -> None:
        s3.put_object(
            Bucket=bucket, Key=f"{prefix}/{number:07d}.jpg", Body=body + f"{prefix}{number}".encode()
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(images)))


def run(stack: Stack, api: AirflowApi, prefix: str) -> dict[str, Any]:
    """Run the Dag over a prefix; returns seconds, CPU seconds by part and rows by table that it added."""
    source = f"s3://{environment.BUCKETS[0]}/{'one' if prefix == 'warm' else prefix}"
    rows, cpu, began = table_rows(stack), cpu_seconds(stack), time.time()
    conf = {"source": source, "backend": "bulk", "force": True}
    api.trigger(DAG_ID, run_id=prefix, conf=conf)
    while (state := state_of(api, prefix)) not in {"success", "failed"}:
        time.sleep(1.0)
    if state != "success":
        raise SystemExit(f"the run {prefix} has {state}: {api.task_states(DAG_ID, prefix)}")
    seconds = time.time() - began
    spent = {part: total - cpu[part] for part, total in cpu_seconds(stack).items()}
    added = Counter(table_rows(stack))
    added.subtract(rows)
    return {"seconds": seconds, "cpu": spent, "rows": added, "began": began}


def state_of(api: AirflowApi, run_id: str) -> str:
    """The state of a run; on a busy machine an answer may take too long, and another look is taken."""
    try:
        return api.run_state(DAG_ID, run_id)
    except OSError:
        return ""


def idle_cpu(stack: Stack, seconds: float) -> float:
    """CPU seconds a second that Airflow takes when nothing is to be done."""
    before = sum(cpu_seconds(stack).values())
    time.sleep(seconds)
    return (sum(cpu_seconds(stack).values()) - before) / seconds


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """Of each part of Airflow with its children, those that have ended among them."""
    found = {}
    for part, entry in stack.registry.entries().items():
        if part in PARTS:
            leader = psutil.Process(entry.pid)
            found[part] = sum(map(_cpu, [leader, *leader.children(recursive=True)]))
    return found


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0  # its parent counts it by now
    return float(times.user + times.system + times.children_user + times.children_system)


def database(stack: Stack) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{stack.layout.airflow_home / 'airflow.db'}?mode=ro", uri=True, timeout=30)


def table_rows(stack: Stack) -> dict[str, int]:
    """Rows of each table of Airflow's database."""
    with database(stack) as connection:
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}


def jobs(since: float) -> list[tuple[float, float]]:
    """Begin and end of each job since then, by the service's clock."""
    client = boto3.client("rekognition")
    found, page = [], {}
    while True:
        answer = client.list_media_analysis_jobs(MaxResults=100, **page)
        found += [
            (job["CreationTimestamp"].timestamp(), job["CompletionTimestamp"].timestamp())
            for job in answer["MediaAnalysisJobs"]
        ]
        if not answer.get("NextToken"):
            return sorted(span for span in found if span[0] >= since)
        page = {"NextToken": answer["NextToken"]}


def filled(spans: list[tuple[float, float]], slots: int) -> tuple[float, float, float]:
    """Share of time with all slots filled, mean share of them filled, mean seconds that one was empty."""
    times = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    level, full, area, first = 0, 0.0, 0.0, None
    last = max(begin for begin, _ in spans)
    for (at, step), (then, _) in itertools.pairwise(times):
        level += step
        if first is None and level >= slots:
            first = at
        if first is not None and at < last:
            span = min(then, last) - at
            full, area = full + span * (level >= slots), area + span * level
    if first is None or last <= first:
        return 0.0, 0.0, 0.0
    empty = (slots * (last - first) - area) / max(1, sum(begin > first for begin, _ in spans))
    return full / (last - first), area / slots / (last - first), empty


def report(stack: Stack, given: argparse.Namespace, one: Any, many: Any, idle: float) -> None:
    spans = jobs(many["began"])
    lengths = [end - begin for begin, end in spans]
    full, mean, empty = filled(spans, given.slots)
    quota = 3600 * given.slots / statistics.mean(lengths)
    stretch = max(end for _, end in spans) - min(begin for begin, _ in spans)
    cpu, alone = sum(many["cpu"].values()), sum(one["cpu"].values())
    # What Airflow takes while nothing is to be done is no matter of manifests, and a slow machine's minutes.
    added = (cpu - alone - idle * (many["seconds"] - one["seconds"])) / max(1, given.manifests - 1)
    print(f"{given.manifests} manifests of {given.images} images, {given.slots} slots, "
          f"{'deferred' if given.deferrable else 'in workers'}; "
          f"job: {statistics.mean(lengths):.1f} s")  # fmt: skip
    print(
        f"run: {many['seconds']:.0f} s, its jobs {stretch:.0f} s; "
        f"load of the machine {os.getloadavg()[1]:.1f}"
    )
    print(f"manifests an hour: {3600 * len(spans) / stretch:.0f}; by the quota alone {quota:.0f}")
    print(f"all slots filled: {full:.1%} of the time; slots filled on average: {mean:.1%}; "
          f"empty between two jobs: {empty:.1f} s")  # fmt: skip
    print(f"CPU a manifest, without what Airflow takes when idle ({idle:.3f} s a second): "
          f"{(cpu - idle * many['seconds']) / given.manifests:.2f} s with its share of the run, "
          f"{added:.2f} s for each further one")  # fmt: skip
    for part in PARTS:
        print(f"  {part}: {many['cpu'][part]:.1f} s, run of one {one['cpu'][part]:.1f} s")
    for name, rows in (many["rows"] - one["rows"]).most_common():
        each = rows / max(1, given.manifests - 1)
        print(f"  rows of {name}: {one['rows'][name]} for a run of one, {each:.2f} for each further manifest")
    steps(stack)


def steps(stack: Stack) -> None:
    """Print how long tasks of the jobs waited for what, in seconds, by the database of Airflow."""
    with database(stack) as connection:
        found = connection.execute(
            "SELECT (julianday(queued_dttm) - julianday(scheduled_dttm)) * 86400, "
            "(julianday(start_date) - julianday(queued_dttm)) * 86400 FROM task_instance "
            "WHERE run_id = 'many' AND task_id = 'analyse'"
        ).fetchall()
    waits = [(a, b) for a, b in found if a is not None and b is not None]
    if waits:
        queued, begun = (statistics.median(column) for column in zip(*waits, strict=True))
        print(
            f"  median of an analyse task: scheduled to queued {queued:.1f} s, queued to begun {begun:.1f} s"
        )


if __name__ == "__main__":
    main()
