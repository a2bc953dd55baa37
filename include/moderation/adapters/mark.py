"""That there is a registry, and whose, kept apart from it: so that its loss is noticed, and a stranger's.

::

    {work_uri}/adapters/registered.json    sealed: a name made once, which the registry bears too

A registry that is gone would look like one in which nobody ever promoted anything: runs would go back to the
base model without a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.state import SealBroken, seal, unseal


@dataclass(frozen=True)
class Mark:
    """What is known of the registry from outside.

    :param install: the name; None where it cannot be read.
    """

    install: str | None


def find(s3: Any, settings: Settings) -> Mark | None:
    """None where there never was a registry, or one of a release that made no mark."""
    found = s3_objects.find(s3, uri(settings))
    if found is None:
        return None
    try:
        return Mark(str(unseal(found.body)["install"]))
    except (SealBroken, KeyError):
        return Mark(None)  # that it is there says enough; the next change of the registry mends it


def ensure(s3: Any, settings: Settings, install: str) -> None:
    """Make the mark, or mend it, once the registry is there.

    :param install: what the registry says.
    :raises S3Error: it cannot be written.
    """
    there = find(s3, settings)
    body = seal({"install": install})
    if there is None:
        s3_objects.put_if_absent(s3, uri(settings), body)
    elif there.install is None:
        s3_objects.put(s3, uri(settings), body)


def uri(settings: Settings) -> str:
    """Where it is."""
    return s3_objects.join_uri(settings.work_uri, "adapters", "registered.json")
