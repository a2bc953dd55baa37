"""What killed attempts at a publish leave beside the rows that were committed."""

from __future__ import annotations

from pyiceberg.table import Table

from moderation.plan_files import Plan
from moderation.published import files_named, load_named
from moderation.storage import Storage


def drop_uncommitted(loads: Table, plan: Plan, storage: Storage, folder_uri: str) -> None:
    """Remove rows of `loads` that were written and not committed: a reader of plain files would count them.

    Only for a load that is committed: the table has changed since, so nobody can commit them any more.

    :param folder_uri: where the files of `loads` are.
    """
    loads.refresh()
    committed = {file.file_path for file in files_named(loads, plan.load_id, plan.dt)}
    for uri in storage.list(f"{folder_uri}/dt={plan.dt}"):
        if committed and load_named(uri) == plan.load_id and uri not in committed:
            storage.delete(uri)
