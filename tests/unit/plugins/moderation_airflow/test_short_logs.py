"""The log of a task says what a person can do about its error in one line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from airflow.sdk import log as airflow_log

from moderation.analyse.detect.pacing import PacerClosed
from moderation.sources.base import SourceError
from moderation_airflow.short_logs import ShortLogs
from rekognition.exceptions import RekognitionAccessDenied

Logged = Callable[[Exception], dict[str, Any]]


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.BytesIO]:
    """Where the logging of a task's process goes, set up as Airflow does it."""
    for name in ("botocore", "aiobotocore"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    airflow_log.reset_logging()
    output = io.BytesIO()
    airflow_log.configure_logging(json_output=True, output=output, sending_to_supervisor=True)
    yield output
    airflow_log.reset_logging()


@pytest.fixture
def logged(output: io.BytesIO) -> Logged:
    """The line of a task that ended with an error."""
    log = structlog.get_logger(logger_name="task")
    log.info("before the listener is asked")
    for _ in range(2):
        ShortLogs().on_task_instance_running(None, None)

    def fail(error: Exception) -> dict[str, Any]:
        output.truncate(0)
        try:
            try:
                raise KeyError("a cause")
            except KeyError as cause:
                raise error from cause
        except Exception:
            log.exception("Task failed with exception")
        (line,) = [json.loads(line) for line in output.getvalue().strip(b"\0").splitlines()]
        assert (line["level"], line["event"]) == ("error", "Task failed with exception")
        return dict(line)

    return fail


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SourceError("s3://nope: no such bucket; make it"), "s3://nope: no such bucket; make it"),
        (RekognitionAccessDenied("ask for rights"), "ask for rights"),
        (PermissionError(13, "Permission denied", "/archive"), "/archive"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
    ],
)
def test_what_a_person_can_mend_and_what_passes_is_short_logs(error: Exception, told: str, logged: Logged):
    (shown,) = logged(error)["exception"]

    assert shown["exc_type"] == type(error).__name__
    assert told in shown["exc_value"]
    assert shown["frames"] == []


@pytest.mark.parametrize("error", [ZeroDivisionError("what nobody foresaw"), PacerClosed("gone")])
def test_what_nobody_foresaw_shows_where_it_arose(error: Exception, logged: Logged):
    shown = logged(error)["exception"]

    assert shown[0]["exc_type"] == type(error).__name__
    assert shown[0]["frames"]
    assert shown[1]["exc_type"] == "KeyError"


def test_who_asks_for_every_detail_gets_it(monkeypatch: pytest.MonkeyPatch, logged: Logged):
    structlog.get_config()["processors"].pop(0)
    monkeypatch.setenv("AIRFLOW__LOGGING__LOGGING_LEVEL", "DEBUG")
    ShortLogs().on_task_instance_running(None, None)

    assert logged(SourceError("no such bucket"))["exception"][0]["frames"]


def test_of_botocore_only_what_went_wrong_is_logged(output: io.BytesIO, logged: Logged):
    log = logging.getLogger("botocore.credentials")
    output.truncate(0)
    log.info("Found credentials in environment variables.")
    log.warning("Refreshing them failed")

    assert b"Found credentials" not in output.getvalue()
    assert b"Refreshing them failed" in output.getvalue()


def test_a_console_shows_the_same_line() -> None:
    airflow_log.reset_logging()
    output = io.StringIO()
    airflow_log.configure_logging(json_output=False, output=output, colored_console_log=False)
    ShortLogs().on_task_instance_running(None, None)
    try:
        raise SourceError("no such bucket")
    except SourceError:
        structlog.get_logger(logger_name="task").exception("Task failed with exception")
    finally:
        airflow_log.reset_logging()

    assert "SourceError: no such bucket" in output.getvalue()
    assert "Traceback" not in output.getvalue()
