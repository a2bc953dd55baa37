"""Projects, their versions and tags, in the server's SQLite file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from local_aws.rekognition.jobs.store import LedgerEntry, Store
from local_aws.rekognition.wire.errors import ApiError

TRAINING, TRAINED, FAILED, DELETING = (
    "TRAINING_IN_PROGRESS", "TRAINING_COMPLETED", "TRAINING_FAILED", "DELETING",
)  # fmt: skip
SETTABLE = (TRAINED, "DEPRECATED", "EXPIRED")
IN_TRAINING_MESSAGE = "The model is being trained."
TRAINED_MESSAGE = "The model is ready to run."

_SCHEMA = """
CREATE TABLE IF NOT EXISTS projects (
    arn TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    region TEXT NOT NULL,
    feature TEXT NOT NULL,
    auto_update TEXT,
    status TEXT NOT NULL,
    born INTEGER NOT NULL,          -- milliseconds since 1970, as in the ARN
    gone_at REAL,                   -- when one that is DELETING disappears
    tags TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS versions (
    arn TEXT PRIMARY KEY,
    project_arn TEXT NOT NULL,
    name TEXT NOT NULL,
    region TEXT NOT NULL,
    access_key TEXT NOT NULL,
    born INTEGER NOT NULL,
    request TEXT NOT NULL,          -- the validated request, JSON
    status TEXT NOT NULL,
    status_message TEXT NOT NULL,
    gone_at REAL,
    ended_at REAL,
    billable_seconds INTEGER,
    result TEXT,                    -- output files and F1 score of a training that succeeded, JSON
    base_model_version TEXT,
    learned BLOB,
    learned_sha256 TEXT,
    tags TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS versions_project ON versions (project_arn, name);
"""
_PROJECTS = "SELECT arn, name, region, feature, auto_update, status, born, tags FROM projects"
_VERSIONS = (
    "SELECT arn, project_arn, name, region, access_key, born, request, status, status_message, ended_at,"
    " billable_seconds, result, base_model_version, tags FROM versions"
)
_TAGS = "SELECT tags FROM projects WHERE arn = :arn UNION SELECT tags FROM versions WHERE arn = :arn"


@dataclass(frozen=True)
class TrainedProject:
    """A project as stored; ``born`` in milliseconds since 1970."""

    arn: str
    name: str
    region: str
    feature: str
    auto_update: str | None
    status: str
    born: int
    tags: dict[str, str]


@dataclass(frozen=True)
class Version:
    """A version as stored; ``born`` in milliseconds, ``ended_at`` in seconds since 1970."""

    arn: str
    project_arn: str
    name: str
    region: str
    access_key: str
    born: int
    request: dict[str, Any]
    status: str
    status_message: str
    ended_at: float | None
    billable_seconds: int | None
    result: dict[str, Any] | None
    base_model_version: str | None
    tags: dict[str, str]


class LearnedDamaged(RuntimeError):
    """What a version has learnt is not what was stored."""


class ProjectStore:
    """Projects, versions and tags; safe to use from many threads.

    :param store: the server's file.
    :param clock: seconds since 1970.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        with store.transaction() as database:
            for statement in _SCHEMA.split(";\n"):
                database.execute(statement)

    def create_project(
        self, *, name: str, region: str, account: str, feature: str, auto_update: str | None,
        tags: dict[str, str], limit: int,
    ) -> TrainedProject:  # fmt: skip
        """Store a new project.

        :raises ApiError: ResourceInUseException: the name is taken; LimitExceededException.
        """
        with self._changing() as database:
            taken = database.execute(
                "SELECT name FROM projects WHERE region = ? ORDER BY name = ? DESC", (region, name)
            ).fetchall()
            if taken and taken[0]["name"] == name:
                raise ApiError("ResourceInUseException", reason=f"a project {name} exists in {region}")
            if len(taken) >= limit:
                raise ApiError(
                    "LimitExceededException", f"{len(taken)} projects exist. Maximum limit: {limit}"
                )
            born = self._born(database)
            arn = f"arn:aws:rekognition:{region}:{account}:project/{name}/{born}"
            database.execute(
                "INSERT INTO projects (arn, name, region, feature, auto_update, status, born, tags)"
                " VALUES (?, ?, ?, ?, ?, 'CREATED', ?, ?)",
                (arn, name, region, feature, auto_update, born, json.dumps(tags)),
            )
        return TrainedProject(arn, name, region, feature, auto_update, "CREATED", born, tags)

    def delete_project(self, arn: str, *, lasting: float) -> None:
        """Begin to delete a project.

        :param lasting: seconds for which it is still seen as DELETING.
        :raises ApiError: ResourceNotFoundException, or ResourceInUseException: it has versions.
        """
        with self._changing() as database:
            found = database.execute("SELECT status FROM projects WHERE arn = ?", (arn,)).fetchone()
            if found is None:
                raise ApiError("ResourceNotFoundException", f"The resource {arn} was not found.")
            inside = database.execute(
                "SELECT count(*) FROM versions WHERE project_arn = ?", (arn,)
            ).fetchone()[0]
            if inside or found["status"] == DELETING:
                reason = f"the project has {inside} versions" if inside else "the project is being deleted"
                raise ApiError("ResourceInUseException", reason=reason)
            database.execute(
                "UPDATE projects SET status = 'DELETING', gone_at = ? WHERE arn = ?",
                (self._clock() + lasting, arn),
            )

    def create_version(
        self, project_arn: str, *, name: str, region: str, account: str, request: dict[str, Any],
        tags: dict[str, str], entry: LedgerEntry, base_model_version: str, limit: int, running_limit: int,
    ) -> Version:  # fmt: skip
        """Store a new version, whose training begins.

        :param entry: its ledger entry, without the ARN.
        :raises ApiError: ResourceInUseException: the name is taken; LimitExceededException: versions of the
            project, or trainings at once.
        """
        with self._changing() as database:
            names = [
                row["name"]
                for row in database.execute("SELECT name FROM versions WHERE project_arn = ?", (project_arn,))
            ]
            if name in names:
                raise ApiError("ResourceInUseException", reason=f"the project has a version {name}")
            if len(names) >= limit:
                raise ApiError(
                    "LimitExceededException",
                    f"{len(names)} versions exist in the project. Maximum limit: {limit}",
                )
            running = database.execute(
                "SELECT count(*) FROM versions WHERE region = ? AND status = ?", (region, TRAINING)
            ).fetchone()[0]
            if running >= running_limit:
                raise ApiError(
                    "LimitExceededException",
                    f"{running} trainings are in progress. Maximum limit: {running_limit}",
                )
            born = self._born(database)
            project = project_arn.split(":project/")[1].split("/", maxsplit=1)[0]
            arn = f"arn:aws:rekognition:{region}:{account}:project/{project}/version/{name}/{born}"
            database.execute(
                "INSERT INTO versions (arn, project_arn, name, region, access_key, born, request, status,"
                " status_message, base_model_version, tags) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    arn,
                    project_arn,
                    name,
                    region,
                    entry.access_key,
                    born,
                    json.dumps(request),
                    TRAINING,
                    IN_TRAINING_MESSAGE,
                    base_model_version,
                    json.dumps(tags),
                ),
            )
            self._store.append([LedgerEntry("training_started", region, entry.access_key, arn, name)])
        return self.version(arn)

    def delete_version(self, arn: str, *, lasting: float) -> None:
        """Begin to delete a version; what it has learnt is gone at once.

        :raises ApiError: ResourceNotFoundException, or ResourceInUseException: it trains, or is DELETING.
        """
        with self._changing() as database:
            found = database.execute("SELECT status FROM versions WHERE arn = ?", (arn,)).fetchone()
            if found is None:
                raise ApiError("ResourceNotFoundException", f"The resource {arn} was not found.")
            if found["status"] in {TRAINING, DELETING}:
                raise ApiError("ResourceInUseException", reason=f"the version is {found['status']}")
            database.execute(
                "UPDATE versions SET status = 'DELETING', gone_at = ?, learned = NULL, learned_sha256 = NULL"
                " WHERE arn = ?",
                (self._clock() + lasting, arn),
            )

    def projects(self) -> list[TrainedProject]:
        """All projects."""
        with self._changing() as database:
            rows = database.execute(_PROJECTS).fetchall()
        return [TrainedProject(**{**dict(row), "tags": json.loads(row["tags"])}) for row in rows]

    def versions(self, project_arn: str | None = None) -> list[Version]:
        """The versions of a project, or of all."""
        with self._changing() as database:
            rows = database.execute(
                f"{_VERSIONS} WHERE project_arn = coalesce(?, project_arn) ORDER BY born",
                (project_arn,),
            ).fetchall()
        return [_version(row) for row in rows]

    def version(self, arn: str) -> Version:
        """Return a version.

        :raises KeyError: there is none.
        """
        found = self.find(arn)
        if found is None:
            raise KeyError(arn)
        return found

    def find(self, arn: str) -> Version | None:
        """Return a version, None when there is none."""
        with self._changing() as database:
            row = database.execute(f"{_VERSIONS} WHERE arn = ?", (arn,)).fetchone()
        return _version(row) if row else None

    def status(self, arn: str) -> str | None:
        """Return the status of a version, None when there is none."""
        with self._changing() as database:
            row = database.execute("SELECT status FROM versions WHERE arn = ?", (arn,)).fetchone()
        return str(row["status"]) if row else None

    def set_statuses(self, given: dict[str, Any]) -> None:
        """Let versions that are trained be in other states, all of them or none.

        :param given: TRAINING_COMPLETED, DEPRECATED or EXPIRED by ARN.
        :raises ValueError: another state, or an ARN of no version that is trained.
        """
        for arn, status in given.items():
            if status not in SETTABLE:
                raise ValueError(f"adapters: {arn} cannot be {status!r}; there is {', '.join(SETTABLE)}")
        with self._changing() as database:
            for arn, status in given.items():
                changed = database.execute(
                    "UPDATE versions SET status = ? WHERE arn = ? AND learned_sha256 IS NOT NULL",
                    (status, arn),
                )
                if not changed.rowcount:
                    raise ValueError(f"adapters: no version with the ARN {arn} is trained here")

    def complete(self, arn: str, *, result: dict[str, Any], billable_seconds: int, learned: bytes) -> None:
        """End a training well."""
        version = self.version(arn)
        with self._changing() as database:
            changed = database.execute(
                "UPDATE versions SET status = ?, status_message = ?, ended_at = ?, billable_seconds = ?,"
                " result = ?, learned = ?, learned_sha256 = ? WHERE arn = ? AND status = ?",
                (
                    TRAINED,
                    TRAINED_MESSAGE,
                    self._clock(),
                    billable_seconds,
                    json.dumps(result),
                    learned,
                    hashlib.sha256(learned).hexdigest(),
                    arn,
                    TRAINING,
                ),
            )
            if changed.rowcount:
                entry = LedgerEntry("training_billed", version.region, version.access_key, arn, version.name)
                self._store.append([entry])

    def fail(self, arn: str, message: str, *, result: dict[str, Any] | None = None) -> None:
        """End a training with a failure."""
        with self._changing() as database:
            database.execute(
                "UPDATE versions SET status = ?, status_message = ?, ended_at = ?, result = ?"
                " WHERE arn = ? AND status = ?",
                (FAILED, message, self._clock(), json.dumps(result) if result else None, arn, TRAINING),
            )

    def learned(self, arn: str) -> bytes | None:
        """Return what a version has learnt; None when no training here has succeeded with it.

        :raises LearnedDamaged: it is lost, or not what was stored.
        """
        with self._changing() as database:
            row = database.execute(
                "SELECT learned, learned_sha256 FROM versions WHERE arn = ?", (arn,)
            ).fetchone()
        if row is None or row["learned_sha256"] is None:
            return None
        learned = bytes(row["learned"] or b"")
        if hashlib.sha256(learned).hexdigest() != row["learned_sha256"]:
            raise LearnedDamaged(f"what {arn} has learnt is damaged; delete the version and train another")
        return learned

    def tags(self, arn: str) -> dict[str, str] | None:
        """The tags of a project or version; None when there is no such resource."""
        with self._changing() as database:
            row = database.execute(_TAGS, {"arn": arn}).fetchone()
        return dict(json.loads(row["tags"])) if row else None

    def change_tags(self, arn: str, *, put: dict[str, str], drop: Sequence[str] = (), limit: int) -> bool:
        """Put and drop tags; false when there is no such resource.

        :raises ApiError: ServiceQuotaExceededException.
        """
        with self._changing() as database:
            row = database.execute(_TAGS, {"arn": arn}).fetchone()
            if row is None:
                return False
            before = json.loads(row["tags"])
            after = {key: value for key, value in {**before, **put}.items() if key not in drop}
            if len(after) > limit:
                text = f"{len(after)} tags on the resource. Maximum limit: {limit}"
                raise ApiError("ServiceQuotaExceededException", text)
            database.execute("UPDATE projects SET tags = ? WHERE arn = ?", (json.dumps(after), arn))
            database.execute("UPDATE versions SET tags = ? WHERE arn = ?", (json.dumps(after), arn))
        return True

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no longer sees what has been deleted."""
        with self._store.transaction() as database:
            now = self._clock()
            database.execute("DELETE FROM versions WHERE gone_at <= ?", (now,))
            database.execute("DELETE FROM projects WHERE gone_at <= ?", (now,))
            yield database

    def _born(self, database: sqlite3.Connection) -> int:
        """A time of creation that no other project or version has."""
        (last,) = database.execute(
            "SELECT coalesce(max(born), 0) FROM (SELECT born FROM projects UNION SELECT born FROM versions)"
        ).fetchone()
        return max(int(self._clock() * 1000), last + 1)


def _version(row: sqlite3.Row) -> Version:
    values = dict(row)
    for name in ("request", "result", "tags"):
        values[name] = json.loads(values[name]) if values[name] is not None else None
    return Version(**values)
