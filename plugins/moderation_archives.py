"""Tells Airflow how tasks of an archive's runs rank among the others."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from moderation_airflow.archives.runs import ArchivesLast


class ModerationArchivesPlugin(AirflowPlugin):
    """Without it, Airflow's processes do not read the Dag *Moderate images*."""

    name = "moderation_archives"
    priority_weight_strategies = [ArchivesLast]  # noqa: RUF012 - as Airflow declares it
