"""The rows of `loads` and `jobs` after images were erased: counted anew, so twice changes nothing.

What was billed and what it cost stays: it was paid. A load's digest changes with its counts, by which each
warehouse sees that it holds another load than is published.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog

from moderation.maintenance.erasure.plans import Told
from moderation.maintenance.erasure.tables import LoadTables
from moderation.plan.plan import COPIES
from moderation.reference import content
from moderation.schema import (
    ANOMALIES,
    FAILED,
    IMAGES,
    JOBS,
    LABELS,
    LOADS,
    MODERATED,
    NOT_ATTEMPTED,
    TableSpec,
    physical_schema,
)
from moderation.storage.duckdb_stream import streamed
from moderation.tables.catalog import load_table
from moderation.tables.published import loads_in, scan

_READ = ("manifest_id", "status", "etag", "size_bytes")
_STATES = (MODERATED, FAILED, NOT_ATTEMPTED)


def recount(tables: LoadTables, load_ids: Collection[str], told: Mapping[str, Told]) -> int:
    """Put right what `loads` and `jobs` say of loads; returns how many loads differ.

    :param told: what is known of their plans, by load.
    """
    loads, jobs = {}, {}
    for load in loads_in(tables.catalog).to_pylist():
        load_id = load["load_id"]
        if load_id not in load_ids:
            continue
        tables.renew()
        by_manifest, contents = _images(tables.catalog, load)
        anomalies = _by_manifest(tables.catalog, ANOMALIES, load)
        found = told.get(load_id)
        wanted = _load_row(load, by_manifest, contents, anomalies)
        wanted |= {spec.name: _by_manifest(tables.catalog, spec, load).total() for spec in LABELS.values()}
        if found is not None:
            wanted["superseded"] = found.inputs - wanted["images"]
        if any(load[name] != value for name, value in wanted.items()):
            loads[load_id,] = wanted | {"digest": _digest(load["digest"], wanted)}
        for manifest_id, lines in (found.lines if found else {}).items():
            jobs[load_id, manifest_id] = _job_row(manifest_id, lines, by_manifest, anomalies, found)
    tables.replace_rows(JOBS, jobs, ("load_id", "manifest_id"))
    # Last: a load whose row says what it holds is done.
    tables.replace_rows(LOADS, loads, ("load_id",))
    return len(loads)


Images = dict[tuple[str | None, str], int]


def _images(catalog: Catalog, load: dict[str, Any]) -> tuple[Images, int]:
    """How many images of the load there are by manifest and state, and how many contents."""
    batches = scan(load_table(catalog, IMAGES), IMAGES, _READ, load_ids={load["load_id"]}, where=_where(load))
    types = pa.schema([physical_schema(IMAGES).field(name) for name in _READ])
    with duckdb.connect() as connection:
        with streamed(connection, "given", types, batches):
            connection.execute(
                f"CREATE TABLE rows AS SELECT manifest_id, status, {content.SQL} AS content FROM given"  # noqa: S608 - names of ours
            )
        rows = connection.execute("SELECT manifest_id, status, count(*) FROM rows GROUP BY ALL").fetchall()
        counted = "SELECT count(DISTINCT content) + count(*) - count(content) FROM rows"
        ((contents,),) = connection.execute(counted).fetchall()
    return {(manifest, status): images for manifest, status, images in rows}, int(contents)


def _by_manifest(catalog: Catalog, spec: TableSpec, load: dict[str, Any]) -> Counter[str | None]:
    found: Counter[str | None] = Counter()
    where, load_ids = _where(load), {load["load_id"]}
    for batch in scan(load_table(catalog, spec), spec, ["manifest_id"], load_ids=load_ids, where=where):
        found.update(batch.column("manifest_id").to_pylist())
    return found


def _load_row(
    load: dict[str, Any], images: Images, contents: int, anomalies: Counter[str | None]
) -> dict[str, Any]:
    states = Counter[str]()
    for (_, status), number in images.items():
        states[status] += number
    wanted: dict[str, Any] = {"images": states.total(), **{name: states[name] for name in _STATES}}
    wanted["anomalies"] = anomalies.total()
    copies = sum(images.get((COPIES, status), 0) for status in (MODERATED, FAILED))
    later = {"copies": copies, "contents": contents}
    # What an earlier release did not count stays uncounted.
    return wanted | {name: value for name, value in later.items() if load[name] is not None}


def _job_row(
    manifest_id: str, lines: int, images: Images, anomalies: Counter[str | None], told: Told | None
) -> dict[str, Any]:
    states = {name: images.get((manifest_id, name), 0) for name in _STATES}
    row: dict[str, Any] = {"images": lines, **states, "superseded": lines - sum(states.values())}
    row["anomalies"] = anomalies[manifest_id]
    if told is not None and (counts := told.counts.get(manifest_id)):
        row |= {"result_lines": counts.result_lines, "malformed_lines": counts.malformed_lines}
    return row


def _digest(before: str, wanted: dict[str, Any]) -> str:
    text = f"{before}\nerased\n{json.dumps(wanted, sort_keys=True)}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _where(load: dict[str, Any]) -> str:
    return f"dt = '{load['dt'].isoformat()}' and load_id = '{load['load_id']}'"
