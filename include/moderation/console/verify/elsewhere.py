"""Another answer about a content, for an item whose own is not there: its load is gone, or people disagree
about it in a log that was restored, which does not know what it was drawn from."""

from __future__ import annotations

import threading
from collections.abc import Collection

from moderation.console.index.history import History
from moderation.console.index.looks import look_at
from moderation.errors import WarehouseMissingError
from moderation.reference.content import SUBJECT_SQL
from moderation.settings import Settings

Place = tuple[str, str, int]
"""Load, manifest and line of an answer."""

_LATEST = f"""
SELECT {SUBJECT_SQL} AS content, load_id, manifest_id, line_number FROM images
WHERE status = 'moderated' AND {SUBJECT_SQL} IN (SELECT unnest($1::VARCHAR[]))
QUALIFY row_number() OVER (
    PARTITION BY content ORDER BY moderated_at DESC NULLS LAST, load_id DESC, manifest_id, line_number
) = 1
"""  # noqa: S608 - an expression of ours


class Elsewhere:
    """Looks through all that is published, once a content until something new is."""

    def __init__(self, settings: Settings, history: History) -> None:
        self._settings = settings
        self._history = history
        self._published: list[str] = []
        self._known: dict[str, Place | None] = {}
        self._lock = threading.Lock()

    def of(self, contents: Collection[str]) -> dict[str, Place]:
        """Where the latest answer about each content stands; no entry where there is none.

        :raises moderation.tables.faults.TablesError: the tables cannot be read.
        """
        published = [load["load_id"] for load in self._history.loads()]
        with self._lock:
            if self._published != published:
                self._published, self._known = published, {}
            asked = sorted(set(contents) - set(self._known))
            if asked:
                self._known |= dict.fromkeys(asked) | self._latest(asked)
            known = ((content, self._known[content]) for content in contents)
            return {content: place for content, place in known if place is not None}

    def _latest(self, contents: list[str]) -> dict[str, Place]:
        try:
            with look_at(self._settings) as published:
                rows = published.execute(_LATEST, [contents]).fetchall()
        except WarehouseMissingError:
            return {}
        return {content: (load_id, manifest_id, line) for content, load_id, manifest_id, line in rows}
