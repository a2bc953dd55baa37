"""Where Airflow's executor may use several machines, nothing may lie on the disk of one of them.

Each Dag file asks while it is parsed, and a worker parses it before each task: so a wrong setting is an
import error on Airflow's page, and one that only a worker has fails its task, before anything is paid.
"""

from __future__ import annotations

import re

from airflow.configuration import conf

from moderation.errors import NeedsAPersonError
from moderation.settings import Settings, surroundings
from moderation.variables import hosts
from moderation.variables.machine import MachineSettings

_VARIABLE = "MODERATION_SEVERAL_HOSTS"
_ONE_MACHINE = frozenset({"LocalExecutor", "SequentialExecutor"})


class OwnDiskError(NeedsAPersonError):
    """A setting names a place that each machine has for itself; the text names it and what to set."""


def note() -> bool:
    """Whether tasks may run on several machines; others find the executor's answer in the environment.

    A person who has set ``MODERATION_SEVERAL_HOSTS`` is believed.
    """
    told = MachineSettings.from_env().several_hosts
    if told is None:
        told = bool(executors() - _ONE_MACHINE)
        if told:
            surroundings()[_VARIABLE] = "1"
    return told


def refuse_own_disks() -> None:
    """Stop whoever has its catalog, tables or warehouse for itself where others work, too.

    :raises OwnDiskError: it names each variable.
    """
    if not note():
        return
    settings = Settings.from_env()
    found = hosts.of_one_machine(
        catalog_uri=settings.catalog_uri, tables_uri=settings.tables_uri, warehouses=settings.warehouses
    )
    if found:
        names = ", ".join(sorted(executors()))
        raise OwnDiskError(
            f"with {names} tasks run on several machines, and a disk is each one's own: {'; '.join(found)} "
            f"(or {_VARIABLE}=0 where all of Airflow is on one machine)"
        )


def executors() -> set[str]:
    """Class names of the executors that Airflow is configured with."""
    named = conf.get("core", "executor", fallback="LocalExecutor")
    # A list of `[team=][alias:]executor`, in which an executor may be the path of its class.
    parts = (part.strip() for part in re.split(r"[,;]", named))
    return {re.split(r"[.:=]", part)[-1] for part in parts if part}
