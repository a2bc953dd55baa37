"""What was published, and what was ever answered about one image."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from moderation.console.index.looks import look_at
from moderation.errors import TransientError, WarehouseMissingError
from moderation.policy.thresholds import Thresholds
from moderation.schema import MODERATED
from moderation.settings import Settings
from moderation.tables.published import read_loads

_FRESH_SECONDS = 2.0
_MOST_ANSWERS = 50
_AT_ONCE = 3
"""Loads whose flagged images are counted together by labels' own thresholds: each distinct one is in memory
meanwhile."""


class History:
    """All loads, newest first, looked up at most every two seconds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loads: list[dict[str, Any]] = []
        self._read_at: float | None = None
        self._flagged: dict[str, int] = {}
        self._flagged_by: Thresholds | None = None
        self._lock = threading.Lock()

    def loads(self) -> list[dict[str, Any]]:
        """Rows of `loads`, the newest first.

        :raises moderation.tables.faults.TablesError: the tables cannot be read.
        """
        with self._lock:
            if self._read_at is None or time.monotonic() - self._read_at > _FRESH_SECONDS:
                self._loads = read_loads(self._settings).to_pylist()[::-1]
                self._read_at = time.monotonic()
            return self._loads

    def flagged(self, load_ids: Sequence[str], thresholds: Thresholds) -> dict[str, int]:
        """Images of each of these loads with a label at its threshold in use; unknown loads are left out."""
        known = {load["load_id"]: load for load in self.loads()}
        wanted = [known[load_id] for load_id in load_ids if load_id in known]
        with self._lock:
            if self._flagged_by != thresholds:
                self._flagged, self._flagged_by = {}, thresholds
            found = dict(self._flagged)
        missing = [load for load in wanted if load["load_id"] not in found]
        at_once = _AT_ONCE if thresholds.labels else max(len(missing), 1)
        for first in range(0, len(missing), at_once):
            made = self._count_flagged(missing[first : first + at_once], thresholds)
            found |= made
            with self._lock:
                if self._flagged_by == thresholds:  # Others may count by changed ones meanwhile.
                    self._flagged |= made
        return {load["load_id"]: found.get(load["load_id"], 0) for load in wanted}

    def _count_flagged(self, loads: list[dict[str, Any]], thresholds: Thresholds) -> dict[str, int]:
        days = [load["dt"] for load in loads]
        asked = {load["load_id"]: float(load["min_confidence"] or 0.0) for load in loads}
        with look_at(self._settings, since=min(days), until=max(days)) as connection:
            if not thresholds.labels:
                least = [thresholds.of("", asked=percent) for percent in asked.values()]
                rows = connection.execute(_BY_ONE_THRESHOLD, [MODERATED, [*asked], least]).fetchall()
            else:
                pairs = connection.execute(_NAMES, [[*asked]]).fetchall()
                least = [thresholds.of(name, asked=asked[load_id]) for load_id, name in pairs]
                rows = connection.execute(
                    _BY_LABEL, [[load_id for load_id, _ in pairs], [name for _, name in pairs], least]
                ).fetchall()
        return dict.fromkeys(asked, 0) | dict(rows)

    def known_loads(self) -> tuple[list[dict[str, Any]], str]:
        """Rows of `loads`, newest first, and ""; while they cannot be read those known last, and why."""
        try:
            return self.loads(), ""
        except TransientError as error:
            return self._loads, str(error)

    def answers(self, source_ref: str) -> list[dict[str, Any]]:
        """Every row of `images` about one image, the newest first."""
        try:
            with look_at(self._settings) as connection:
                rows = connection.execute(_ANSWERS, [source_ref])
                names = [column[0] for column in rows.description or ()]
                return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
        except WarehouseMissingError:
            return []


# The most certain label decides, and that stands in the row.
_BY_ONE_THRESHOLD = """
WITH limits AS (SELECT unnest($2::VARCHAR[]) AS load_id, unnest($3::DOUBLE[]) AS least)
SELECT load_id, count(*) FROM images JOIN limits USING (load_id)
WHERE status = $1 AND max_confidence >= least GROUP BY load_id
"""
_NAMES = "SELECT DISTINCT load_id, name FROM labels WHERE load_id IN (SELECT unnest($1::VARCHAR[]))"
_BY_LABEL = """
WITH limits AS (
    SELECT unnest($1::VARCHAR[]) AS load_id, unnest($2::VARCHAR[]) AS name, unnest($3::DOUBLE[]) AS least
)
SELECT load_id, count(DISTINCT (manifest_id, line_number)) FROM labels JOIN limits USING (load_id, name)
WHERE confidence >= least GROUP BY load_id
"""
_ANSWERS = f"""
SELECT images.load_id, images.dt, status, error_code, images.model_version, adapter, min_confidence, etag,
    backend, moderated_at, label_count, top_l1, max_confidence
FROM images WHERE source_ref = ? ORDER BY dt DESC, load_id DESC LIMIT {_MOST_ANSWERS}
"""  # noqa: S608 - a number of ours
