"""The adapters that an analysis can be started with."""

from __future__ import annotations

from moderation.adapters import champion, registry
from moderation.settings import Settings


def choices(settings: Settings) -> list[dict[str, str]]:
    """The champion, then the adapters that were compared and are not retired: ``value`` and ``told``.

    :raises moderation.adapters.registry.RegistryError: the registry is damaged.
    """
    found = registry.load(settings)
    chosen = found.versions.get(found.champion or "")
    told = f"{', '.join(chosen.labels)}: {short(chosen.arn)}" if chosen else "now the base model"
    usable = [one for one in found.versions.values() if one.evaluation and one.arn not in found.retired]
    return [
        {"value": champion.NAME, "told": f"The one in use ({told})"},
        *({"value": one.arn, "told": f"{', '.join(one.labels)}: {short(one.arn)}"} for one in usable),
    ]


def short(arn: str) -> str:
    """A version's own name, and that of its project."""
    parts = arn.split("/")
    return f"{parts[1]} {parts[3]}" if len(parts) > 3 else arn
