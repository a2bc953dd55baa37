"""What a load says of itself, without a look at Iceberg: how many rows it has in each table, and what becomes
of its images as people must see to it: owed to another run, or waiting for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from moderation import schema
from moderation.reference import error_codes
from moderation.schema import JOBS, LOADS, TABLES, TableSpec

OF_LOADS = tuple(table for table in TABLES.values() if table is not LOADS)
"""The tables whose rows `loads` counts."""


def count_of(table: TableSpec) -> str:
    """The column of `loads` that tells how many rows a load has in the table."""
    return "manifests" if table is JOBS else table.name


def rows_of(load: Mapping[str, Any], table: TableSpec) -> int:
    """How many rows the load has in the table."""
    return 1 if table is LOADS else int(load[count_of(table)])


def count_owed(images: pa.Table | pa.RecordBatch) -> int:
    """How many of these rows (``status``, ``error_code``) another run may still bring in.

    Those not attempted, and those that failed for a reason that passes by itself. A picture that is refused
    for its own sake, and one that is not there or not readable, is settled: a person must act first.
    """
    return sum(
        images
        for status, code, images in _outcomes(images)
        if status == schema.NOT_ATTEMPTED or (status == schema.FAILED and error_codes.is_owed(code))
    )


def count_blocked(images: pa.Table | pa.RecordBatch) -> Counter[str]:
    """How many of these rows, by code, failed for rights or places that a person can mend.

    They are not owed, for no run mends that by itself; a person must know of them all the same.
    """
    return Counter(
        {
            code: images
            for status, code, images in _outcomes(images)
            if status == schema.FAILED
            and not error_codes.is_permanent(code)
            and not error_codes.is_owed(code)
        }
    )


def _outcomes(images: pa.Table | pa.RecordBatch) -> list[tuple[str, str, int]]:
    """Status, error code and number of images, of each pair that occurs."""
    rows = pa.Table.from_batches([images]) if isinstance(images, pa.RecordBatch) else images
    counts = rows.group_by(["status", "error_code"]).aggregate([([], "count_all")]).to_pylist()
    return [(row["status"], row["error_code"] or "", row["count_all"]) for row in counts]
