"""Rows and a digest over every column of each table that an engine wrote; independent of row order."""

from __future__ import annotations

from pathlib import Path

import duckdb

TABLES = ("images", "labels_l1", "labels_l2", "labels_l3")


def digests(out: Path, schema: dict[str, dict[str, str]]) -> dict[str, tuple[int, str]]:
    """Row count and digest of each table below ``out``.

    :param schema: DuckDB type of each column of each table: equal values must not differ by their type.
    """
    connection = duckdb.connect(config={"threads": 2})
    found = {}
    for table in TABLES:
        files = [str(path) for path in sorted(out.rglob("*.parquet")) if table in str(path.relative_to(out))]
        columns = ", ".join(f"{name}::{kind}" for name, kind in schema[table].items())
        row = connection.execute(
            f"SELECT count(*), sum(hash(row({columns}))::HUGEINT) "
            "FROM read_parquet(?, hive_partitioning=false)",
            [files],
        ).fetchone()
        assert row is not None
        found[table] = (row[0], f"{row[1]:x}")
    return found


def schema_of(out: Path) -> dict[str, dict[str, str]]:
    """Columns and types as one engine wrote them."""
    connection = duckdb.connect()
    described = {}
    for table in TABLES:
        files = [str(path) for path in sorted(out.rglob("*.parquet")) if table in str(path.relative_to(out))]
        rows = connection.execute("DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning=false)", [files])
        described[table] = {name: kind for name, kind, *_ in rows.fetchall()}
    return described
