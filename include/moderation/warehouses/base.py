"""What every warehouse can do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from moderation.errors import WarehouseUnusableError
from moderation.schema import TableSpec
from moderation.settings import Settings
from moderation.tables.outcomes import OF_LOADS, count_of, rows_of


class Warehouse(Protocol):
    """A target of loads.

    `load` is idempotent: repeated, or repeated after a crash in the middle, it leaves the load's rows once.
    """

    def load(self, load_id: str) -> dict[str, int]:
        """Bring one published load in.

        :returns: rows (or files, where the warehouse is one of files) by table.
        :raises WarehouseError: there is no such published load, or the warehouse cannot take it.
        """

    def load_standing(self) -> dict[str, int]:
        """Make the tables that belong to no load what is published now, whole, and the views over them.

        :returns: rows by table.
        :raises WarehouseError: the warehouse cannot take them; it holds what it held.
        """

    def lacks(self, loads: Sequence[dict[str, Any]]) -> list[str]:
        """Ids of those published loads that are not whole here, in the order given.

        :param loads: rows of `loads`.
        :raises WarehouseError: the warehouse cannot be read.
        """

    def erase(self, load_ids: Sequence[str]) -> None:
        """Make these loads what is published of them now, and leave nothing of their older rows.

        Images of them were erased. May be repeated, also after a kill.

        :raises WarehouseError: the warehouse cannot be written; all of it is to be done again.
        """

    def refresh(self, *, new_columns: bool = False) -> None:
        """Let the views of what counts go by the thresholds in use as they are now; no row is written.

        :param new_columns: let views have the columns that this release brought, also where a worker of an
            earlier one could load no more then.
        :raises moderation.policy.thresholds.ThresholdsError: the file of thresholds cannot be used.
        :raises WarehouseError: the warehouse refuses.
        """


def check_rows(load: dict[str, Any], table: TableSpec, found: int) -> None:
    """Refuse part of a load: the published table has lost or gained rows since.

    :raises WarehouseError: the count is not the one of the publish.
    """
    wanted = rows_of(load, table)
    if found != wanted:
        raise WarehouseUnusableError(
            f"{table.name} has {found:,} rows of load {load['load_id']} where loads says {wanted:,}; "
            f"mend the tables by `{Settings.from_env().command} rebuild`"
        )


def whole(loads: Iterable[Mapping[str, Any]], counts: Mapping[str, Mapping[str, int]]) -> set[str]:
    """Ids of those loads of which a warehouse has as many rows in each table as their rows of `loads` tell.

    :param loads: rows of the warehouse's own `loads`; of an earlier release they lack counts.
    :param counts: by table, its rows by load id; a table that it does not have is left out.
    """
    return {
        load["load_id"]
        for load in loads
        if all(
            counts.get(table.name, {}).get(load["load_id"], 0) == rows_of(load, table)
            for table in OF_LOADS
            if load.get(count_of(table)) is not None
        )
    }
