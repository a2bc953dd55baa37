"""A fake Rekognition for the tests of the plugin, and credentials that reach nothing else."""

from __future__ import annotations

from support import airflow_home

airflow_home.prepare()

from support.fake_rekognition import fake_rekognition  # noqa: E402, F401 - a fixture, after the home is set
