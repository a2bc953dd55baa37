from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from moderation.maintenance import compaction
from moderation.maintenance.compaction import CompactedTable

DAG_FILE = Path(__file__).parents[2] / "dags" / "compact_tables.py"


def load_dag() -> Any:
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 - airflow is slow to import

    bag = DagBag(str(DAG_FILE))
    assert not bag.import_errors
    return bag.dags["compact_tables"]


def test_the_tables_are_compacted_weekly_one_run_at_a_time():
    dag = load_dag()
    assert dag.schedule == "0 6 * * 0"
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert dag.task_ids == ["compact"]


def test_the_form_s_values_reach_the_compaction(monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, Any] = {}

    def compact(settings: Any, **options: Any) -> list[CompactedTable]:
        asked.update(options)
        return [CompactedTable(table="images", merged=4, written=1)]

    monkeypatch.setattr(compaction, "compact", compact)
    task = load_dag().get_task("compact")
    done = task.python_callable(params={"target_mb": 512, "keep_days": 2.0})
    assert asked == {"target_bytes": 512 << 20, "keep": timedelta(days=2)}
    assert done[0]["merged"] == 4
