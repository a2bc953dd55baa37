"""What people ask of an archive once it has begun: pause, resume, stop, retry.

Each is one change of its file, and says who asked and when; the conductor goes by it at its next look.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from moderation.archive.backfill import conductor, state
from moderation.archive.backfill.state import ENDED, GOES_ON, PARKED, PAUSED, STOPPED, Archive
from moderation.settings import Settings

MOST_KEPT = 50


def pause(settings: Settings, s3: Any, name: str, *, until: datetime | None, person: str = "") -> Archive:
    """Begin no further chunk, until a time or until it is resumed; what is under way ends."""

    def paused(archive: Archive) -> Archive:
        _refuse_ended(settings, archive)
        if archive.status == STOPPED:
            raise state.ArchiveError(f"the archive {name} is stopped, and begins no chunk as it is")
        told = f"pause until {until:%Y-%m-%d %H:%M} UTC" if until else "pause"
        archive = replace(archive, status=PAUSED, paused_until=until.isoformat() if until else "", waits="")
        return _noted(archive, person, told)

    return state.change(settings, s3, name, paused)


def resume(settings: Settings, s3: Any, name: str, *, person: str = "") -> Archive:
    """Go on with an archive that was paused or stopped."""

    def resumed(archive: Archive) -> Archive:
        _refuse_ended(settings, archive)
        archive = replace(archive, status=GOES_ON, paused_until="", result={}, waits="")
        return _noted(archive, person, "resume")

    return state.change(settings, s3, name, resumed)


def stop(settings: Settings, s3: Any, name: str, *, person: str = "") -> Archive:
    """Begin no further chunk, and reconcile once what is under way has ended."""

    def stopped(archive: Archive) -> Archive:
        _refuse_ended(settings, archive)
        return _noted(replace(archive, status=STOPPED, paused_until="", waits=""), person, "stop")

    return state.change(settings, s3, name, stopped)


def retry(
    settings: Settings, s3: Any, name: str, numbers: set[int] | None = None, *, person: str = ""
) -> Archive:
    """Take parked chunks up again; None for all.

    :raises state.ArchiveError: none of them is parked.
    """

    def again(archive: Archive) -> Archive:
        parked = {chunk.number for chunk in archive.chunks if chunk.status == PARKED}
        if not (parked & (numbers or parked)) or (numbers or set()) - parked:
            told = ", ".join(map(str, sorted(parked))) or "none"
            raise state.ArchiveError(f"parked chunks of {name}: {told}; only these can be tried again")
        which = ", ".join(map(str, sorted(numbers or parked)))
        return _noted(conductor.retried(archive, numbers), person, f"retry of chunk {which}")

    return state.change(settings, s3, name, again)


def _noted(archive: Archive, person: str, what: str) -> Archive:
    order = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "person": person, "what": what}
    return replace(archive, orders=(*archive.orders, order)[-MOST_KEPT:])


def _refuse_ended(settings: Settings, archive: Archive) -> None:
    if archive.status != ENDED:
        return
    remedy = "there is nothing left to do"
    if any(chunk.status == PARKED for chunk in archive.chunks):
        command = f"{settings.command} archive retry {archive.name}"
        remedy = f"its parked chunks can be tried again: {command}"
    raise state.ArchiveError(f"the archive {archive.name} has ended; {remedy}")
