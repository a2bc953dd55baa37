"""Makes the archive of the state that a commit leaves, with that commit's own code.

::

    git worktree add ../earlier 13d31fb && make -C ../earlier .venv/.installed-dev
    ../earlier/.venv/bin/python tests/compatibility/make_state.py ../earlier

Runs are killed after one stage after the other, the way ``tests/chaos`` of that commit does it, and what then
lies in the buckets, in the catalog, on the disk and in the offline Rekognition is kept, with what was billed
by then and the tables that the run comes to when it goes on. The state is of no place: nothing in it names a
folder or a port.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
CHECKOUT = Path(sys.argv[1] if __name__ == "__main__" else os.environ["STATE_CHECKOUT"]).resolve()
# The earlier release's packages come first; of this one only what stands beside this file is used.
sys.path[:0] = [str(CHECKOUT / name) for name in ("tests", "include", "plugins")]
sys.path.append(str(HERE.parents[1]))
os.environ["STATE_CHECKOUT"] = str(CHECKOUT)

from chaos import attempt, points  # noqa: E402
from chaos.attempt import Ending, Order  # noqa: E402
from compatibility import archive, tables  # noqa: E402
from local_aws import seaweedfs  # noqa: E402
from local_aws.rekognition import launch  # noqa: E402
from local_aws.seaweedfs import Credentials  # noqa: E402
from support import airflow_home, pictures  # noqa: E402
from support import rekognition_server as offline  # noqa: E402

BUCKETS = ("earlier-release-work", "earlier-release-input", "earlier-release-tables")
WORK, INPUT, TABLES = BUCKETS
SOURCE = f"s3://{INPUT}/photos/"
LAST_WEEK = -1.0
"""Time to live of a dead process's lock. S3 tells how old a lock is; one that is brought back is new."""
FAULTS = [{"kind": "image_errors", "code": "ThrottlingException", "fraction": 0.2, "seed": 2}]
"""Some images of each job get no answer, and are owed."""
_KEY = Credentials("AKIAEARLIERRELEASE00", "earlier-secret-key-of-no-value-anywhere")
_SPOOLED = points.Point(
    "detect: third answer spooled", "moderation.detect.checkpoint:Spool.add", call=3, after=True
)


