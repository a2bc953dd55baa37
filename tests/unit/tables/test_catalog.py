"""A new catalog may be opened by several at once."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from moderation.settings import Settings
from moderation.tables.catalog import open_catalog

AT_ONCE = 4


def test_the_first_openers_of_a_catalog_all_succeed_and_leave_no_connection_open(tmp_path: Path) -> None:
    for attempt in range(5):
        settings = Settings.from_env(
            {
                "MODERATION_CATALOG_URI": f"sqlite:///{tmp_path}/{attempt}.db",
                "MODERATION_TABLES_URI": f"{tmp_path}/tables",
            }
        )
        together = threading.Barrier(AT_ONCE)

        def first_look(_: int, settings: Settings = settings, together: threading.Barrier = together) -> list:
            together.wait(timeout=30)
            with open_catalog(settings) as catalog:
                return catalog.list_namespaces()

        with ThreadPoolExecutor(AT_ONCE) as pool:
            assert list(pool.map(first_look, range(AT_ONCE))) == [[]] * AT_ONCE
    gc.collect()  # a connection that was left open says so here, on Python 3.13 and later
