"""What can befall a file: each damage as a function of its bytes, and of those of another install's file."""

from __future__ import annotations

import io
import sqlite3
import tempfile
import zlib
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moderation.storage.state import seal, unseal

DELETED, EMPTIED, ONE_BIT = "deleted", "emptied", "one bit flipped"
OF_ANOTHER, NEWER = "another install's", "a newer release's"
DAMAGES = (DELETED, EMPTIED, ONE_BIT, OF_ANOTHER, NEWER)

NEW = "of_a_later_release"


def tried(cells: Iterable[tuple[Any, str]], quick: Container[tuple[str, str]]) -> list[Any]:
    """Places and damages as parameters of a test; but for the quick ones it is long.

    :param quick: names of places, and damages.
    """
    return [
        pytest.param(
            place,
            damage,
            id=f"{place.name}-{damage}",
            marks=() if (place.name, damage) in quick else pytest.mark.long,
        )
        for place, damage in cells
    ]


def damaged(damage: str, kind: str, body: bytes, of_another: bytes | None) -> bytes | None:
    """The file afterwards; None for none."""
    if damage == DELETED:
        return None
    if damage == EMPTIED:
        return b""
    if damage == ONE_BIT:
        flipped = bytearray(body)
        flipped[len(body) // 2] ^= 1
        return bytes(flipped)
    if damage == OF_ANOTHER:
        return of_another
    return _NEWER[kind](body)


def _sealed(body: bytes) -> bytes:
    return seal({**unseal(body), NEW: True})


def _json(body: bytes) -> bytes:
    return orjson.dumps({**orjson.loads(body), NEW: True})


def _lines(body: bytes) -> bytes:
    return b"".join(orjson.dumps({**orjson.loads(line), NEW: True}) + b"\n" for line in body.splitlines())


def _records(body: bytes) -> bytes:
    """As `moderation.analyse.detect.checkpoint` writes them."""
    made = []
    for line in body.splitlines():
        record = orjson.dumps({**orjson.loads(line[9:]), NEW: True})
        made.append(b"%08x %s\n" % (zlib.crc32(record), record))
    return b"".join(made)


def _parquet(body: bytes) -> bytes:
    table = pq.read_table(io.BytesIO(body))
    file = io.BytesIO()
    pq.write_table(table.append_column(NEW, pa.nulls(len(table), pa.string())), file)
    return file.getvalue()


def _duckdb(body: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.duckdb"
        path.write_bytes(body)
        with duckdb.connect(str(path)) as connection:
            tables = connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE NOT internal"
            ).fetchall()
            for (name,) in tables:
                connection.execute(f'ALTER TABLE "{name}" ADD COLUMN {NEW} VARCHAR')
            connection.execute(f"CREATE TABLE {NEW} (i INTEGER)")
        return path.read_bytes()


def _sqlite(body: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.db"
        path.write_bytes(body)
        connection = sqlite3.connect(path)
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            connection.execute(f'ALTER TABLE "{name}" ADD COLUMN {NEW} TEXT')
        connection.execute(f"CREATE TABLE {NEW} (i INTEGER)")
        connection.commit()
        connection.close()
        return path.read_bytes()


def _iceberg(body: bytes) -> bytes:
    return orjson.dumps({**orjson.loads(body), "format-version": 99})


def _text(body: bytes) -> bytes:
    return body + f"\n{NEW}\n".encode()


_NEWER = {
    "sealed": _sealed,
    "json": _json,
    "lines": _lines,
    "records": _records,
    "parquet": _parquet,
    "duckdb": _duckdb,
    "sqlite": _sqlite,
    "iceberg": _iceberg,
    "text": _text,
}
