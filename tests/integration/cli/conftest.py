"""Settings and helpers for what comes before the analysis."""

from __future__ import annotations

from support.input_fixtures import put, scan, settings  # noqa: F401 - fixtures
