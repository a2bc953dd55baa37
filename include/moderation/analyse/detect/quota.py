"""The DetectModerationLabels quota of an account: what is set, what Service Quotas says, or the default.

Service Quotas knows what AWS has raised for the account. It is asked once an hour for all tasks together: the
answer is remembered in S3, so that all of them share out the same number.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from moderation.reference import limits
from moderation.settings import Settings
from moderation.storage import s3_objects

_log = logging.getLogger(__name__)

SERVICE = "rekognition"
OPERATION = "DetectModerationLabels"
REMEMBERED_FOR = timedelta(hours=1)
CLIENT_CONFIG = {
    "retries": {"total_max_attempts": 2, "mode": "standard"},
    "connect_timeout": 5,
    "read_timeout": 10,
}
"""For the botocore Config: a look-up is not worth a long wait."""

_NAME = re.compile(rf"\b{OPERATION}\b", re.IGNORECASE)
_SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600}


def detect_tps(settings: Settings, *, s3: Any = None, open_client: Callable[[], Any] | None = None) -> float:
    """Calls a second of account and region: ``MODERATION_DETECT_TPS``, Service Quotas, or ``quotas.json``.

    :param s3: a boto3 S3 client, to remember the answer with.
    :param open_client: makes a boto3 client for ``service-quotas``; None to ask nobody.
    """
    if settings.detect_tps:
        return settings.detect_tps
    default = limits.quotas(settings.region).detect_tps
    if open_client is None or s3 is None:
        return default
    known, remembered = _recall(s3, settings)
    if not known:
        remembered = _ask(open_client, settings.region, default)
        s3_objects.put(s3, _uri(settings), orjson.dumps({"calls_per_second": remembered}))
    return remembered or default


def look_up(client: Any) -> float | None:
    """Ask Service Quotas; None when it does not list the operation.

    The quota is found by its name, which holds the operation's: AWS publishes no list of quota codes. Applied
    values come first, for those are the account's own; not every quota has one.

    :param client: a boto3 client for ``service-quotas``.
    :raises ClientError: it is refused.
    """
    for listing in ("list_service_quotas", "list_aws_default_service_quotas"):
        for quota in _quotas(client, listing):
            if _NAME.search(str(quota.get("QuotaName", ""))):
                period = quota.get("Period") or {}
                seconds = period.get("PeriodValue", 1) * _SECONDS.get(period.get("PeriodUnit", "SECOND"), 0)
                if seconds and quota.get("Value", 0) > 0:
                    return float(quota["Value"]) / seconds
    return None


def _quotas(client: Any, listing: str) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator(listing).paginate(ServiceCode=SERVICE):
        yield from page.get("Quotas", [])


def _ask(open_client: Callable[[], Any], region: str, default: float) -> float | None:
    try:
        client = open_client()
        try:
            found = look_up(client)
        finally:
            client.close()
    except (ClientError, BotoCoreError) as error:
        _log.warning(
            "Service Quotas did not tell the %s quota in %s (%s); AWS's default of %g calls a second is "
            "used. Grant servicequotas:ListServiceQuotas and servicequotas:ListAWSDefaultServiceQuotas, "
            "or set MODERATION_DETECT_TPS",
            OPERATION,
            region,
            error,
            default,
        )
        return None
    if found is None:
        _log.warning("Service Quotas lists no %s; AWS's default of %g a second is used", OPERATION, default)
    return found


def _recall(s3: Any, settings: Settings) -> tuple[bool, float | None]:
    """Whether something is remembered, and what; None for that nothing was found out."""
    stored = s3_objects.find(s3, _uri(settings))
    if stored is None or stored.age_seconds > REMEMBERED_FOR.total_seconds():
        return False, None
    try:
        value = orjson.loads(stored.body)["calls_per_second"]
    except (ValueError, TypeError, KeyError):
        return False, None  # asking again costs nothing
    if value is None:
        return True, None
    good = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return good, float(value) if good else None


def _uri(settings: Settings) -> str:
    return s3_objects.join_uri(settings.work_uri, "account", "detect-quota", f"{settings.region}.json")
