"""A real Chromium: the system's, or Playwright's own."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_SECONDS = 240
"""What never comes fails a test; on a machine that has other work, what comes may take its time."""
HOW = "install Chromium (apt install chromium), or: .venv/bin/playwright install chromium"


@cache
def executable() -> str | None:
    """Path of a Chromium; "" for the one that Playwright downloaded, None for none."""
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    downloads = Path("~/.cache/ms-playwright").expanduser()
    return "" if any(downloads.glob("chromium*")) else None


needed = pytest.mark.skipif(executable() is None and os.environ.get("PYTEST_BROWSER") != "must", reason=HOW)
"""Leaves a test out where there is no Chromium; the suite's last line says how many, and how to get one."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - starts a process of its own

    with sync_playwright() as playwright:
        # Without root's sandbox Chromium does not start as root, as in a container.
        started = playwright.chromium.launch(
            executable_path=executable() or None, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


def window(chromium: Any, **options: Any) -> Any:
    """A context with patience; ``options`` as of Playwright's."""
    context = chromium.new_context(**options)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    return context


def wait_for_page(page: Any, selector: str) -> None:
    """Wait until a new document has come that has the element, and takes keys: before its script has run it
    would not hear them."""
    page.wait_for_selector(selector)
    page.wait_for_load_state()


def wait_for(page: Any, condition: str) -> None:
    """Wait until a condition of the page's own script is true; one that never is fails the test."""
    # Playwright's own way evaluates a text inside the page, which the page's policy forbids, as it should.
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, 0.02
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"{condition} did not come true"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)  # who asks without a rest keeps the page from what is waited for


def findings(page: Any) -> list[str]:
    """What axe-core finds serious or critical on the page as it stands."""
    spec = find_spec("axe_playwright_python")
    assert spec
    assert spec.submodule_search_locations
    script = Path(spec.submodule_search_locations[0]) / "axe.min.js"
    page.evaluate(script.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{one['id']}: {node['html'][:160]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]
