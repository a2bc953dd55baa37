"""Old snapshots of the tables expire, and files go that nothing needs any more.

A file is deleted only if no snapshot that can still be read names it, no unfinished publish may come to need
it, and nobody wrote it for days: a commit that is under way writes its files before it names them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from moderation.plan import store
from moderation.plan.plan import PlanError
from moderation.schema import TableSpec
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.files import Storage, absolute, is_unfinished
from moderation.tables.catalog import load_table
from moderation.tables.published import load_named, loads_in

ORPHAN_AGE = timedelta(days=3)
"""How long a file that no snapshot names is left alone."""

_log = logging.getLogger(__name__)


def expire_snapshots(table: Table, *, before: datetime) -> int:
    """Forget snapshots that were replaced before that time; returns how many.

    It counts when a snapshot stopped being the current one, not when it was made: the table may have rested
    for months, and somebody may have begun to read it a minute before it changed.
    """
    limit = before.timestamp() * 1000
    table.refresh()
    log = table.metadata.snapshot_log
    replaced = {entry.snapshot_id: after.timestamp_ms for entry, after in pairwise(log)}
    current = table.metadata.current_snapshot_id
    old = [
        snapshot.snapshot_id
        for snapshot in table.snapshots()
        if snapshot.snapshot_id != current
        and replaced.get(snapshot.snapshot_id, snapshot.timestamp_ms) < limit
    ]
    if old:
        table.maintenance.expire_snapshots().by_ids(old).commit()
        table.refresh()
    return len(old)


def unneeded_files(
    settings: Settings, spec: TableSpec, catalog: Catalog, storage: Storage, *, before: datetime
) -> Iterator[str]:
    """URIs of the table's files that nothing needs, each looked at again right before it is given.

    :param before: files written later are left out.
    """
    root = absolute(settings.tables_uri)
    table = load_table(catalog, spec)
    if table is None:
        return
    # Files first, the snapshots that need them afterwards: what is added in between is found needed.
    folders = (f"{root}/{spec.name}", f"{root}/_iceberg/{spec.name}")
    old = [
        uri
        for folder in folders
        for uri, time in storage.list_times(folder).items()
        if time < before and _is_ours(uri)
    ]
    table.refresh()
    needed = files_of_snapshots(table)
    candidates = sorted(uri for uri in old if uri not in needed)
    if not candidates:
        return
    unfinished = _unfinished_loads(settings, catalog, storage.s3_client, candidates)
    for uri in candidates:
        if unfinished is None and load_named(uri) is not None:
            continue
        if load_named(uri) in (unfinished or ()):
            continue
        time = storage.written_at(uri)
        if time is not None and time < before:
            yield uri


def _is_ours(uri: str) -> bool:
    return uri.endswith((".parquet", ".avro", ".metadata.json")) or is_unfinished(uri)


def files_of_snapshots(table: Table) -> set[str]:
    """Every file that some snapshot of the table names, data and metadata."""
    needed = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    seen: set[str] = set()
    for snapshot in table.snapshots():
        needed.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path in seen:
                continue
            seen.add(manifest.manifest_path)
            entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
            needed.update(entry.data_file.file_path for entry in entries)
    return needed | seen


def _unfinished_loads(
    settings: Settings, catalog: Catalog, client: Any, candidates: list[str]
) -> set[str] | None:
    """Loads that a publish may still bring in; None when a plan cannot be read, so nobody knows."""
    committed = set(loads_in(catalog).column("load_id").to_pylist())
    named = {load_named(uri) for uri in candidates} - {None}
    if named <= committed:
        return set()
    try:
        return {
            plan.load_id
            for plan in store.iter_plans(settings, s3=client)
            if not store.is_closed(plan, s3=client)
        }
    except (PlanError, s3_objects.S3Error) as error:
        _log.warning("files of unpublished loads are kept: %s", error)
        return None
