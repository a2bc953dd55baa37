"""
What a task remembers of the job it starts, so that one manifest is never paid for twice.

The record is written to ``task_state_store`` before the request is sent and holds that request word for
word. Whoever finds a record without a JobId knows that the request may have arrived, and repeats exactly it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

# Renaming a key makes tasks in flight during an upgrade start their job again.
SUBMISSION_KEY = "rekognition_submission"
JOB_ID_KEY = "rekognition_media_analysis_job_id"
# AWS keeps the details of a job for one year [developer guide]; Airflow's default would be 30 days.
RETENTION = timedelta(days=365)
_LONGEST_NAME = 64  # JobName [service-2.json, MediaAnalysisJobName]


class StateStore(Protocol):
    """The part of Airflow's ``context["task_state_store"]`` used here."""

    def get(self, key: str) -> Any: ...  # noqa: D102 - Airflow's own method
    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None: ...  # noqa: D102
    def delete(self, key: str) -> None: ...  # noqa: D102 - Airflow's own method


class TaskIdentity(NamedTuple):
    """Which task instance asks; all its tries are one."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int


@dataclass(frozen=True, kw_only=True)
class Submission:
    """
    One generation of a task's job.

    :param generation: counts the jobs a task instance has started on purpose, from 1.
    :param round: which clearing of the task instance began this generation.
    :param request: the StartMediaAnalysisJob request, ClientRequestToken and JobName included.
    :param sent_at: when it was first sent (ISO format, UTC), or None if it certainly was not.
    :param job_id: AWS's answer, once known.
    """

    generation: int
    round: int
    request: dict[str, Any]
    sent_at: str | None = None
    job_id: str | None = None

    @classmethod
    def load(cls, store: StateStore) -> Submission | None:
        """Read the record of the newest generation, if there is one."""
        stored = store.get(SUBMISSION_KEY)
        return cls(**stored) if stored else None

    def save(self, store: StateStore | None) -> Submission:
        """Write the record, for a year; without a store (not durable) there is nothing to remember."""
        if store is not None:
            store.set(SUBMISSION_KEY, asdict(self), retention=RETENTION)
        return self

    def sent(self, now: datetime) -> Submission:
        """Return the record to write before the request goes out."""
        return self if self.sent_at else replace(self, sent_at=now.isoformat())

    def answered(self, job_id: str) -> Submission:
        """Return the record with AWS's answer."""
        return replace(self, job_id=job_id)

    def same_work(self, body: dict[str, Any]) -> bool:
        """
        Whether ``body`` asks for the images and settings this generation was started for.

        Where the output goes and what the job is called is not compared: a template that gives another
        prefix on each try must not pay for each try.
        """
        return all(self.request[part] == body[part] for part in ("Input", "OperationsConfig"))


def new_submission(
    identity: TaskIdentity, *, generation: int, round: int, body: dict[str, Any], job_name: str | None
) -> Submission:
    """
    Give a request its token and its name.

    The token is a digest of who asks, the generation and the request: a retry repeats it, another task,
    deployment or generation never does. The name ends in the generation and the token's first characters, so
    that a search finds this job and no other.

    :param body: StartMediaAnalysisJob arguments without ClientRequestToken and JobName.
    :param job_name: what the name begins with; default: the Dag's and the task's id.
    """
    digest = hashlib.sha256(json.dumps([*identity, generation, body], sort_keys=True).encode())
    token = digest.hexdigest()
    suffix = f"-g{generation}-{token[:8]}"
    base = job_name or re.sub(r"[^a-zA-Z0-9_.\-]+", "-", f"{identity.dag_id}-{identity.task_id}")
    name = base[: _LONGEST_NAME - len(suffix)] + suffix
    request = {**body, "ClientRequestToken": token, "JobName": name}
    return Submission(generation=generation, round=round, request=request)
