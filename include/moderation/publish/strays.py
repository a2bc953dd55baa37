"""One publisher of a load at a time, and the end of what killed ones left beside the rows that count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyiceberg.table import Table

from moderation.plan.plan import Plan
from moderation.schema import CONTENT_TYPES, TableSpec
from moderation.storage import lease
from moderation.storage.files import Storage, is_unfinished
from moderation.tables.published import files_named, load_named

_OWN_LOCK_SECONDS = 20.0
"""After which the lock of another attempt at the same load counts as left by a killed process: whoever starts
the next attempt believes that one dead. If it lives after all, it finds its lock lost before it commits."""


@contextmanager
def turn(storage: Storage, plan: Plan) -> Iterator[lease.Lease]:
    """Publish the plan's load alone during the block, for as long as the lock is kept.

    :raises lease.LeaseBusy: another attempt published all the time.
    """
    uri = f"{plan.folder_uri}/publish-lock.json"
    with lease.hold(storage.s3_client, uri, owner=plan.load_id, own_ttl=_OWN_LOCK_SECONDS) as held:
        yield held


def drop_strays(table: Table, spec: TableSpec, plan: Plan, storage: Storage, folder_uri: str) -> None:
    """Remove the load's files that the table does not name: a reader of plain files would count their rows.

    Only for a load that is not committed, and by the process whose :func:`turn` it is.

    :param folder_uri: where the table's files are.
    """
    table.refresh()
    named = {file.file_path for file in files_named(table, plan.load_id, plan.dt)}
    parts = (
        [f"content_type={name}/" for name in CONTENT_TYPES] if "content_type" in spec.partition_by else [""]
    )
    for part in parts:
        for uri in storage.list(f"{folder_uri}/{part}dt={plan.dt}"):
            unfinished = is_unfinished(uri) and plan.load_id in uri
            if (load_named(uri) == plan.load_id and uri not in named) or unfinished:
                storage.delete(uri)
