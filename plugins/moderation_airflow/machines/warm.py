"""Airflow's scheduler, or a Celery worker, with the pipeline imported beforehand.

LocalExecutor forks a process for each task, and so do Celery's workers. What their parent has imported the
fork does not import again: on two cores that is some seconds for each task of a run. The scheduler also
waits for the API server, which starts beside it: a task that is due at once would find no API, use up its
tries to reach it, and fail.
"""

from __future__ import annotations

import sys
import time

import httpx
from airflow.__main__ import main
from airflow.configuration import conf

import moderation.stages
import rekognition.operators

PRELOADED = (rekognition.operators, moderation.stages)
API_TIMEOUT_SECONDS = 120.0


def wait_for_api(base_url: str, *, timeout: float = API_TIMEOUT_SECONDS) -> bool:
    """Wait until the API server answers; false when it did not within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not _answers(f"{base_url}/api/v2/version"):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _answers(url: str) -> bool:
    try:
        return bool(httpx.get(url, timeout=2).status_code == httpx.codes.OK)
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    if "scheduler" in sys.argv:
        wait_for_api(conf.get_mandatory_value("api", "base_url"))
    sys.argv[0] = "airflow"
    main()
