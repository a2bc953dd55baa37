"""What readers see: never part of a load, and at the end the very rows of a run that nothing disturbed."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb

from moderation import schema
from moderation.settings import Settings
from moderation.storage.files import Storage, is_s3, local_path
from moderation.tables.catalog import open_catalog
from moderation.tables.published import loads_in, read_load
from support.published_loads import expected

VOLATILE = {
    "images": ("job_id", "moderated_at"),
    "labels_l1": ("job_id",),
    "labels_l2": ("job_id",),
    "labels_l3": ("job_id",),
    "jobs": ("job_id", "started_at", "completed_at"),
    "anomalies": (),
    "loads": ("published_at", "bytes", "digest"),
}
"""Columns that no two runs share: ids that AWS gives, times, and what is a digest of these."""

BOUND_TO_LOAD = ("load_id", "dt", "manifest_id", "line_number")
_FINAL = {"moderated", "failed"}
_COUNTED = {"images": "images", "jobs": "manifests", "anomalies": "anomalies"} | {
    f"labels_l{level}": f"labels_l{level}" for level in schema.LABELS
}

Rows = dict[str, list[dict[str, Any]]]


class PartialLoad(AssertionError):
    """A reader saw a load that is not whole, or is there more than once."""


def look(settings: Settings) -> int:
    """Read as an Iceberg reader and, where the tables are local, as one that knows only files.

    :returns: loads seen.
    :raises PartialLoad: rows of a table do not number what ``loads`` says.
    """
    with open_catalog(settings) as catalog:
        loads = loads_in(catalog).to_pylist()
        _once(loads, "an Iceberg reader")
        for load in loads:
            for table, count in _COUNTED.items():
                found = sum(batch.num_rows for batch in read_load(catalog, schema.TABLES[table], load))
                _same(load, table, found, load[count], "an Iceberg reader")
    if not is_s3(settings.tables_uri):
        _look_at_files(local_path(settings.tables_uri))
    return len(loads)


def _look_at_files(folder: Path) -> None:
    if not any(folder.glob("loads/*/*.parquet")):
        return
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT * FROM read_parquet('{folder}/loads/*/*.parquet')")
        names = [column[0] for column in rows.description or ()]
        loads = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
        _once(loads, "a reader of files")
        for load in loads:
            for table, count in _COUNTED.items():
                files = [str(file) for file in folder.glob(f"{table}/**/*.parquet")]
                query = "SELECT count(*) FROM read_parquet(?, union_by_name=true) WHERE load_id = ?"
                found = connection.execute(query, [files, load["load_id"]]).fetchone() if files else None
                _same(load, table, found[0] if found else 0, load[count], "a reader of files")


def _once(loads: list[dict[str, Any]], who: str) -> None:
    ids = [load["load_id"] for load in loads]
    if len(ids) != len(set(ids)):
        raise PartialLoad(f"{who} found a load more than once in loads: {ids}")


def _same(load: dict[str, Any], table: str, found: int, expected: int, who: str) -> None:
    if found != expected:
        raise PartialLoad(f"{who}: load {load['load_id']} has {found} rows of {table}, loads says {expected}")


class Polling:
    """A reader that looks again and again while the block runs; what it saw is raised at the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._failure: PartialLoad | None = None
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._failure and kind is None:
            raise self._failure

    def _poll(self) -> None:
        while not self._over.wait(1.0):
            try:
                look(self._settings)
                self.looks += 1
            except PartialLoad as error:
                self._failure = error
                return
            except Exception:  # S3 may be down, or a file replaced between two reads
                continue


def snapshot(settings: Settings, folder: str) -> Rows:
    """All rows of all tables without volatile columns.

    :param folder: the run's own part of the addresses, which is made the same for all.
    """
    rows: Rows = {name: table.to_pylist() for name, table in expected(settings).items()}
    for name, table_rows in rows.items():
        for row in table_rows:
            for column in ("manifest_uri", "results_uri", "summary_uri"):
                if row.get(column):
                    text = row[column].replace(f"/{folder}/", "/RUN/")
                    row[column] = text.replace(row["job_id"] or "-", "JOB")
            for column in VOLATILE[name]:
                del row[column]
        table_rows.sort(key=repr)
    return rows


def settled(rows: Rows) -> Rows:
    """What remains of several loads that came one after the other: each image's last word, and the labels.

    :raises AssertionError: an image was settled twice.
    """
    final = [
        row for row in rows["images"] if row["status"] in _FINAL and row["error_code"] != "MalformedResult"
    ]
    refs = [row["source_ref"] for row in final]
    assert len(refs) == len(set(refs)), (
        f"settled twice: {sorted({ref for ref in refs if refs.count(ref) > 1})}"
    )
    kept = {"images": final, **{name: rows[name] for name in rows if name.startswith("labels_")}}
    return {
        name: sorted(
            ({key: value for key, value in row.items() if key not in BOUND_TO_LOAD} for row in table),
            key=repr,
        )
        for name, table in kept.items()
    }


def totals_add_up(rows: Rows) -> None:
    """Each load: inputs = moderated + failed + not attempted.

    :raises AssertionError: they do not.
    """
    for load in rows["loads"]:
        statuses = [row["status"] for row in rows["images"] if row["load_id"] == load["load_id"]]
        counts = {name: statuses.count(name) for name in ("moderated", "failed", "not_attempted")}
        assert {name: load[name] for name in counts} == counts
        assert load["images"] == sum(counts.values()) == len(statuses)


def left_over(settings: Settings) -> list[str]:
    """Parquet files below the tables that no table knows; a reader of files would count their rows."""
    with open_catalog(settings) as catalog, Storage(settings) as storage:
        known = set()
        for table in schema.TABLES.values():
            found = catalog.load_table(("moderation", table.name))
            known |= {task.file.file_path for task in found.scan().plan_files()}
        files = [
            uri
            for table in schema.TABLES
            for uri in storage.list(f"{settings.tables_uri}/{table}")
            if uri.endswith(".parquet")
        ]
    return sorted(set(files) - known)
