"""Tells Airflow of the kind of deadline that the nightly run has."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from moderation_airflow.deadline import RunQueued


class ModerationDeadlinesPlugin(AirflowPlugin):
    """Without it, Airflow's processes do not read the deadline of the Dag *Moderate images*."""

    name = "moderation_deadlines"
    deadline_references = [RunQueued]  # noqa: RUF012 - as Airflow declares it
