"""How far a source that tells of changes was read, and published: its next run reads on from there.

One sealed object a source and question below ``{work_uri}/positions/``. Without it, or with one that is
damaged, the source is read whole, which costs time and no money.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from typing import Any

from moderation.errors import NeedsAPersonError
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.state import parse_state, seal

log = logging.getLogger(__name__)

_TRIES = 5


class PositionDamagedError(NeedsAPersonError):
    """A position is not as it was written. Nobody sees it: the source is read whole."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """A snapshot of an Iceberg table.

    :param table: the table's UUID: one that was made anew begins anew.
    :param sequence: of the snapshot; later ones have higher numbers.
    """

    table: str
    snapshot: int
    sequence: int


def uri_of(
    settings: Settings, source: str, *, model_version: str, adapter: str | None, min_confidence: float
) -> str:
    """Where the position is. Who asks another question begins anew.

    :param source: as a person names it, with its filter.
    """
    asked = json.dumps([source, model_version, adapter, float(min_confidence)])
    name = hashlib.sha256(asked.encode()).hexdigest()[:24]
    return s3_objects.join_uri(settings.work_uri, "positions", f"{name}.json")


def read(s3: Any, uri: str) -> Position | None:
    """The position; None when there is none, or none that can be read."""
    return _read(s3, uri)[0]


def advance(s3: Any, uri: str, position: Position) -> None:
    """Go forward to a position; one that others have passed meanwhile stays.

    :raises S3Error: it cannot be written; the source is seen once more from where it was.
    """
    for _ in range(_TRIES):
        found, etag = _read(s3, uri)
        if found and found.table == position.table and found.sequence >= position.sequence:
            return
        body = seal(asdict(position))
        if etag is None:
            if s3_objects.put_if_absent(s3, uri, body) is not None:
                return
        elif s3_objects.put_if_match(s3, uri, body, etag=etag) is not None:
            return


def _read(s3: Any, uri: str) -> tuple[Position | None, str | None]:
    stored = s3_objects.find(s3, uri)
    if stored is None:
        return None, None
    remedy = "the source is read whole, and the position written anew"
    try:
        parsed = parse_state(stored.body, uri, parse=_parse, error=PositionDamagedError, remedy=remedy)
    except PositionDamagedError as error:
        log.warning("%s", error)
        return None, stored.etag
    return parsed, stored.etag


def _parse(content: dict[str, Any]) -> Position:
    return Position(
        table=str(content["table"]), snapshot=int(content["snapshot"]), sequence=int(content["sequence"])
    )
