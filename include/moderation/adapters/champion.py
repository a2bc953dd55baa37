"""The adapter in use: which ARN a run gets when it is planned, and whether it still is what was promoted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from moderation.adapters import registry
from moderation.adapters.sets import since, store
from moderation.adapters.sets.since import Since
from moderation.adapters.status import AdapterUnusableError, check_adapter, describe
from moderation.plan.plan import Plan
from moderation.review.log import VerdictLog
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
            "two were compared: AWS has updated it. Compare it again "
            f"(`{settings.command} adapter evaluate {arn}`), promote another one, or roll back "
            f"(`{settings.command} adapter rollback`)"
        )
    return status


def check_to_promote(settings: Settings, rekognition: Any, arn: str, log: VerdictLog) -> None:
    """As :func:`check`, and that what was compared is what people say of the test images now.

    :param log: what people say.
    :raises moderation.adapters.registry.PromotionError: they changed their minds after the comparison.
    """
    check(settings, rekognition, arn)
    known = registry.load(settings).versions.get(arn)
    if known is not None and is_outdated(known, changed_since(settings, known, log)):
        raise registry.PromotionError(
            f"people said otherwise about images that {arn} was tested on, after it was compared with the "
            "base model. Compare it again, which costs nothing: "
            f"`{settings.command} adapter evaluate {arn}`"
        )


def is_outdated(version: registry.Version, changed: Since | None) -> bool:
    """Whether what people say of the test images is not what the version was compared by."""
    if version.evaluation is None or changed is None:
        return False
    return changed.digest != (version.evaluation.get("since") or {}).get("digest", "")


def changed_since(settings: Settings, version: registry.Version, log: VerdictLog) -> Since | None:
    """What people say otherwise than when a version's set was made; None where the set is not to be read."""
    try:
        stored = store.load(settings, version.set_uri)
    except store.TrainingSetError as error:
        _log.warning("whether verdicts changed since %s was trained is not known: %s", version.arn, error)
        return None
    return since.look(log, stored)
