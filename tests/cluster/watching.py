"""What Airflow's database says of a run, asked without Airflow, which may be dead."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import psycopg

_POLL_SECONDS = 0.5
_DONE = ("success", "failed", "upstream_failed", "skipped", "removed")


@dataclass(frozen=True)
class Instance:
    """A task of a run, mapped or not."""

    task: str
    index: int
    state: str
    attempt: int
    host: str

    @property
    def key(self) -> tuple[str, int]:
        return self.task, self.index


class Watch:
    """Looks at Airflow's database.

    :param uri: of that database.
    :param patience: seconds without any change of the run after which waiting is given up.
    """

    def __init__(self, uri: str, *, patience: float) -> None:
        self._uri, self._patience = uri, patience

    def instances(self, run_id: str) -> list[Instance]:
        """The tasks of a run as they are now."""
        rows = self._ask(
            "SELECT task_id, map_index, coalesce(state, 'none'), try_number, coalesce(hostname, '') "
            "FROM task_instance WHERE run_id = %s",
            run_id,
        )
        return [Instance(*row) for row in rows]

    def run(self, run_id: str) -> tuple[str, float]:
        """State of a run, and the seconds since it began or that it took."""
        rows = self._ask(
            "SELECT state, extract(epoch FROM coalesce(end_date, now()) - start_date)::float8 "
            "FROM dag_run WHERE run_id = %s",
            run_id,
        )
        return rows[0] if rows else ("none", 0.0)

    def finished(self, run_id: str) -> int:
        """How many mapped tasks have succeeded."""
        return sum(one.state == "success" and one.index >= 0 for one in self.instances(run_id))

    def until(self, check: Callable[[], Any], *run_ids: str, what: str) -> Any:
        """Wait as long as something about these runs changes now and then.

        :raises AssertionError: it has not come about, and nothing has changed for long.
        """
        seen, changed = self._picture(run_ids), time.monotonic()
        while not (answer := check()):
            if (now := self._picture(run_ids)) != seen:
                seen, changed = now, time.monotonic()
            assert time.monotonic() - changed < self._patience, f"{what} did not come about: {seen}"
            time.sleep(_POLL_SECONDS)
        return answer

    def end(self, *run_ids: str) -> dict[str, str]:
        """Wait for the end of runs; returns their states."""
        self.until(
            lambda: all(self.run(run_id)[0] in {"success", "failed"} for run_id in run_ids),
            *run_ids,
            what=f"the end of {', '.join(run_ids)}",
        )
        return {run_id: self.run(run_id)[0] for run_id in run_ids}

    def is_over(self, run_id: str, keys: Collection[tuple[str, int]]) -> bool:
        """Whether all of these tasks have ended."""
        return all(one.state in _DONE for one in self.instances(run_id) if one.key in keys)

    def summary(self, run_id: str) -> str:
        """Tasks by state."""
        counted = Counter(f"{one.task} {one.state}" for one in self.instances(run_id))
        return ", ".join(f"{name} {count}" for name, count in sorted(counted.items()))

    def _picture(self, run_ids: tuple[str, ...]) -> list[Any]:
        found = [
            (run_id, one.task, one.state, one.attempt) for run_id in run_ids for one in self.instances(run_id)
        ]
        return sorted(Counter(found).items())

    def _ask(self, sql: str, *parameters: str) -> list[Any]:
        with psycopg.connect(self._uri) as connection:
            return connection.execute(sql.encode(), parameters).fetchall()
