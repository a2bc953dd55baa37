"""What published loads are called, and which backend and model answered: a load's row says none of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from moderation.console.index.looks import look_at
from moderation.plan import store
from moderation.plan.plan import PlanError
from moderation.settings import Settings
from moderation.storage import s3_objects

_AT_ONCE = 8
_ANSWERED = """
SELECT load_id, string_agg(DISTINCT backend, ' and ' ORDER BY backend),
    string_agg(DISTINCT model_version, ' and ' ORDER BY model_version)
FROM jobs WHERE load_id IN (SELECT unnest($1::VARCHAR[])) GROUP BY load_id
"""


class Described:
    """Names, backends and models of published loads, looked up once each: none of them changes."""

    def __init__(self, settings: Settings, s3: Any) -> None:
        self._settings = settings
        self._s3 = s3
        self._known: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def of(self, loads: Sequence[dict[str, Any]]) -> dict[str, dict[str, str]]:
        """By load id ``name`` (as was asked for), ``backend`` and ``model``; "" where nobody knows.

        :param loads: rows of `loads`.
        :raises moderation.tables.faults.TablesError: the tables cannot be read.
        :raises moderation.storage.s3_objects.S3Unavailable: S3 cannot be reached now.
        """
        with self._lock:
            missing = [load for load in loads if load["load_id"] not in self._known]
        if missing:
            answered = self._answered(missing)
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                names = list(pool.map(self._name, missing))
            made = {
                load["load_id"]: {"name": name} | answered.get(load["load_id"], {"backend": "", "model": ""})
                for load, name in zip(missing, names, strict=True)
            }
            with self._lock:
                self._known |= made
        return {load["load_id"]: self._known[load["load_id"]] for load in loads}

    def _answered(self, loads: Sequence[dict[str, Any]]) -> dict[str, dict[str, str]]:
        days = [load["dt"] for load in loads]
        with look_at(self._settings, since=min(days), until=max(days)) as connection:
            rows = connection.execute(_ANSWERED, [[load["load_id"] for load in loads]]).fetchall()
        return {load_id: {"backend": backend or "", "model": model or ""} for load_id, backend, model in rows}

    def _name(self, load: dict[str, Any]) -> str:
        """The plan alone knows it, and may be gone: plans are kept for some time only."""
        uri = store.plan_uri(self._settings, load["run_key"], load["plan_number"])
        try:
            plan = store.load_plan(uri, s3=self._s3)
        except (PlanError, s3_objects.S3Refused):
            return ""
        return plan.job_name if plan.load_id == load["load_id"] else ""
