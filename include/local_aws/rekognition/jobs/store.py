"""What the server remembers: jobs, their progress and the ledger, in one SQLite file that survives a kill."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_aws.rekognition.wire.errors import token_in_use, too_many_open_jobs

OPEN = ("CREATED", "QUEUED", "IN_PROGRESS")
"""The states of a job that is not over."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    access_key TEXT NOT NULL,
    request TEXT NOT NULL,          -- the validated request, JSON
    token TEXT,
    fingerprint TEXT NOT NULL,      -- of the request without its token
    faults TEXT NOT NULL,           -- fault rules this job drew, JSON
    status TEXT NOT NULL,
    created_at REAL NOT NULL,
    started_at REAL,
    completed_at REAL,
    failure_code TEXT,
    failure_message TEXT,
    results_key TEXT,
    summary_key TEXT,
    model_version TEXT,
    total INTEGER NOT NULL DEFAULT 0,
    -- the checkpoint: everything before `offset` in the manifest is done and in the spool files
    line INTEGER NOT NULL DEFAULT 0,
    offset INTEGER NOT NULL DEFAULT 0,
    results_bytes INTEGER NOT NULL DEFAULT 0,
    errors_bytes INTEGER NOT NULL DEFAULT 0,
    lines INTEGER NOT NULL DEFAULT 0,
    valid INTEGER NOT NULL DEFAULT 0,
    billed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS jobs_token ON jobs (region, token, seq);
CREATE INDEX IF NOT EXISTS jobs_status ON jobs (status, region);
CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    event TEXT NOT NULL,
    region TEXT NOT NULL,
    access_key TEXT NOT NULL,
    job_id TEXT,
    job_name TEXT,
    source_ref TEXT,
    line_number INTEGER,
    request_id TEXT
);
CREATE TRIGGER IF NOT EXISTS ledger_no_update BEFORE UPDATE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS ledger_no_delete BEFORE DELETE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""


@dataclass(frozen=True)
class Job:
    """A media analysis job as stored; times in seconds since 1970, UTC."""

    seq: int
    job_id: str
    region: str
    access_key: str
    request: dict[str, Any]
    token: str | None
    fingerprint: str
    faults: list[dict[str, Any]]
    status: str
    created_at: float
    started_at: float | None
    completed_at: float | None
    failure_code: str | None
    failure_message: str | None
    results_key: str | None
    summary_key: str | None
    model_version: str | None
    total: int
    line: int
    offset: int
    results_bytes: int
    errors_bytes: int
    lines: int
    valid: int
    billed: int

    @property
    def job_name(self) -> str | None:
        """The name the caller gave."""
        return self.request.get("JobName")


@dataclass(frozen=True)
class Checkpoint:
    """How far a job has come; see the column comments of the table."""

    line: int = 0
    offset: int = 0
    results_bytes: int = 0
    errors_bytes: int = 0
    lines: int = 0
    valid: int = 0
    billed: int = 0


@dataclass(frozen=True)
class LedgerEntry:
    """One thing the caller pays for or has started.

    :param event: ``job_started``, ``image_billed`` (inside a job), ``detect_billed``, ``training_started`` or
        ``training_billed`` (with the version's ARN as ``job_id`` and its name as ``job_name``).
    :param source_ref: the image's ``s3://`` address, or ``bytes:<sha256>`` when it was in the request.
    """

    event: str
    region: str
    access_key: str
    job_id: str | None = None
    job_name: str | None = None
    source_ref: str | None = None
    line_number: int | None = None
    request_id: str | None = None


