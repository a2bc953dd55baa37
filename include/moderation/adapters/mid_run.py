"""Whether an adapter still answers, looked at again before each manifest of a run is paid for.

A run is planned in a moment and paid for over hours: an adapter can expire in between, and Rekognition then
answers with the base model, at a price and without a word.
"""

from __future__ import annotations

import logging
from typing import Any

from moderation.adapters import champion
from moderation.adapters.status import AdapterUnusableError, describe
from moderation.analyse import bulk
from moderation.plan.store import load_plan
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings

_log = logging.getLogger(__name__)

EXPIRED = "EXPIRED"


def why_not(
    plan_uri: str,
    manifest_uri: str,
    *,
    rekognition: Any,
    list_jobs: bulk.ListJobs | None = None,
    settings: Settings | None = None,
) -> str | None:
    """Why a manifest is not to be asked about now; None when it is.

    An expired adapter stops nothing where ``MODERATION_ADAPTER_WHEN_EXPIRED`` lets the base model answer, and
    nothing that is paid for already is left lying: a job that was started is found again.

    :param rekognition: a boto3 client.
    :param list_jobs: of the bulk jobs; None for single calls.
    """
    settings = settings or Settings.from_env()
    plan = load_plan(plan_uri, settings=settings)
    if not plan.adapter:
        return None
    try:
        champion.check(settings, rekognition, plan.adapter)
    except AdapterUnusableError as error:
        if AdapterSettings.from_env().when_expired == "base" and _is_expired(rekognition, plan.adapter):
            _log.warning("the base model answers in place of the adapter %s: it has EXPIRED", plan.adapter)
            return None
        if list_jobs is not None and bulk.is_started(manifest_uri, list_jobs(bulk.started_since(plan))):
            return None
        return f"{error}. What is answered is published; the rest waits for the next run"
    return None


def _is_expired(rekognition: Any, arn: str) -> bool:
    return (describe(rekognition, arn) or {}).get("Status") == EXPIRED
