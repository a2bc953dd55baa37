"""The adapter in use: which ARN a run gets when it is planned, and whether it still is what was promoted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from moderation.adapters import registry
from moderation.adapters.status import AdapterUnusableError, check_adapter, describe
from moderation.plan.plan import Plan
from moderation.settings import Settings

_log = logging.getLogger(__name__)

NAME = "champion"
"""What a run's parameter ``adapter`` says in place of an ARN."""


@dataclass(frozen=True)
class Chosen:
    """What a run is planned with.

    :param adapter: None for the base model.
    :param older_share: see :class:`moderation.plan.ledger.Question`.
    :param base_model_version: of the base model behind the adapter; "" where nobody could tell.
    """

    adapter: str | None
    older_share: float | None
    base_model_version: str = ""


def resolve(
    settings: Settings,
    adapter: str | None,
    *,
    now: datetime,
    begun: Plan | None = None,
    rekognition: Callable[[], Any] | None = None,
) -> Chosen:
    """The ARN that a run gets; one that is given as such is taken as it is, and older answers do not count.

    :param begun: the run's plan that waits to be published. What it has begun to pay for is its own: a
        promotion meanwhile concerns the next run.
    :param rekognition: opens a boto3 client, to ask for the base model behind the adapter; None not to ask.
    :raises moderation.adapters.registry.RegistryError: the registry is damaged.
    """
    chosen = Chosen(adapter or None, None)
    if adapter == NAME:
        found = registry.load(settings)
        _log.info("the champion is %s", found.champion or "the base model")
        chosen = Chosen(begun.adapter if begun else found.champion, found.older_share(now))
    if chosen.adapter and rekognition is not None:
        return replace(chosen, base_model_version=_base_model_version(rekognition(), chosen.adapter))
    return chosen


def _base_model_version(rekognition: Any, arn: str) -> str:
    """ "" of an adapter that cannot be looked up: :func:`check` says why, before the run pays."""
    try:
        found = describe(rekognition, arn)
    except AdapterUnusableError as error:
        _log.warning("which base model is behind the adapter is not known: %s", error)
        found = None
    return str((found or {}).get("BaseModelVersion") or "")


def check(settings: Settings, rekognition: Any, arn: str) -> str:
    """Look, before a run pays, whether the adapter answers and is the one that was compared.

    :param rekognition: a boto3 client.
    :returns: its status.
    :raises AdapterUnusableError: it is missing, expired, deleted, not trained, or of another base model.
    """
    status = check_adapter(rekognition, arn)
    known = registry.load(settings).versions.get(arn)
    found = describe(rekognition, arn) if known and known.base_model_version else None
    now = (found or {}).get("BaseModelVersion")
    if known and now and now != known.base_model_version:
        raise AdapterUnusableError(
            f"the base model of the adapter {arn} is {now}, and it was {known.base_model_version} when the "
            "two were compared: AWS has updated it. Compare it again (`moderation adapter evaluate`), "
            "promote another one, or roll back (`moderation adapter rollback`)"
        )
    return status
