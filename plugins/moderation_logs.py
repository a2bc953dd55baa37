"""Keeps the logs of tasks readable."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from moderation_airflow.short_logs import ShortLogs


class ModerationLogsPlugin(AirflowPlugin):
    """An error whose text says what to do is logged as that text alone, in all Dags; botocore is quiet."""

    name = "moderation_logs"
    listeners = [ShortLogs()]  # noqa: RUF012 - as Airflow declares it
