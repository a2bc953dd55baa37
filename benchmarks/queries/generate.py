"""The same seeded rows twice: published as the pipeline does it, and as plain unsorted Parquet.

``PYTHONPATH=include python benchmarks/queries/generate.py FOLDER --labels 100000000``

Killed and started again, it goes on after the last finished file. Half of the images have no label, 30 % one
chain, 20 % two; 15 % content types, 0.25 % failures, 3 % are images that were moderated before.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from moderation.reference.taxonomy import taxonomy
from moderation.schema import IMAGES, JOBS, LABELS, LOADS, physical_schema
from moderation.settings import Settings
from moderation.tables.catalog import ensure_tables, open_catalog
from moderation.tables.writer import LoadWriter

LABELS_PER_IMAGE = 1.69
MANIFEST = 10_000
FIRST_DAY = date(2026, 8, 24)
PLAIN_FILES = 24


@dataclass(frozen=True)
class Data:
    """Where the rows are and how many."""

    folder: Path
    images: int
    days: int

    @property
    def plain(self) -> Path:
        return self.folder / "plain"

    @property
    def settings(self) -> Settings:
        return Settings(
            tables_uri=str(self.folder / "published"), catalog_uri=f"sqlite:///{self.folder / 'catalog.db'}"
        )

    @property
    def complete(self) -> bool:
        return (self.plain / "loads").exists()

    def load_id(self, day: int) -> str:
        digest = hashlib.sha256(str(day).encode()).hexdigest()[:12]
        return f"{FIRST_DAY + timedelta(days=day):%Y%m%d}T020000Z-{digest}"


def connect(data: Data) -> duckdb.DuckDBPyConnection:
    """A connection that knows the taxonomy's chains and the loads."""
    connection = duckdb.connect(config={"memory_limit": "8GB", "temp_directory": str(data.folder / "spill")})
    connection.execute("SET TimeZone = 'UTC'")
    parents = {node.parent for node in taxonomy()}
    ends = [node.path for node in taxonomy() for _ in range(1 if node.name in parents else 4)]
    connection.execute("CREATE TABLE chains (chain BIGINT, l1 VARCHAR, l2 VARCHAR, l3 VARCHAR)")
    connection.executemany(
        "INSERT INTO chains VALUES (?, ?, ?, ?)",
        [[number, *path, *[None] * (3 - len(path))] for number, path in enumerate(ends)],
    )
    connection.execute("CREATE TABLE runs (day BIGINT, dt DATE, load_id VARCHAR, moderated_at TIMESTAMPTZ)")
    connection.executemany(
        "INSERT INTO runs VALUES (?, ?, ?, ?)",
        [
            [
                day,
                FIRST_DAY + timedelta(days=day),
                data.load_id(day),
                datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, 4, tzinfo=UTC) + timedelta(days=day),
            ]
            for day in range(data.days)
        ],
    )
    return connection