class Store:
    """The SQLite file; safe to use from many threads.

    A transaction that has returned is not lost when the process is killed.

    :param path: the file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def find_by_token(self, region: str, token: str, *, since: float) -> Job | None:
        """Return the latest job that was started with a token after ``since``."""
        return self._one(
            "SELECT * FROM jobs WHERE region = ? AND token = ? AND created_at >= ? ORDER BY seq DESC LIMIT 1",
            (region, token, since),
        )

    def start_job(
        self,
        *,
        job_id: str,
        entry: LedgerEntry,
        request: dict[str, Any],
        token: str | None,
        fingerprint: str,
        token_since: float,
        draw_faults: Callable[[], Sequence[dict[str, Any]]],
        open_limit: int,
        user_arn: str,
    ) -> Job:
        """Store a new job, unless its token is known already; one transaction.

        :param entry: its ledger entry, which also says region and key.
        :param draw_faults: called when the job is really new; what it returns is stored with the job.
        :param open_limit: jobs that may be open in the region, this one included.
        :param user_arn: who asks, for the error's text.
        :return: the new job, or the one the token belongs to.
        :raises ApiError: IdempotentParameterMismatchException or LimitExceededException.
        """
        with self.transaction():
            known = self.find_by_token(entry.region, token, since=token_since) if token else None
            if known is not None:
                return same_request(known, fingerprint)
            open_jobs = self._open_jobs(entry.region)
            if open_jobs >= open_limit:
                raise too_many_open_jobs(user_arn=user_arn, open_jobs=open_jobs, limit=open_limit)
            self._db.execute(
                "INSERT INTO jobs (job_id, region, access_key, request, token, fingerprint, faults, status,"
                " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'CREATED', ?)",
                (
                    job_id,
                    entry.region,
                    entry.access_key,
                    json.dumps(request),
                    token,
                    fingerprint,
                    json.dumps(list(draw_faults())),
                    time.time(),
                ),
            )
            self.append([entry])
        return self.job(job_id)

    def job(self, job_id: str) -> Job:
        """Return a job.

        :raises KeyError: there is none with this id.
        """
        found = self._one("SELECT * FROM jobs WHERE job_id = ?", (job_id,))
        if found is None:
            raise KeyError(job_id)
        return found

    def find(self, region: str, job_id: str, *, since: float) -> Job | None:
        """Return a region's job that was made after ``since``."""
        return self._one(
            "SELECT * FROM jobs WHERE job_id = ? AND region = ? AND created_at >= ?", (job_id, region, since)
        )

    def newest(self, region: str | None, *, before: int | None, limit: int, since: float = 0.0) -> list[Job]:
        """Return jobs, newest first.

        :param region: None for all regions.
        :param before: only jobs with a smaller sequence number.
        """
        return self._many(
            "SELECT * FROM jobs WHERE region = coalesce(?, region) AND seq < coalesce(?, seq + 1)"
            " AND created_at >= ? ORDER BY seq DESC LIMIT ?",
            (region, before, since, limit),
        )

    def open_jobs(self) -> list[Job]:
        """Return all jobs that are not over, oldest first."""
        return self._many("SELECT * FROM jobs WHERE status IN (?, ?, ?) ORDER BY seq", OPEN)

    def advance(self, job_id: str, status: str) -> None:
        """Move an open job to its next open state."""
        started = time.time() if status == "IN_PROGRESS" else None
        self._write(
            "UPDATE jobs SET status = ?, started_at = coalesce(?, started_at)"
            " WHERE job_id = ? AND status IN ('CREATED', 'QUEUED')",
            (status, started, job_id),
        )

    def set_total(self, job_id: str, total: int) -> None:
        """Note how many lines a job's manifest has."""
        self._write("UPDATE jobs SET total = ? WHERE job_id = ?", (total, job_id))

    def checkpoint(self, job_id: str, progress: Checkpoint, billed: Iterable[LedgerEntry]) -> None:
        """Note a job's progress and what was billed since the last time, in one transaction."""
        with self.transaction():
            self.append(billed)
            self._db.execute(
                "UPDATE jobs SET line = ?, offset = ?, results_bytes = ?, errors_bytes = ?, lines = ?,"
                " valid = ?, billed = ? WHERE job_id = ?",
                (
                    progress.line,
                    progress.offset,
                    progress.results_bytes,
                    progress.errors_bytes,
                    progress.lines,
                    progress.valid,
                    progress.billed,
                    job_id,
                ),
            )

    def note_output(
        self, job_id: str, *, results_key: str | None = None, summary_key: str | None = None
    ) -> None:
        """Note that an output file is complete in S3, so that a restart does not write it again."""
        self._write(
            "UPDATE jobs SET results_key = coalesce(?, results_key), summary_key = coalesce(?, summary_key)"
            " WHERE job_id = ?",
            (results_key, summary_key, job_id),
        )

    def succeed(self, job_id: str, model_version: str) -> None:
        """End a job well."""
        self._write(
            "UPDATE jobs SET status = 'SUCCEEDED', completed_at = ?, model_version = ? WHERE job_id = ?",
            (time.time(), model_version, job_id),
        )

    def fail(self, job_id: str, code: str, message: str) -> None:
        """End a job with a failure."""
        self._write(
            "UPDATE jobs SET status = 'FAILED', completed_at = ?, failure_code = ?, failure_message = ?"
            " WHERE job_id = ?",
            (time.time(), code, message, job_id),
        )

    def bill(self, entry: LedgerEntry) -> None:
        """Append one entry to the ledger."""
        with self.transaction():
            self.append([entry])

    def ledger(self, *, after: int, limit: int) -> list[dict[str, Any]]:
        """Return ledger entries with an id above ``after``, oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM ledger WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
            return [dict(row) for row in rows]

    def ledger_totals(self) -> dict[str, int]:
        """Return how many entries of each event the ledger has."""
        with self._lock:
            rows = self._db.execute("SELECT event, count(*) FROM ledger GROUP BY event")
            return {"job_started": 0, "image_billed": 0, "detect_billed": 0, **{e: int(n) for e, n in rows}}

    def append(self, entries: Iterable[LedgerEntry]) -> None:
        """Append entries to the ledger, inside a :meth:`transaction`."""
        now = time.time()
        self._db.executemany(
            "INSERT INTO ledger (at, event, region, access_key, job_id, job_name, source_ref, line_number,"
            " request_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    now,
                    entry.event,
                    entry.region,
                    entry.access_key,
                    entry.job_id,
                    entry.job_name,
                    entry.source_ref,
                    entry.line_number,
                    entry.request_id,
                )
                for entry in entries
            ],
        )

    def _open_jobs(self, region: str) -> int:
        query = "SELECT count(*) FROM jobs WHERE region = ? AND status IN (?, ?, ?)"
        return int(self._db.execute(query, (region, *OPEN)).fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the file for the length of a block, all of whose writes are kept, or none."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _write(self, statement: str, values: Sequence[Any]) -> None:
        with self._lock:
            self._db.execute(statement, values)

    def _one(self, query: str, values: Sequence[Any]) -> Job | None:
        with self._lock:
            row = self._db.execute(query, values).fetchone()
        return _job(row) if row is not None else None

    def _many(self, query: str, values: Sequence[Any]) -> list[Job]:
        with self._lock:
            return [_job(row) for row in self._db.execute(query, values)]


def same_request(known: Job, fingerprint: str) -> Job:
    """Return the job a token belongs to.

    :raises ApiError: IdempotentParameterMismatchException when the token came with another request.
    """
    if known.fingerprint != fingerprint:
        raise token_in_use(token=known.token or "")
    return known


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    return Job(**{**values, "request": json.loads(values["request"]), "faults": json.loads(values["faults"])})
