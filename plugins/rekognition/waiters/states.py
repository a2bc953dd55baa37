"""What is waited for, and its states: read from the waiter table that also drives the waiters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

WAITERS_FILE = Path(__file__).with_name("rekognition.json")
JOB_COMPLETE_WAITER = "media_analysis_job_complete"
VERSION_TRAINED_WAITER = "project_version_trained"
PROJECT_CREATED_WAITER = "project_created"


@dataclass(frozen=True)
class JobStates:
    """What each ``Status`` of a job, a project version or a project means for somebody who waits."""

    active: frozenset[str]
    succeeded: frozenset[str]
    failed: frozenset[str]


@cache
def job_states(waiter_name: str = JOB_COMPLETE_WAITER) -> JobStates:
    """Sort the states of ``waiter_name`` by what its acceptors make of them."""
    waiters = json.loads(WAITERS_FILE.read_text(encoding="utf-8"))["waiters"]
    acceptors = waiters[waiter_name]["acceptors"]

    def expected(outcome: str) -> frozenset[str]:
        return frozenset(a["expected"] for a in acceptors if a["state"] == outcome)

    return JobStates(active=expected("retry"), succeeded=expected("success"), failed=expected("failure"))
