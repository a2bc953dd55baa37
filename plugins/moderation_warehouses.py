"""The former name of :mod:`moderation_airflow.warehouse_tasks`; it goes with the next release."""

from __future__ import annotations

from moderation_airflow.connections import connection_uri
from moderation_airflow.warehouse_tasks import RedshiftTarget, athena_setup, redshift_load

__all__ = ["RedshiftTarget", "athena_setup", "connection_uri", "redshift_load"]
