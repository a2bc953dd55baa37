"""Airflow's home for these tests, before airflow is imported."""

from __future__ import annotations

from support import airflow_home

airflow_home.prepare()
