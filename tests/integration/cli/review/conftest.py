"""Settings of tables on the local disk."""

from __future__ import annotations

from support.table_fixtures import local_settings  # noqa: F401 - a fixture
