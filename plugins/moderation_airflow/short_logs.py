"""What a task's log leaves out: where a foreseen error arose, and where botocore found its keys.

An error that says what to do is one line. Without this Airflow logs every frame it passed, most of them its
own, and botocore tells of each client, which are many, what it read where.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import Any

import structlog
from airflow.configuration import conf
from airflow.listeners import hookimpl
from structlog.processors import ExceptionRenderer

from moderation.errors import DefectError
from moderation.reference.library_errors import named
from rekognition.exceptions import Passing, Permanent, RekognitionError


class ShortLogs:
    """The listener that tells the logging of each task's process before the task begins."""

    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        """Set it up; where the log level is DEBUG all is logged."""
        if conf.get("logging", "logging_level").upper() == "DEBUG":
            return
        # Airflow's own setting of levels by name does not reach loggers of the standard library.
        for name in ("botocore", "aiobotocore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        processors = structlog.get_config()["processors"]
        if not any(isinstance(processor, WithoutFrames) for processor in processors):
            renders = any(isinstance(processor, ExceptionRenderer) for processor in processors)
            # Loggers made before hold this very list.
            processors.insert(0, WithoutFrames(as_data=renders))


@dataclass(frozen=True)
class WithoutFrames:
    """Replaces an exception of which a person can tell what to do by its type and text.

    :param as_data: in the form in which Airflow keeps an exception, and its page shows one; else as text, as
        consoles print it.
    """

    as_data: bool

    def __call__(self, _logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        """A processor of structlog."""
        given = event.get("exc_info")
        error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
        if error is not None and (text := _remedy(error)):
            event.pop("exc_info")
            name = type(error).__name__
            told = (
                [{"exc_type": name, "exc_value": text, "frames": []}] if self.as_data else f"{name}: {text}"
            )
            event["exception"] = told
        return event


def _remedy(error: BaseException) -> str | None:
    if isinstance(error, Permanent | Passing | RekognitionError):
        return str(error)
    known = named(error)
    return str(known) if known is not None and not isinstance(known, DefectError) else None
