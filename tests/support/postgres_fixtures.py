"""The fixtures ``postgres_server`` and ``postgres_uri``, to import where they are needed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.postgres_server import Postgres, running


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    with running() as server:
        yield server


@pytest.fixture
def postgres_uri(postgres_server: Postgres) -> str:
    """A fresh, empty database."""
    return postgres_server.new_database()
