"""Why a run failed, in words a person can act on, from the task logs on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from local_aws.stack.airflow_api import AirflowApi
from local_aws.stack.layout import Layout


def explain(layout: Layout, api: AirflowApi, dag_id: str, run_id: str) -> str:
    """Return one paragraph a failed task: its name, the last error of its log, and where the log is."""
    failed = [task for task, states in api.task_states(dag_id, run_id).items() if "failed" in states]
    if not failed:
        return f"The run {run_id} failed before any task did; see {layout.logs / 'scheduler.log'}"
    folder = layout.airflow_home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
    return "\n".join(_explain_task(folder, task) for task in failed)


def _explain_task(folder: Path, task_id: str) -> str:
    logs = sorted(folder.glob(f"task_id={task_id}/**/attempt=*.log"), key=lambda path: path.stat().st_mtime)
    for log in reversed(logs):
        error = last_error(log)
        if error:
            return f"Task {task_id} failed: {error}\n  log: {log}"
    return f"Task {task_id} failed; logs are under {folder}"


def last_error(log: Path) -> str:
    """Return the last error of a JSON lines task log, an exception as ``Type: text``; "" without one."""
    found = ""
    for line in log.read_text(errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("level") in {"error", "critical"}:
            found = _exception_text(event) or str(event.get("event", ""))
    return found


def _exception_text(event: dict[str, Any]) -> str:
    details = event.get("error_detail") or event.get("exception") or []
    if isinstance(details, list) and details and isinstance(details[0], dict):
        return f"{details[0].get('exc_type', 'Error')}: {details[0].get('exc_value', '')}"
    return ""
