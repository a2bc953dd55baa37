"""One look of a waiter, read: the good end passes, all else is raised by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from rekognition.exceptions import (
    RekognitionResourceInUse,
    RekognitionVersionNotFound,
    from_botocore,
    from_error_response,
    from_failed_job,
    from_failed_version,
)
from rekognition.patience import StillRunning
from rekognition.waiters.states import PROJECT_CREATED_WAITER, VERSION_TRAINED_WAITER, job_states


@contextmanager
def named_errors(job_id: str | None) -> Iterator[None]:
    """Give what boto raises its class."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise from_botocore(error, job_id=job_id) from error


@contextmanager
def _one_look(job_id: str | None) -> Iterator[None]:
    """Turn the one outcome of a waiter that was given a single attempt into `_Outcome` or a named error."""
    with named_errors(job_id):
        try:
            yield
        except WaiterError as error:
            response = error.last_response or {}
            if "Error" in response:
                raise from_error_response(response, job_id=job_id) from error
            raise _Outcome(response) from None


class _Outcome(Exception):
    """What a look found that is not the good end."""

    def __init__(self, response: dict[str, Any]) -> None:
        super().__init__()
        self.response = response


@contextmanager
def at_job(job_id: str) -> Iterator[None]:
    """Read a look at a media analysis job."""
    try:
        with _one_look(job_id):
            yield
    except _Outcome as seen:
        status = seen.response.get("Status", "unknown")
        if status in job_states().failed:
            raise from_failed_job(seen.response) from None
        raise StillRunning(status, what="media analysis job") from None


@contextmanager
def at_version(version_name: str) -> Iterator[None]:
    """Read a look at an adapter version."""
    try:
        with _one_look(None):
            yield
    except _Outcome as seen:
        found = next(iter(seen.response.get("ProjectVersionDescriptions") or ()), None)
        if found is None:
            raise RekognitionVersionNotFound("the project has no such version", job_id=version_name) from None
        if found["Status"] in job_states(VERSION_TRAINED_WAITER).failed:
            raise from_failed_version(found) from None
        raise StillRunning(found["Status"], what=f"adapter version {version_name}") from None


@contextmanager
def at_project(name: str) -> Iterator[None]:
    """Read a look at a project."""
    try:
        with _one_look(None):
            yield
    except _Outcome as seen:
        found: dict[str, Any] = next(iter(seen.response.get("ProjectDescriptions") or ()), {})
        status = str(found.get("Status", "gone"))
        if status in job_states(PROJECT_CREATED_WAITER).failed:
            raise RekognitionResourceInUse(f"the project {name!r} is {status}", code=status) from None
        raise StillRunning(status, what=f"project {name}") from None
