"""The state of verdicts and queues, on both databases; each is a copy of one that was made once."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from moderation.review.state.open import State, open_state
from support.postgres_fixtures import postgres_server, postgres_uri  # noqa: F401 - fixtures
from support.postgres_server import Postgres


@pytest.fixture(scope="session")
def made_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "review.db"
    open_state(str(path)).close()
    return path


@pytest.fixture(scope="session")
def made_postgres(postgres_server: Postgres) -> str:  # noqa: F811
    uri = postgres_server.new_database()
    open_state(uri).close()
    return urlsplit(uri).path[1:]


@pytest.fixture(params=["sqlite", "postgres"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a state in which nothing was said."""
    if request.param == "sqlite":
        return str(shutil.copy(request.getfixturevalue("made_sqlite"), tmp_path / "review.db"))
    server: Postgres = request.getfixturevalue("postgres_server")
    made, name = request.getfixturevalue("made_postgres"), f"state_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {made}")
    return server.uri(name)


@pytest.fixture(params=["sqlite", "postgres"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a state that is not there yet."""
    if request.param == "sqlite":
        return str(tmp_path / "folder" / "review.db")
    return str(request.getfixturevalue("postgres_uri"))


@pytest.fixture
def state(state_url: str) -> Iterator[State]:
    opened = open_state(state_url)
    yield opened
    opened.close()
