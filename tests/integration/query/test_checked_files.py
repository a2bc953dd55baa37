"""DuckDB over the published files tells of damage before it tells a wrong answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moderation.cli import main
from moderation.query.published_views import open_published
from moderation.settings import Settings
from moderation.storage.files import local_path
from moderation.tables.faults import TablesDamagedError
from support.published_loads import publish_plain

COLUMNS = "SELECT l2, confidence, source_ref FROM labels_l2 ORDER BY ALL"


@pytest.fixture
def published(local_settings: Settings, s3_client: Any) -> Settings:
    publish_plain(local_settings, s3_client, "plain")
    return local_settings


def file_of(settings: Settings, table: str) -> Path:
    (path,) = (local_path(settings.tables_uri) / table).rglob("*.parquet")
    return path


def answer(settings: Settings, sql: str = COLUMNS) -> list[tuple[Any, ...]]:
    with open_published(settings) as connection:
        return connection.execute(sql).fetchall()


def spoilt(body: bytes) -> Iterator[bytes]:
    for place in range(5, len(body), len(body) // 25):
        copy = bytearray(body)
        copy[place] ^= 1 << place % 8
        yield bytes(copy)


@pytest.mark.slow
def test_a_flipped_bit_is_named_or_changes_nothing(published: Settings) -> None:
    before = answer(published)
    path = file_of(published, "labels_l2")
    told = []
    for body in spoilt(path.read_bytes()):
        path.write_bytes(body)
        try:
            assert answer(published) == before
        except TablesDamagedError as error:
            told.append(str(error))
    assert len(told) > 10
    assert all(str(path) in text and "`moderation rebuild`" in text for text in told)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and no more PAR1"], ids=["gone", "empty", "other"])
def test_the_command_names_a_file_that_cannot_be_read(
    published: Settings, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    path = file_of(published, "labels_l2")
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    assert main.main(["query", COLUMNS, "--published"], settings=published) == 2
    found = capsys.readouterr().err
    assert str(path) in found
    assert "rebuild" in found
    assert "Traceback" not in found
