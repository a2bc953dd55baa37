"""An archive of a million keys through the real scheduler: stopped and resumed in the middle, parts killed.

    python benchmarks/archive_run.py [--images 1000000] [--chunk-images 50000] [--slots 4] [--folder FOLDER]

A stack as `make up` starts it, in a folder of its own, works an archive off whose keys an S3 Inventory tells.
The offline Rekognition reads no image (`archive_answers.py`), and headers are not read, so no object need be
there. When a chunk is done, scheduler and Rekognition are killed; when a quarter is, the archive is stopped:
up to eight chunks under way end, the others wait. All of Airflow is killed, the inventory replaced by a later
one, and the archive resumed. In the end the bill, the tables, the warehouse and the reconciliation are
compared with what was put in, by SQL that is not the pipeline's.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from archive_answers import ANSWERS_SQL, LABELS_SQL, OBJECTS_SQL
from throughput import BenchedStack, cpu_seconds, environ, table_rows

from local_aws.stack import environment
from local_aws.stack.airflow_api import AirflowApi
from local_aws.stack.layout import Layout
from local_aws.stack.services import AIRFLOW_PARTS
from moderation.archive.backfill import state
from moderation.archive.backfill.state import DONE, WAITING, Archive
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.catalog import load_table, open_catalog

REPOSITORY = Path(__file__).parents[1]
NAME, LOOK, MODERATE = "million", "backfill_archive", "moderate_images"
SOURCE = "s3://moderation-input/inventory/manifest.json"
_INVENTORY_FILES, _BETWEEN_LOOKS, _PATIENCE = 10, 60.0, 600.0
_LATER = """
SELECT n, content, key, size, if(n % 333 = 12, md5(concat('other ', n)), etag) AS etag, is_text
FROM first WHERE n % 200 <> 11 UNION ALL FROM more
"""
"""The inventory after the stop: some are gone, some have another content, some are new."""


def main() -> None:
    """Run it; any difference ends the script with what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000, help="keys in the inventory")
    parser.add_argument("--chunk-images", type=int, default=50_000)
    parser.add_argument("--slots", type=int, default=4, help="jobs that the service lets be open")
    parser.add_argument("--folder", type=Path, help="where it runs; an empty one, which stays")
    parser.add_argument("--compare", action="store_true", help="only compare what a run in --folder has left")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with tempfile.TemporaryDirectory(prefix="archive-") as name:
        root = given.folder or Path(name)
        for folder in () if given.compare else ("plugins", "include", "dags"):
            shutil.copytree(REPOSITORY / folder, root / folder)
        service = {
            "moderator": "archive_answers:Unread",
            "running_jobs": given.slots,
            "prefetch": 256,
            "checkpoint_images": 2_000,
            "checkpoint_seconds": 5.0,
            "limits": {"open_jobs": given.slots},
        }
        os.environ["LOCAL_REKOGNITION_SETTINGS"] = json.dumps(service)
        os.environ["PYTHONPATH"] = f"{Path(__file__).parent}"
        stack = BenchedStack(Layout(root), environ(), argparse.Namespace(images=10_000, deferrable=False))
        try:
            run = Run(stack, given, root)
            if not given.compare:
                run.all()
            run.compare()
        finally:
            stack.stop()


