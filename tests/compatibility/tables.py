"""The published tables as pyiceberg alone reads them: no release marks its own work."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import load_catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io import S3_ACCESS_KEY_ID, S3_ENDPOINT, S3_REGION, S3_SECRET_ACCESS_KEY

NAMESPACE = "moderation"

ALWAYS_OTHER = {"loads": {"published_at", "bytes"}}
"""When a load is published and how a Parquet library packs it are nobody's promise."""

OF_THE_ANSWERS = {
    "images": {"job_id", "moderated_at", "error_message"},
    "labels_l1": {"job_id"},
    "labels_l2": {"job_id"},
    "labels_l3": {"job_id"},
    "jobs": {"job_id", "started_at", "completed_at"},
    "loads": {"digest"},
}
"""Known once the answers are there: ids that the service gives, its words, times, and the digest of these."""

Tables = dict[str, pa.Table]


def read(catalog_uri: str) -> Tables:
    """All rows of the loads that are published, by table; of a table whose rows are of no load, all."""
    properties = {
        "type": "sql",
        "uri": catalog_uri,
        S3_ENDPOINT: os.environ["AWS_ENDPOINT_URL_S3"],
        S3_ACCESS_KEY_ID: os.environ["AWS_ACCESS_KEY_ID"],
        S3_SECRET_ACCESS_KEY: os.environ["AWS_SECRET_ACCESS_KEY"],
        S3_REGION: os.environ["AWS_REGION"],
    }
    catalog = load_catalog(NAMESPACE, **properties)
    assert isinstance(catalog, SqlCatalog)
    try:
        names = [name for _, name in catalog.list_tables(NAMESPACE)]
        found = {name: catalog.load_table((NAMESPACE, name)).scan().to_arrow() for name in names}
    finally:
        catalog.close()
    known = found["loads"]["load_id"].combine_chunks()
    return {
        name: table.filter(pc.is_in(table["load_id"], known)) if "load_id" in table.column_names else table
        for name, table in found.items()
    }


def digests(found: Tables, columns: Mapping[str, Collection[str]], *, answered: bool) -> dict[str, list[Any]]:
    """Number and digest of each table's rows, whatever their order.

    :param columns: those that count, by table: a later release may have more.
    :param answered: the answers are the same ones, not only equal ones: their ids and times count as well.
    """
    told: dict[str, list[Any]] = {}
    for table, names in columns.items():
        left_out = ALWAYS_OTHER.get(table, set()) | (set() if answered else OF_THE_ANSWERS.get(table, set()))
        wanted = [name for name in names if name not in left_out]
        lines = sorted(_line(row, wanted, answered) for row in found[table].to_pylist())
        told[table] = [len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()]
    return told


def _line(row: dict[str, Any], columns: Collection[str], answered: bool) -> str:
    text = repr([row[name].hex() if isinstance(row[name], float) else row[name] for name in columns])
    return text if answered or not row.get("job_id") else text.replace(row["job_id"], "JOB")
