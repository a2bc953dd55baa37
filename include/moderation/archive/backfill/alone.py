"""An archive that a command works off without Airflow: which of the two has it, and since when.

The command holds a lease while it lives; Airflow's conductor leaves an archive alone whose lease is held.
When the command is killed the lease runs out, and either may go on: the run of a chunk has the same id in
both, so what was paid is found again.
"""

from __future__ import annotations

from typing import Any

from moderation.archive.backfill.state import Archive, ArchiveError
from moderation.settings import Settings
from moderation.storage import lease, s3_objects

_ASKER = "archive run "


def lease_uri(settings: Settings, name: str) -> str:
    """Where the lease is."""
    return s3_objects.join_uri(settings.work_uri, "locks", f"archive-{name}.json")


def asker(name: str) -> str:
    """Who asks for the runs; the same after a kill, so that it asks for the same ones again."""
    return _ASKER + name


def is_held(settings: Settings, s3: Any, name: str) -> bool:
    """Whether a command works it off now."""
    return lease.is_held(s3, lease_uri(settings, name))


def check(archive: Archive) -> None:
    """Refuse to work off from here what cannot be.

    :raises ArchiveError: Airflow has chunks of it under way, or it wants bulk jobs.
    """
    if archive.options.backend == "bulk":
        raise ArchiveError(
            f"{archive.name} wants bulk jobs, which Airflow starts; without Airflow, start an archive with "
            "--backend detect"
        )
    theirs = [
        chunk.number
        for chunk in archive.chunks
        if chunk.is_under_way and not chunk.asked_by.startswith(_ASKER)
    ]
    if theirs:
        raise ArchiveError(
            f"Airflow works off chunk {', '.join(map(str, theirs))} of {archive.name}; pause it, and begin "
            "here when these have ended"
        )