def make(connection: duckdb.DuckDBPyConnection, ids: str, days: int) -> None:
    """A table ``seen`` of these images, and views ``images`` and ``labels_l1`` to ``labels_l3`` of it.

    :param ids: SQL of a relation with a column ``id``. An image's day is ``id % days``.
    """
    ((chains,),) = connection.execute("SELECT count(*) FROM chains").fetchall()
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE seen AS
        WITH drawn AS (
            SELECT id, id % {days} AS day, id // {days} AS place, hash(id, 3) % 10000 AS fate,
                hash(id, 4) % 100 AS kind, hash(id, 5) % 10 AS number, hash(id, 6) % {chains} AS first,
                (hash(id, 6) + 1 + hash(id, 7) % {chains - 1}) % {chains} AS second,
                -- Some of each day's images had been moderated a week before.
                to_hex(hash(if(hash(id, 1) % 33 = 0 AND id >= {days} * 7, id - {days} * 7 + 1, id), 2)
                    | 9223372036854775808) AS token,
                50 + hash(id, 8) % 50000000 / 1000000 AS sure, 50 + hash(id, 9) % 50000000 / 1000000 AS surer
            FROM ({ids})
        )
        SELECT id, load_id, dt, moderated_at, place % {MANIFEST} + 1 AS line_number,
            'm' || lpad((place // {MANIFEST})::VARCHAR, 5, '0') || '-' || right(load_id, 12) AS manifest_id,
            token, 's3://archive/' || left(token, 2) || '/' || token || '.jpg' AS source_ref, fate,
            CASE WHEN fate < 20 THEN 'failed' WHEN fate < 25 THEN 'not_attempted' ELSE 'moderated' END
                AS status,
            CASE WHEN kind < 8 THEN 'illustrated' WHEN kind < 13 THEN 'animated'
                WHEN kind < 15 THEN 'illustrated_animated' ELSE 'none' END AS content_type,
            sure, surer, a.l1 AS a1, a.l2 AS a2, a.l3 AS a3, b.l1 AS b1, b.l2 AS b2, b.l3 AS b3
        FROM drawn JOIN runs USING (day)
        LEFT JOIN chains AS a ON a.chain = first AND number >= 5 AND fate >= 25
        LEFT JOIN chains AS b ON b.chain = second AND number >= 8 AND fate >= 25
        """
    )
    same: dict[int, str] = {1: "b1 = a1", 2: "b1 = a1 AND b2 = a2", 3: "false"}
    for level in (1, 2, 3):
        bridge = (f"l{n}" if n <= level else "NULL::VARCHAR" for n in (1, 2, 3))
        both = f"b{level} IS NOT NULL AND NOT coalesce({same[level]}, false)"
        path = ", ".join(f"if(chain = 1, a{n}, b{n}) AS l{n}" for n in range(1, level + 1))
        confidence = f"if(coalesce({same[level]}, false), greatest(sure, surer), if(chain = 1, sure, surer))"
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP VIEW labels_l{level} AS
            WITH listed AS (
                SELECT *, unnest(if(a{level} IS NULL, if({both}, [2], []), if({both}, [1, 2], [1]))) AS chain
                FROM seen
            ), named AS (
                SELECT load_id, dt, content_type, source_ref, manifest_id, line_number, {path},
                    {confidence} AS confidence
                FROM listed
            )
            SELECT *, 'job-' || manifest_id AS job_id, l{level} AS name,
                {f"l{level - 1}" if level > 1 else "NULL::VARCHAR"} AS parent_name,
                false AS unknown_label, false AS respelled, false AS path_derived, false AS level_derived,
                false AS ambiguous_parent,
                {", ".join(f"{source} AS v7_l{n}" for n, source in enumerate(bridge, start=1))},
                false AS v7_ambiguous, '7.0' AS model_version
            FROM named
            """
        )
    listed = " + ".join(f"(a{n} IS NOT NULL)::INTEGER" for n in (1, 2, 3))
    listed += "".join(f" + (b{n} IS NOT NULL AND NOT coalesce({same[n]}, false))::INTEGER" for n in (1, 2, 3))
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW images AS
        SELECT load_id, dt, source_ref, 'archive' AS bucket, source_ref[14:] AS key, token || token AS etag,
            status, CASE status WHEN 'failed' THEN if(fate < 14, 'ImageTooLarge', 'InvalidImageFormat')
                WHEN 'not_attempted' THEN 'Throttled' END AS error_code,
            CASE status WHEN 'moderated' THEN NULL ELSE 'The image was refused.' END AS error_message,
            if(status = 'moderated', content_type, NULL) AS content_type,
            if(status = 'moderated' AND contains(content_type, 'illustrated'), sure, NULL)
                AS illustrated_confidence,
            if(status = 'moderated' AND contains(content_type, 'animated'), surer, NULL)
                AS animated_confidence,
            {listed} AS label_count, if(b1 IS NULL OR sure >= surer, a1, b1) AS top_l1,
            if(a1 IS NULL, NULL, if(b1 IS NULL, sure, greatest(sure, surer))) AS max_confidence,
            'bulk' AS backend, '7.0' AS model_version, NULL::VARCHAR AS adapter,
            'job-' || manifest_id AS job_id,
            CASE status WHEN 'not_attempted' THEN NULL ELSE moderated_at END AS moderated_at,
            50.0::DOUBLE AS min_confidence, (20000 + fate * 70)::BIGINT AS size_bytes,
            moderated_at - INTERVAL 3 DAY AS last_modified, manifest_id, line_number,
            if(status = 'moderated', true, NULL) AS content_types_answered,
            if(status = 'moderated', 0, NULL)::INTEGER AS other_content_types, 0::INTEGER AS unknown_labels,
            NULL::VARCHAR AS origin
        FROM seen
        """
    )


def rows(connection: duckdb.DuckDBPyConnection, table: Any, where: str = "true") -> Iterator[pa.Table]:
    """Rows of a table that `make` made, in the order of the ids; a column that it does not know is null."""
    known = set(connection.table(table.name).columns)
    columns = [name if name in known else f"NULL AS {name}" for name in table.schema.names]
    chosen = connection.sql(f"SELECT {', '.join(columns)} FROM {table.name} WHERE {where}")
    for batch in chosen.to_arrow_reader(125_000):
        yield pa.Table.from_batches([batch]).cast(physical_schema(table))


def publish_day(connection: duckdb.DuckDBPyConnection, data: Data, day: int) -> None:
    """One load, written by the pipeline's own writer."""
    root = data.folder / "published"
    done = data.folder / "done" / f"day-{day}"
    if done.exists():
        return
    spool = data.folder / "spool"
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir(parents=True)
    make(connection, f"SELECT range AS id FROM range({day}, {data.images}, {data.days})", data.days)
    with LoadWriter(spool, f"{data.load_id(day)}-bbbbbbbbbbbb") as writer:
        for part in rows(connection, IMAGES):
            writer.write(IMAGES, part)
        for table in LABELS.values():
            for kind in ("none", "illustrated", "animated", "illustrated_animated"):
                for part in rows(connection, table, f"content_type = '{kind}'"):
                    writer.write(table, part)
        jobs = _jobs(connection)
        writer.write(JOBS, jobs)
        writer.write(LOADS, _load(connection, data, day, jobs))
        files = writer.finish()
    for file in files:
        target = root / file.relative_path
        target.parent.mkdir(parents=True, exist_ok=True)
        file.path.replace(target)
    done.parent.mkdir(exist_ok=True)
    done.touch()


def _jobs(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    found = connection.sql(
        "SELECT load_id, dt, manifest_id, any_value(job_id) AS job_id, count(*) AS images, "
        "count(*) FILTER (status = 'moderated') AS moderated, count(*) FILTER (status = 'failed') AS failed, "
        "count(*) FILTER (status = 'not_attempted') AS not_attempted FROM images GROUP BY ALL ORDER BY 3"
    ).to_arrow_table()
    known = {"backend": "bulk", "status": "SUCCEEDED", "model_version": "7.0", "min_confidence": 50.0}
    counted = [
        row
        | known
        | {"billed": row["moderated"], "cost_usd": row["moderated"] * 0.001, "result_lines": row["moderated"]}
        | {"superseded": 0, "malformed_lines": 0, "anomalies": 0}
        for row in found.to_pylist()
    ]
    return pa.Table.from_pylist(counted, physical_schema(JOBS))


def _load(connection: duckdb.DuckDBPyConnection, data: Data, day: int, jobs: pa.Table) -> pa.Table:
    counts: dict[str, Any] = {
        name: sum(jobs.column(name).to_pylist())
        for name in ("images", "moderated", "failed", "not_attempted", "billed", "cost_usd")
    }
    for name in ("labels_l1", "labels_l2", "labels_l3"):
        (counts[name],) = connection.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,)
    row = {field.name: 0 for field in LOADS.schema if field.type == pa.int64()} | counts
    row |= {
        "load_id": data.load_id(day),
        "dt": FIRST_DAY + timedelta(days=day),
        "run_key": f"run-{day}",
        "plan_number": 1,
        "source": "s3://archive/",
        "published_at": datetime(2026, 8, 24, 5, tzinfo=UTC) + timedelta(days=day),
        "min_confidence": 50.0,
        "model_version": "7.0",
        "listed": counts["images"],
        "manifests": jobs.num_rows,
        "digest": "bbbbbbbbbbbb",
    }
    return pa.Table.from_pylist([row], physical_schema(LOADS))


def register(data: Data) -> None:
    """Bring the files into the catalog, as a publish does."""
    root = data.folder / "published"
    with open_catalog(data.settings) as catalog:
        for name, table in ensure_tables(catalog, data.settings).items():
            present = {task.file.file_path for task in table.scan().plan_files()}
            files = {f"file://{path}" for path in root.glob(f"{name}/**/*.parquet")}
            if missing := sorted(files - present):
                table.add_files(missing, check_duplicate_files=False)


def dump_plain(connection: duckdb.DuckDBPyConnection, data: Data) -> None:
    """The same rows, all days mixed, as ``DataFrame.to_parquet`` writes them: snappy, pyarrow's defaults."""
    for number in range(PLAIN_FILES):
        done = data.folder / "done" / f"plain-{number}"
        if done.exists():
            continue
        step = -(-data.images // PLAIN_FILES)
        ids = f"SELECT range AS id FROM range({number * step}, {min((number + 1) * step, data.images)})"
        make(connection, ids, data.days)
        for table in (IMAGES, *LABELS.values()):
            (data.plain / table.name).mkdir(parents=True, exist_ok=True)
            pq.write_table(
                pa.concat_tables(rows(connection, table)),
                data.plain / table.name / f"part-{number:05}.parquet",
            )
        done.touch()
    for table in (JOBS, LOADS):
        (data.plain / table.name).mkdir(parents=True, exist_ok=True)
        files = sorted((data.folder / "published" / table.name).glob("**/*.parquet"))
        whole = pa.concat_tables(pq.read_table(path, partitioning=None) for path in files)
        pq.write_table(whole, data.plain / table.name / "part-00000.parquet")


def data_from(args: argparse.Namespace) -> Data:
    return Data(args.folder.absolute(), round(args.labels / LABELS_PER_IMAGE), args.days)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=int, default=100_000_000, help="label rows, about")
    parser.add_argument("--days", type=int, default=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    data = data_from(parser.parse_args())
    if data.complete:
        return
    data.folder.mkdir(parents=True, exist_ok=True)
    with connect(data) as connection:
        for day in range(data.days):
            publish_day(connection, data, day)
        register(data)
        dump_plain(connection, data)
    for name in ("spool", "spill", "done"):
        shutil.rmtree(data.folder / name, ignore_errors=True)


if __name__ == "__main__":
    main()
