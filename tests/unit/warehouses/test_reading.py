from __future__ import annotations

import duckdb
import pytest

from moderation.variables.table import SettingsError
from moderation.warehouses.reading import bounded


def limit(connection):
    return connection.execute("SELECT current_setting('memory_limit')").fetchone()[0]


@pytest.mark.parametrize(("asked", "given"), [("", "183.1 MiB"), ("2GB", "1.8 GiB")])
def test_a_query_of_the_pipeline_takes_no_more_memory_than_it_is_given(monkeypatch, asked, given):
    monkeypatch.setenv("MODERATION_DUCKDB_MEMORY", asked)
    with duckdb.connect() as connection, bounded(connection):
        assert limit(connection) == given


@pytest.mark.parametrize("asked", ["much", "2'; SELECT 1; --"])
def test_an_amount_of_memory_that_is_none_is_named_with_its_variable(monkeypatch, asked):
    monkeypatch.setenv("MODERATION_DUCKDB_MEMORY", asked)
    with (
        duckdb.connect() as connection,
        pytest.raises(SettingsError, match="MODERATION_DUCKDB_MEMORY=") as caught,
        bounded(connection),
    ):
        pass
    assert "512MB" in str(caught.value)
