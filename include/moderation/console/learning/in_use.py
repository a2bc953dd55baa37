"""How an adapter does in production, from the numbers that the console keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moderation.adapters.after import production as production_of
from moderation.adapters.after import sample
from moderation.adapters.after.production import Production
from moderation.adapters.registry import Registry, Version
from moderation.adapters.shadow import comparison
from moderation.console.shared import Shared
from moderation.errors import WarehouseMissingError
from moderation.review.queue import QueueError
from moderation.review.statistics.draws import drawn
from moderation.variables.adapters import AdapterSettings


def production(shared: Shared, found: Registry, version: Version) -> Production | None:
    """A version beside what it replaced; None for one that never was in use."""
    if found.promotion_of(version.arn) is None:
        return None
    try:
        told = shared.figures.of(None, shared.thresholds(), drawn(shared.review))
    except WarehouseMissingError:
        return None
    return production_of.compare(found, version, told, AdapterSettings.from_env())


def queue_address(shared: Shared, version: Version, link: Callable[..., str]) -> str | None:
    """Where the sample of its answers is worked at; None where there is none, or nothing in it."""
    queue_id = sample.queue_id(version.arn)
    try:
        shared.review.queues.get(queue_id)
    except QueueError:
        return None
    progress = shared.review.queues.progress(queue_id)
    return link("work", queue_id=queue_id) + "?mode=focus" if progress.done < progress.total else None


def shadows(shared: Shared, version: Version, link: Callable[..., str]) -> list[dict[str, Any]]:
    """Where it was asked beside the one in use: ``told``, and ``address`` of the images told apart."""
    found = []
    for told in comparison.of_challenger(shared.settings, version.arn):
        queue_id = comparison.queue_id(told.shadow_id)
        progress = shared.review.queues.progress(queue_id)
        address = link("work", queue_id=queue_id) + "?mode=focus" if progress.done < progress.total else None
        found.append({"told": told, "address": address})
    return found