class House:
    """Buckets, a folder and a Rekognition of its own, and the stages of the earlier release in them."""

    def __init__(
        self, folder: Path, found: archive.Archive, s3_server: seaweedfs.SeaweedFS, *, backend: str
    ) -> None:
        self.folder, self.archive, self.s3_server, self.backend = folder, found, s3_server, backend
        self.local = folder / "local"
        self.local.mkdir(parents=True)
        self.rekognition: launch.Rekognition | None = None
        self.environment = {
            "AWS_ACCESS_KEY_ID": _KEY.access_key,
            "AWS_SECRET_ACCESS_KEY": _KEY.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_S3": self.s3_server.endpoint_url,
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps({"conn_type": "aws"}),
            "MODERATION_WORK_URI": f"s3://{WORK}/work",
            "MODERATION_INPUT_URI": f"s3://{INPUT}/input",
            "MODERATION_TABLES_URI": f"s3://{TABLES}/tables",
            "MODERATION_CATALOG_URI": f"sqlite:///{self.local}/catalog.db",
            "MODERATION_WAREHOUSE": str(self.local / "warehouse.duckdb"),
            "MODERATION_PARQUET_DIR": str(self.local / "mirror"),
            "MODERATION_MODEL": "offline-hash-1",
            "MODERATION_SPOOL_DIR": str(self.local / "spool"),
        }
        os.environ |= self.environment
        self.restart()
        import boto3  # noqa: PLC0415 - of the earlier release's environment, which is set up by now

        self.s3 = boto3.client("s3", endpoint_url=self.s3_server.endpoint_url)
        archive.clear(self.s3, BUCKETS)
        self.processes = multiprocessing.get_context("forkserver")
        self.processes.set_forkserver_preload(list(attempt.PRELOAD))
        self.number = 0
        self.run: dict[str, Any] = {}

    def close(self) -> None:
        """Stop Rekognition."""
        if self.rekognition:
            self.rekognition.stop()

    def restart(self, **changes: Any) -> None:
        """Start Rekognition anew over the same jobs."""
        if self.rekognition:
            self.rekognition.stop()
        self.rekognition = launch.start(
            self.folder / "rekognition",
            _KEY,
            self.s3_server.endpoint_url,
            settings=offline.quick(**changes),
            python_path=[offline.TESTS],
        )
        self.environment["AWS_ENDPOINT_URL_REKOGNITION"] = self.rekognition.endpoint_url

    def faults(self, rules: list[dict[str, Any]]) -> None:
        """Let Rekognition misbehave from now on, or no more."""
        assert self.rekognition
        status, answer = offline.local(self.rekognition, "/faults", method="PUT", body=rules)
        assert status == 200, answer

    def upload(self, names: list[str]) -> None:
        """Good pictures, each another."""
        for name in names:
            self.put(f"{name}.jpg", pictures.jpeg(90, 80) + name.encode())

    def put(self, name: str, body: bytes) -> None:
        """One file of the source."""
        self.s3.put_object(Bucket=INPUT, Key=f"photos/{name}", Body=body)

    def begin(self, run_id: str, *, redo: str | None = None, **environment: str) -> None:
        """Plan a run."""
        arguments = {"source": SOURCE, "run_id": run_id, "backend": self.backend, "redo": redo}
        plan_uri = self.stage("plan", arguments, **environment)
        bucket, _, key = plan_uri.removeprefix("s3://").partition("/")
        plan = json.loads(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        self.run = {
            "run_id": run_id,
            "backend": self.backend,
            "source": SOURCE,
            "redo": redo,
            "plan_uri": plan_uri,
            "load_id": plan["load_id"],
            "totals": plan["totals"],
            "tasks": f"tasks/{run_id}",
            "job_ids": [],
        }
        self.tasks.mkdir(parents=True)

    @property
    def name_of_end(self) -> str:
        """Of what the run comes to."""
        return f"{self.folder.name}, {self.run['run_id']}"

    @property
    def tasks(self) -> Path:
        """What the run's tasks remember."""
        return self.local / str(self.run["tasks"])

    def arguments(self) -> list[dict[str, Any]]:
        """Choose the backend."""
        found: list[dict[str, Any]] = self.stage("arguments", {"plan_uri": self.run["plan_uri"]})
        return found

    def submit(self, arguments: list[dict[str, Any]], strikes: Mapping[int, str] | None = None) -> None:
        """The bulk tasks, some killed at a point."""
        self.run["job_ids"] = []
        for index, given in enumerate(arguments):
            strike = (strikes or {}).get(index)
            task = {"arguments": given, "map_index": index, "try_number": 2, "folder": str(self.tasks)}
            job_id = self.stage("submit", task, strike)
            self.run["job_ids"] += [job_id] if job_id else []

    def detect(self, index: int, strike: str | None = None) -> None:
        """One task of single calls."""
        task = {"plan_uri": self.run["plan_uri"], "index": index, "folder": str(self.local)}
        self.stage("detect", task, strike)

    def publish(self, strike: str | None = None) -> None:
        """Publish the run."""
        self.stage("publish", {"plan_uri": self.run["plan_uri"], "job_ids": self.run["job_ids"]}, strike)

    def load(self) -> None:
        """Bring the run's load into the warehouse and the mirror."""
        self.stage("load", {"load_id": self.run["load_id"]})

    def command(self, *words: str) -> None:
        """The command line."""
        code = "import sys; from moderation.cli import main; sys.exit(main())"
        subprocess.run(
            [sys.executable, "-c", code, *words], check=True, env={**os.environ, **self.environment}
        )

    def stage(
        self, stage: str, arguments: dict[str, Any], strike: str | None = None, **environment: str
    ) -> Any:
        """One stage in a process of its own, which may be killed at a point."""
        self.number += 1
        order = Order(
            stage=stage,
            arguments=arguments,
            environment={**self.environment, **environment},
            result=self.folder / f"{self.number:03d}-{stage}.json",
            strike=strike,
        )
        process = self.processes.Process(target=_attempt, args=(order,))
        process.start()
        process.join()
        if order.result.exists():
            ending = Ending(**json.loads(order.result.read_text()))
            assert not strike, f"{stage} was to die at {strike}: {ending}"
            assert ending.error is None, ending.details
            return ending.value
        assert order.result.with_suffix(".struck").exists(), order.result.with_suffix(".log").read_text()
        return None

    def billed(self) -> Counter[str]:
        """How often each image is billed by now."""
        assert self.rekognition
        return Counter(
            entry["source_ref"]
            for entry in offline.ledger(self.rekognition)
            if entry["event"] in {"image_billed", "detect_billed"}
        )

    def keep(self, name: str, *, stopped_at: str, is_answered: bool = False) -> None:
        """Keep the state as it is now.

        :param stopped_at: the stage that the run goes on with.
        :param is_answered: nothing is asked any more, so that the rest is known to the last bit.
        """
        files = {
            str(path.relative_to(self.local)): path.read_bytes()
            for path in sorted(self.local.rglob("*"))
            if path.is_file()
        }
        database = self.folder / "copy.db"
        database.unlink(missing_ok=True)
        connection = sqlite3.connect(self.folder / "rekognition" / "rekognition.db")
        connection.execute("VACUUM INTO ?", [str(database)])
        connection.close()
        files["rekognition/rekognition.db"] = database.read_bytes()
        objects = {path: _aged(path, body) for path, body in archive.objects_in(self.s3, BUCKETS).items()}
        facts = self.run | {
            "stopped_at": stopped_at,
            "is_answered": is_answered,
            "billed": dict(sorted(self.billed().items())),
            "end": self.name_of_end,
        }
        self.archive.add(name, objects=objects, files=files, facts=facts)
        size = sum(map(len, objects.values())) + sum(map(len, files.values()))
        print(f"{name}: {len(objects)} objects, {len(files)} files, {size:,} bytes")

    def end(self) -> None:
        """Note what the tables hold now that the run is published."""
        found = tables.read(self.environment["MODERATION_CATALOG_URI"])
        columns = {name: table.column_names for name, table in found.items()}
        images = [row for row in found["images"].to_pylist() if row["load_id"] == self.run["load_id"]]
        self.archive.facts["ends"][self.name_of_end] = {
            "columns": columns,
            "same_answers": tables.digests(found, columns, answered=True),
            "equal_answers": tables.digests(found, columns, answered=False),
            "billed": dict(sorted(self.billed().items())),
            "statuses": Counter(row["status"] for row in images),
            "owed": sorted(row["source_ref"] for row in images if row["error_code"] == "Throttling"),
        }


def _attempt(order: Order) -> None:
    """The entry point of an attempt's process."""
    from chaos import stages  # noqa: PLC0415 - the process that starts this one must not load the pipeline

    # One call at a time: a kill then loses no answer that was paid, and what must be paid is known exactly.
    stages.IN_FLIGHT = 1
    points.ALL[_SPOOLED.name] = _SPOOLED
    attempt.run(order)


def _aged(path: str, body: bytes) -> bytes:
    if not path.endswith(("-lock.json", "/owner.json", "/locks/plan.json")):
        return body
    return json.dumps({**json.loads(body), "ttl_seconds": LAST_WEEK}).encode()


def _fill(house: House) -> None:
    house.upload([f"{number:03d} ü" for number in range(12)])
    house.put("broken.png", pictures.png(90, 80)[:-60])
    house.put("small.jpg", pictures.jpeg(40, 40))
    house.put("text.jpg", b"no picture at all")
    house.put("README.md", b"ignored")


def bulk(house: House) -> None:
    """A night with bulk jobs, stopped after each stage; a redo of it, and a second night."""
    _fill(house)
    house.begin("night-1")
    house.keep("planned, images claimed", stopped_at="plan")
    given = house.arguments()
    house.keep("backend chosen", stopped_at="submit")
    house.restart(created_seconds=3600.0, faults=tuple(FAULTS))
    house.submit(given, {0: "submit: sent, answer not stored", 1: "submit: token stored, not sent"})
    house.keep("a job sent and its answer lost, another not sent", stopped_at="submit")
    house.submit(given, {0: "submit: before the first look", 1: "submit: before the first look"})
    house.keep("jobs started", stopped_at="submit")
    house.restart()
    house.submit(given)
    house.keep("jobs ended", stopped_at="publish", is_answered=True)
    house.publish("publish: added labels_l2")
    house.keep("publish killed among its files", stopped_at="publish", is_answered=True)
    house.publish("publish: committed")
    house.keep("load committed, plan not marked", stopped_at="publish", is_answered=True)
    house.publish()
    house.end()
    house.keep("published, not loaded", stopped_at="load", is_answered=True)
    house.load()
    house.keep("loaded, images owed", stopped_at="nothing", is_answered=True)
    house.begin("redo-1", redo=house.run["load_id"])
    house.keep("redo planned", stopped_at="plan")
    house.submit(house.arguments())
    house.publish()
    house.end()
    house.load()
    house.upload(["new-1", "new-2", "new-3"])
    house.begin("night-2")
    house.submit(house.arguments())
    house.keep("second night answered", stopped_at="publish", is_answered=True)
    house.publish()
    house.end()
    house.load()
    house.command("compact", "--keep-days", "0.00001")
    house.keep("second night loaded, tables compacted", stopped_at="nothing", is_answered=True)


def run_out(house: House) -> None:
    """A plan whose claim has run out."""
    _fill(house)
    house.begin("night-1", MODERATION_CLAIM_HOURS="1e-6")
    house.keep("planned, claim run out", stopped_at="plan")
    house.faults(FAULTS)
    house.submit(house.arguments())
    house.publish()
    house.end()


def detect(house: House) -> None:
    """A night with single calls."""
    _fill(house)
    house.begin("night-1")
    house.arguments()
    house.detect(0)
    # So slow that an answer is in S3 before the last of the three is there.
    house.faults([{"kind": "slow", "operation": "DetectModerationLabels", "seconds": 0.2}])
    house.detect(1, _SPOOLED.name)
    house.faults([])
    house.keep("single calls in mid-run", stopped_at="detect")
    house.detect(1, "detect: before the marker")
    house.keep("single calls answered, marker missing", stopped_at="detect")
    house.detect(1)
    house.keep("single calls answered", stopped_at="publish", is_answered=True)
    house.publish()
    house.end()


def closed(house: House) -> None:
    """A night for which single calls were chosen, because the account may start no bulk jobs."""
    _fill(house)
    house.begin("night-1")
    house.faults([{"kind": "ineligible", "operation": "StartMediaAnalysisJob"}])
    house.arguments()
    house.keep("account closed to bulk jobs", stopped_at="detect")
    house.faults([])
    house.detect(0)
    house.detect(1)
    house.publish()
    house.end()


def main() -> None:
    """Write ``state-<commit>.tar.xz`` beside this file."""
    airflow_home.prepare()
    git = ["git", "-C", str(CHECKOUT), "rev-parse", "--short=7", "HEAD"]
    commit = subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    os.environ["PYTHONPATH"] = os.pathsep.join([*sys.path[:3], str(HERE.parents[1])])
    found = archive.Archive({"commit": commit, "buckets": BUCKETS, "faults": FAULTS, "ends": {}})
    with tempfile.TemporaryDirectory() as folder:
        s3_server = seaweedfs.start(Path(folder) / "s3", _KEY)
        try:
            for story, backend in {bulk: "bulk", run_out: "bulk", detect: "detect", closed: "auto"}.items():
                with closing(
                    House(Path(folder) / story.__name__, found, s3_server, backend=backend)
                ) as house:
                    story(house)
        finally:
            s3_server.stop()
    target = HERE.with_name(f"state-{commit}.tar.xz")
    found.write(target)
    print(f"{target}: {len(found.states)} states, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
