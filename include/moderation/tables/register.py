"""Which loads were published, apart from the catalog: one small object a load, so that its loss is noticed.

::

    {work_uri}/published/20261122T020000Z-4f1c0a9b77de   of a load that was committed
                         complete                        the loads from before there was a register, too

A catalog that is lost, emptied, set back or not the right one would take an archive for new, and the next
run would pay for all of it again. The names alone count, so a listing tells everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.state import seal

_COMPLETE = "complete"
_LOAD = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{12}")


def note(s3: Any, settings: Settings, load_id: str) -> None:
    """Remember that the load is published; may be repeated.

    :raises s3_objects.S3Error: it cannot be written.
    """
    s3_objects.put(s3, _uri(settings, load_id), seal({"load_id": load_id}))


def begin(s3: Any, settings: Settings, load_ids: Iterable[str]) -> None:
    """Start the register with what was published before there was one; may be repeated."""
    for load_id in load_ids:
        note(s3, settings, load_id)
    s3_objects.put(s3, _uri(settings, _COMPLETE), seal({}))


def load_ids(s3: Any, settings: Settings) -> set[str] | None:
    """Ids of all loads that were published from this work place; None when the register does not know all.

    :raises s3_objects.S3Error: it cannot be listed.
    """
    names = {entry["Key"].rpartition("/")[2] for entry in s3_objects.list_objects(s3, _uri(settings, ""))}
    if _COMPLETE not in names:
        return None
    return {name for name in names if _LOAD.fullmatch(name)}


def _uri(settings: Settings, name: str) -> str:
    return s3_objects.join_uri(settings.work_uri, "published", name)
