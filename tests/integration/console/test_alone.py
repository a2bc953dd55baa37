"""`moderation console` as a process: its link, its pages, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from moderation.settings import Settings


@pytest.fixture
def console(
    console_world: tuple[Settings, str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the link that it prints."""
    settings, _, _ = console_world
    for name, value in {
        "MODERATION_WORK_URI": settings.work_uri,
        "MODERATION_TABLES_URI": settings.tables_uri,
        "MODERATION_CATALOG_URI": settings.catalog_uri,
        "MODERATION_WAREHOUSE": settings.warehouse_path,
        "MODERATION_CONSOLE_CACHE": tmp_path / "console",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }.items():
        monkeypatch.setenv(name, str(value))
    command = [sys.executable, "-m", "moderation.cli", "console", "--port", "0"]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            yield process, next(word for word in said.split() if word.startswith("http"))
        finally:
            process.kill()


@pytest.mark.parametrize("page", ["/jobs/{load}", "/numbers"])
def test_an_interrupted_console_says_that_and_nothing_else(
    page: str, console: tuple[subprocess.Popen[str], str], load_id: str
) -> None:
    process, link = console
    with httpx.Client(follow_redirects=True) as person:
        at_home = person.get(link)
        assert at_home.status_code == 200
        assert person.get(f"{str(at_home.url).rstrip('/')}{page.format(load=load_id)}").status_code == 200

    process.send_signal(signal.SIGINT)

    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "moderation console: interrupted\n")
