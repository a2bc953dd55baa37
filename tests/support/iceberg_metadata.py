"""What pyiceberg does anew for each look at a table, though nothing changed: a third of a publish.

pyiceberg has no setting for it. What is kept is told apart by the whole text of the file, or by the very
objects: nothing that a test changes on a disk is seen late.
"""

from __future__ import annotations

from functools import lru_cache

from pyiceberg.table import Transaction
from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil
from pyiceberg.table.update import update_table_metadata

_parse = lru_cache(maxsize=64)(TableMetadataUtil.parse_raw)
_LAST = "_last_table_metadata"


def read_once() -> None:
    """
    Let this process read a metadata file of the same text once, and a transaction work its own out once.

    The objects are frozen and pyiceberg changes copies, so that who asks sees what it always saw.
    """
    TableMetadataUtil.parse_raw = staticmethod(_parse)
    Transaction.table_metadata = property(_table_metadata)


def _table_metadata(transaction: Transaction) -> TableMetadata:
    base, updates = transaction._table.metadata, transaction._updates
    last = transaction.__dict__.get(_LAST)
    if last is None or last[0] is not base or last[1] is not updates:
        last = transaction.__dict__[_LAST] = (base, updates, update_table_metadata(base, updates))
    found: TableMetadata = last[2]
    return found
