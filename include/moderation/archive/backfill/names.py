"""What the runs are called that work off chunks."""

from __future__ import annotations

DAG_ID = "moderate_images"
RUN_PREFIX = "archive__"
"""Begins their ids."""
