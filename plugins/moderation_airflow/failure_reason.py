"""Why a task failed, handed to the last task of the run: a person is told once, with the cause."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

KEY = "failure"

log = logging.getLogger(__name__)


@contextmanager
def kept() -> Iterator[None]:
    """Keep the error that the block ends with; the next try of the task forgets it."""
    try:
        yield
    except AirflowSkipException:
        raise
    except Exception as error:
        try:
            get_current_context()["ti"].xcom_push(key=KEY, value=str(error) or type(error).__name__)
        except Exception:  # what matters is the error itself
            log.warning("why this task failed is in its log only", exc_info=True)
        raise


def of(ti: Any, task_ids: Collection[str]) -> str | None:
    """
    Give what :func:`kept` kept in the first of these tasks that failed; None when none kept anything.

    :param ti: the task instance that asks.
    """
    for task_id in task_ids:
        found = ti.xcom_pull(task_ids=task_id, key=KEY)
        if isinstance(found, str):
            return found
    return None
