"""Rows of which one bit is another than was written: the checksum tells which."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError, IntegrityError

from moderation.review.rows import Damaged, any_text, raw
from moderation.review.state.item_checksums import is_known

_WIDTHS = (8, 16, 24, 32, 48, 64)
"""Bits in which SQLite keeps a whole number."""


def put_right(connection: Connection, row: Damaged) -> bool:
    """Put a damaged row right, if exactly one of its bits fits the checksum when it is turned.

    A checksum of 32 bits fits by chance once in four thousand million times; a row has some thousand bits.

    :returns: whether it was.
    """
    with any_text(connection, bytes):
        told = raw(connection, row.kind, row.key)
    fits = [
        (name, value)
        for name in (*row.kind.columns, "checksum")
        for value in turned(told[name])
        # A checksum of another form says nothing of its row.
        if (name != "checksum" or is_known(value)) and _fits(connection, row, name, value)
    ]
    if len(fits) != 1:
        return False
    _write(connection, row, *fits[0])
    return True


def turned(value: Any) -> Iterator[Any]:
    """Every value that differs by one bit from this one, as a database keeps it."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value ^ (1 << bit) for bit in range(63))
        for width in _WIDTHS:  # the sign is one bit too
            half = 1 << (width - 1)
            if -half <= value < half:
                yield value ^ -half
    elif isinstance(value, float):
        for body in _bodies(struct.pack(">d", value)):
            yield struct.unpack(">d", body)[0]
    elif isinstance(value, str | bytes):
        for body in _bodies(value.encode() if isinstance(value, str) else value):
            try:
                text = body.decode()
            except UnicodeDecodeError:
                continue
            if "\0" not in text:
                yield text


def _bodies(body: bytes) -> Iterator[bytes]:
    for place, byte in enumerate(body):
        for bit in range(8):
            yield body[:place] + bytes([byte ^ (1 << bit)]) + body[place + 1 :]


def _fits(connection: Connection, row: Damaged, name: str, value: Any) -> bool:
    attempt = connection.begin_nested()
    try:
        _write(connection, row, name, value)
        return row.kind.is_readable(connection, row.key)
    except (DataError, IntegrityError):
        return False
    finally:
        attempt.rollback()


def _write(connection: Connection, row: Damaged, name: str, value: Any) -> None:
    this = row.kind.key(connection) == row.key
    written = sa.update(row.kind.table).where(this).values({name: sa.literal(value, _TYPES.get(type(value)))})
    connection.execute(written)


_TYPES: dict[type[Any], Any] = {
    str: sa.String(),
    int: sa.BigInteger(),
    float: sa.Double(),
    bool: sa.Boolean(),
}
"""As the databases keep them: a moment is a text in SQLite."""
