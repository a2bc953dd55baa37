"""The queue of what the champion answers: made at its promotion, filled by every publish of its answers.

Each load is a draw of its own, over strata that are seldom and frequent with the labels it was trained for;
each item keeps the probability with which it was drawn, so that what people decide tells of all its answers.
"""

from __future__ import annotations

import hashlib
import logging

from moderation.adapters import registry
from moderation.adapters.registry import Version
from moderation.errors import ModerationError
from moderation.review import mark
from moderation.review.queue import Kind, Queue, QueueSpec
from moderation.review.queues import Queues
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings

_log = logging.getLogger(__name__)


def queue_id(arn: str) -> str:
    """Id of the queue of an adapter's answers."""
    return f"{Kind.ADAPTER}-{hashlib.sha256(arn.encode()).hexdigest()[:12]}-standing"


def make(queues: Queues, version: Version, rule: AdapterSettings) -> Queue | None:
    """The queue of a version's answers, made where there is none; None where the settings want none.

    :raises StateError: it is not stored.
    """
    if not rule.sample_images:
        return None
    spec = QueueSpec(
        kind=Kind.ADAPTER,
        name=f"What {version.arn.split('/')[3]} answers ({', '.join(version.labels)})",
        filter={"adapter": version.arn, "labels": list(version.labels)},
        size=rule.sample_images,
        standing=True,
    )
    return queues.create(spec, queue_id(version.arn))


def make_for_champion(settings: Settings, queues: Queues) -> Queue | None:
    """The queue of the adapter in use, also where its promotion could not make it.

    :raises moderation.adapters.registry.RegistryError: the registry is damaged.
    """
    found = registry.load(settings)
    if found.champion is None:
        return None
    return make(queues, found.known(found.champion), AdapterSettings.from_env())


def after_promotion(settings: Settings, queues: Queues | None = None) -> str:
    """Make the champion's queue, in words; a state that cannot be written leaves it to the next publish.

    :param queues: of a state that is open; None opens that of the settings.
    """
    try:
        if queues is not None:
            made = make_for_champion(settings, queues)
        else:
            with mark.opened(settings) as state:
                made = make_for_champion(settings, state.queues)
    except ModerationError as error:
        _log.warning("the next publish makes the queue of what the champion answers: %s", error)
        return f"its queue of images to verify is made by the next publish ({error})"
    if made is None:
        return "none of its answers is drawn to be verified (MODERATION_ADAPTER_SAMPLE)"
    return f"of each publish {made.spec.size} of its answers are drawn to be verified: queue {made.queue_id}"
