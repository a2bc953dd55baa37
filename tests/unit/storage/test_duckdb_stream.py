from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pytest

from moderation.storage.duckdb_stream import streamed

SCHEMA = pa.schema([("n", pa.int64())])


class Gone(Exception):
    """What a file raises while it is read."""


def numbers(*, broken: bool = False) -> Iterator[pa.RecordBatch]:
    yield pa.record_batch({"n": [1, 2]}, SCHEMA)
    if broken:
        raise Gone("the file is gone")


def test_rows_are_read_once_and_their_name_is_free_again() -> None:
    with duckdb.connect() as connection:
        for _ in range(2):
            with streamed(connection, "incoming", SCHEMA, numbers()):
                assert connection.sql("SELECT sum(n) FROM incoming").fetchall() == [(3,)]


@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize("in_transaction", [False, True], ids=["alone", "in a transaction"])
def test_what_the_rows_raise_is_raised_as_it_is_whichever_of_them_it_was(
    place: int, in_transaction: bool
) -> None:
    with duckdb.connect() as connection:
        if in_transaction:
            connection.begin()
        with (
            pytest.raises(Gone, match="is gone"),
            streamed(connection, "one", SCHEMA, numbers(broken=place == 0)),
            streamed(connection, "two", SCHEMA, numbers(broken=place == 1)),
        ):
            connection.execute("CREATE TABLE kept AS SELECT n FROM one UNION ALL SELECT n FROM two")
        if in_transaction:
            connection.rollback()


def test_a_mistake_in_the_sql_stays_one() -> None:
    with (
        duckdb.connect() as connection,
        pytest.raises(duckdb.CatalogException),
        streamed(connection, "one", SCHEMA, numbers()),
    ):
        connection.execute("SELECT * FROM no_such_table")