class Run:
    """One archive and what is measured of it."""

    def __init__(self, stack: BenchedStack, given: argparse.Namespace, root: Path) -> None:
        self.stack, self.given, self.began = stack, given, time.monotonic()
        self.truth = duckdb.connect(str(root / "truth.duckdb"))
        self.airflow_cpu, self.looks, self.looked = 0.0, 0, 0.0
        os.environ.update(stack.start_aws())
        self.settings = Settings.from_env()
        self.s3 = boto3.client("s3")

    def all(self) -> None:
        """Every step, in order."""
        self.api = self._start_airflow()
        keys = self.given.images
        for table, begin, end in (("first", 0, keys), ("more", keys, keys + keys // 100)):
            self.truth.execute(f"CREATE TABLE {table} AS {OBJECTS_SQL.format(begin=begin, end=end)}")
        self.truth.execute("CREATE VIEW objects AS FROM first")
        self.truth.execute(f"CREATE TABLE answers AS {ANSWERS_SQL}")
        self._inventory("first")
        self.say("inventory written")
        self._command("start", NAME, SOURCE, "--order", "prefix", "--no-inspect", "--backend", "bulk",
                      "--chunk-images", str(self.given.chunk_images))  # fmt: skip
        chunks = len(self._archive().chunks)
        self.say(f"cut into {chunks} chunks")
        self._until(lambda archive: _done(archive) >= 1)
        self._kill("scheduler", "rekognition")
        self.say("scheduler and Rekognition killed")
        os.environ.update(self.stack.start_aws())
        self.api = self._start_airflow()
        self._until(lambda archive: _done(archive) >= chunks // 4)
        self._command("stop", NAME)
        if not any(chunk.status == WAITING for chunk in self._archive().chunks):
            raise SystemExit("all chunks are under way, none can be stopped: say a smaller --chunk-images")
        found = self._until(lambda archive: bool(archive.result))
        self.say(f"stopped: {found.result}")
        self._compare_result(found, later=False)
        self._kill(*AIRFLOW_PARTS)
        self.truth.execute(f"CREATE TABLE later AS {_LATER}")
        self._inventory("later")
        self.api = self._start_airflow()
        self._command("resume", NAME)
        found = self._until(lambda archive: archive.status == state.ENDED)
        self.say(f"ended: {found.result}")
        self._compare_result(found, later=True)
        self._report(time.monotonic() - self.began)

    def compare(self) -> None:
        """Hold the bill and all rows that the archive has left against the truth."""
        self._compare_bill(self._archive())
        self._compare_rows()

    def say(self, text: str) -> None:
        """Print a line with the minutes since the beginning."""
        print(f"{(time.monotonic() - self.began) / 60:6.1f} min  {text}", flush=True)

    def _start_airflow(self) -> AirflowApi:
        url = self.stack.start_airflow(parts=AIRFLOW_PARTS)
        api = AirflowApi(url, user="admin", password=self.stack.secrets.airflow_password)
        api.wait_healthy(lambda: None, timeout=_PATIENCE)
        api.make_pool(environment.JOB_POOL, slots=self.given.slots + 2, description="benchmark")
        for dag_id in (MODERATE, LOOK):
            api.wait_for_dag(dag_id, lambda: None, timeout=_PATIENCE)
            api._call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
        return api

    def _inventory(self, table: str) -> None:
        """Write the objects of a table as an S3 Inventory, its manifest last."""
        ((total,),) = self.truth.execute(f"SELECT count(*) FROM {table}").fetchall()
        each, files = -(-total // _INVENTORY_FILES), []
        for part in range(_INVENTORY_FILES):
            line = """'"photos","', key, '","', size, '","2026-01-02T03:04:05.000Z","', etag, '"'"""
            rows = self.truth.execute(
                f"SELECT concat({line}) FROM {table} ORDER BY n LIMIT {each} OFFSET {part * each}"
            ).fetchall()
            body = gzip.compress("\n".join(line for (line,) in rows).encode() + b"\n", 1)
            key = f"inventory/{table}-{part}.csv.gz"
            self.s3.put_object(Bucket="moderation-input", Key=key, Body=body)
            md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
            files.append({"key": key, "MD5checksum": md5})
        manifest = {
            "sourceBucket": "photos",
            "destinationBucket": "arn:aws:s3:::moderation-input",
            "fileFormat": "CSV",
            "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
            "files": files,
        }
        self.s3.put_object(
            Bucket="moderation-input", Key="inventory/manifest.json", Body=json.dumps(manifest)
        )

    def _command(self, *words: str) -> None:
        command = [sys.executable, "-m", "moderation.cli", "archive", *words, "--json"]
        variables = self.stack.airflow_environment(1) | {"PYTHONPATH": str(REPOSITORY / "include")}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | variables)

    def _archive(self) -> Archive:
        with s3_objects.open_client(self.settings) as s3:
            return state.read(self.settings, s3, NAME)

    def _until(self, reached: Any) -> Archive:
        """Let the conductor look each minute, not each five, until the archive is so far."""
        said = ""
        while not reached(found := self._archive()):
            now = ", ".join(f"{chunk.number} {chunk.status}" for chunk in found.chunks)
            if now != said:
                self.say(now)
                said = now
            try:
                if time.monotonic() - self.looked > _BETWEEN_LOOKS:
                    self.looks, self.looked = self.looks + 1, time.monotonic()
                    self.api.trigger(LOOK, run_id=f"look-{self.looks}-{self.looked:.0f}", conf={})
                failed = [run for run, became in self.api.recent_runs(MODERATE) if became == "failed"]
            except OSError as error:
                self.say(f"Airflow: {error}")
                failed = []
            if failed:
                raise SystemExit(f"{failed[0]} failed: {self.api.task_states(MODERATE, failed[0])}")
            time.sleep(5)
        return found

    def _kill(self, *parts: str) -> None:
        """SIGKILL these with all their children, the tasks among them."""
        self.airflow_cpu += sum(spent for part, spent in cpu_seconds(self.stack).items() if part in parts)
        entries = self.stack.registry.entries()
        for part in parts:
            os.killpg(entries[part].pid, signal.SIGKILL)
        while set(parts) & self.stack.registry.entries().keys():
            time.sleep(0.2)

    def _compare_result(self, archive: Archive, *, later: bool) -> None:
        """Hold what the archive says of its keys against the truth."""
        there = "later" if later else "first"
        done = [chunk for chunk in archive.chunks if chunk.status == DONE]
        self.truth.execute("CREATE OR REPLACE TABLE covered (key VARCHAR)")
        for chunk in done:
            held = pq.read_table(io.BytesIO(s3_objects.read(self.s3, chunk.uri).body), columns=["key"])
            self.truth.register("held", held)
            self.truth.execute("INSERT INTO covered FROM held")
            self.truth.unregister("held")
        refused, answered, owed, gone = self.truth.execute(
            f"""WITH told AS (
                SELECT answers.*, covered.key IS NOT NULL AS is_done, there.etag IS NULL AS is_gone
                FROM answers
                LEFT JOIN covered USING (key)
                LEFT JOIN {there} there USING (n)
            )
            SELECT count(*) FILTER (is_done AND outcome = 'refused'),
                count(*) FILTER (is_done AND outcome = 'answered'),
                count(*) FILTER (NOT is_done AND NOT is_gone), count(*) FILTER (NOT is_done AND is_gone)
            FROM told"""
        ).fetchall()[0]
        new, gone_since, changed = self.truth.execute(
            f"""SELECT count(*) FILTER (answers.n IS NULL AND NOT there.is_text),
                count(*) FILTER (there.n IS NULL), count(*) FILTER (answers.etag <> there.etag)
            FROM answers FULL JOIN {there} there USING (n)"""
        ).fetchall()[0]
        told = archive.result
        found = {
            name: sum(told[name].values()) if isinstance(told[name], dict) else told[name] for name in told
        }
        expected = {
            "keys": refused + answered + owed + gone, "answered": answered, "refused": refused, "gone": gone,
            "owed": owed, "new": new, "gone_since": gone_since, "changed": changed,
        }  # fmt: skip
        same("reconciliation", found, expected)

    def _compare_bill(self, archive: Archive) -> None:
        """No line was billed twice, no content by one chunk twice, and the tables say what was billed."""
        with closing(sqlite3.connect(self.stack.layout.var / "rekognition" / "rekognition.db")) as database:
            rows = database.execute("SELECT source_ref FROM ledger WHERE event = 'image_billed'").fetchall()
        self.truth.execute("CREATE OR REPLACE TABLE billed (source_ref VARCHAR)")
        self.truth.register("told", pa.table({"source_ref": [ref for (ref,) in rows]}))
        self.truth.execute("INSERT INTO billed FROM told")
        keys, contents, expected = self.truth.execute(
            """SELECT (SELECT count(DISTINCT source_ref) FROM billed),
                (SELECT count(DISTINCT content) FROM billed
                 JOIN answers ON source_ref = concat('s3://photos/', key)),
                (SELECT count(DISTINCT content) FROM answers WHERE outcome = 'answered')"""
        ).fetchall()[0]
        same("keys that were billed once", len(rows), keys)
        same("contents that were billed", contents, expected)
        same("billed, as the archive has it", sum(chunk.billed for chunk in archive.chunks), len(rows))
        twice = len(rows) - contents
        self.say(f"billed: {len(rows):,} for {contents:,} contents; {twice:,} by two chunks that ran at once")

    def _compare_rows(self) -> None:
        """Every row of tables and warehouse against the truth, both ways."""
        self.truth.execute(
            "CREATE OR REPLACE VIEW expected_images AS SELECT concat('s3://photos/', key) AS source_ref, "
            "etag, outcome = 'answered' AS answered FROM answers"
        )
        self.truth.execute(f"CREATE OR REPLACE VIEW named AS {LABELS_SQL}")
        for level in (1, 2, 3):
            self.truth.execute(
                f"CREATE OR REPLACE VIEW expected_labels_l{level} AS "
                "SELECT concat('s3://photos/', key) AS source_ref, name "
                f"FROM named JOIN answers USING (n) WHERE named.level = {level}"
            )
        with open_catalog(self.settings) as catalog:
            for table in ("images", "labels_l1", "labels_l2", "labels_l3"):
                columns = ("source_ref", "etag", "status") if table == "images" else ("source_ref", "name")
                reader = (
                    load_table(catalog, _spec(table)).scan(selected_fields=columns).to_arrow_batch_reader()
                )
                self.truth.register("scanned", reader)
                self.truth.execute(f"CREATE OR REPLACE TABLE found_{table} AS FROM scanned")
                self.truth.unregister("scanned")
                self._same_rows(f"found_{table}", table)
        self.truth.execute(f"ATTACH '{self.stack.layout.warehouse}' AS warehouse (READ_ONLY)")
        for table in ("images", "labels_l1", "labels_l2", "labels_l3"):
            self._same_rows(f"warehouse.{table}", table)

    def _same_rows(self, found: str, table: str) -> None:
        columns = "source_ref, etag, status = 'moderated'" if table == "images" else "source_ref, name"
        counts = [
            self.truth.execute(query).fetchall()[0][0]
            for query in (
                f"SELECT count(*) FROM (SELECT {columns} FROM {found} EXCEPT ALL FROM expected_{table})",
                f"SELECT count(*) FROM (FROM expected_{table} EXCEPT ALL SELECT {columns} FROM {found})",
                f"SELECT count(*) FROM expected_{table}",
            )
        ]
        same(f"rows of {found}, too many and missing", counts[:2], [0, 0])
        self.say(f"{found}: {counts[2]:,} rows, each as expected")

    def _report(self, seconds: float) -> None:
        cpu = self.airflow_cpu + sum(cpu_seconds(self.stack).values())
        rows = table_rows(self.stack)
        load = os.getloadavg()[2]
        print(f"{self.given.images:,} keys in {seconds / 60:.1f} min, load of the machine {load:.1f}")
        print(f"CPU of Airflow with the tasks: {cpu:.0f} s; {self.looks} looks of the conductor asked for")
        print("rows in Airflow's database:", {name: count for name, count in rows.items() if count > 100})


def _done(archive: Archive) -> int:
    return sum(chunk.status == DONE for chunk in archive.chunks)


def _spec(table: str) -> Any:
    from moderation.schema import TABLES  # noqa: PLC0415 - Iceberg is slow to import

    return TABLES[table]


def same(what: str, found: Any, expected: Any) -> None:
    """End with what differs."""
    if found != expected:
        raise SystemExit(f"{what}: {found}, expected {expected}")


if __name__ == "__main__":
    main()
