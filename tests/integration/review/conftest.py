"""The state of verdicts and queues, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from moderation.review.state.open import State, open_state
from support.postgres_fixtures import postgres_server, postgres_uri  # noqa: F401 - fixtures


@pytest.fixture(params=["sqlite", "postgres"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a state that is not there yet."""
    if request.param == "sqlite":
        return str(tmp_path / "state" / "review.db")
    return str(request.getfixturevalue("postgres_uri"))


@pytest.fixture
def state(state_url: str) -> Iterator[State]:
    opened = open_state(state_url)
    yield opened
    opened.close()
