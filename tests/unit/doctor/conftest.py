"""A machine on which nothing stands in the way, for tests that then put something there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from local_aws import ports
from moderation.doctor.finding import Finding, Place
from moderation.variables.local_stack import COMPANION_OF_PORT, DEFAULT_PORTS


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A checkout in which nothing was installed or run, with free ports and an empty home."""
    checkout, home = tmp_path / 'it\'s a "check out"', tmp_path / "home"
    (checkout / "var").mkdir(parents=True)
    (checkout / "Makefile").touch()
    home.mkdir()
    free = {
        name: str(ports.find_free(companion_offset=COMPANION_OF_PORT.get(name, 0))) for name in DEFAULT_PORTS
    }
    return Place(checkout, free, home)


@pytest.fixture
def told(place: Place) -> Callable[..., list[Finding]]:
    """What a check finds with these variables besides."""

    def told(look: Callable[..., object], **variables: str) -> list[Finding]:
        return list(look(Place(place.checkout, {**place.variables, **variables}, place.home)))

    return told
