"""What people ask of an archive once it has begun: pause, resume, stop, retry, another budget, clean.

Each is one change of its file, and says who asked and when; the conductor goes by it at its next look.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

from moderation.archive.backfill import conductor, progress, state
from moderation.archive.backfill.state import ENDED, GOES_ON, PARKED, PAUSED, STOPPED, Archive
from moderation.settings import Settings
from moderation.storage import s3_objects

MOST_KEPT = 50


class Unchanged(Enum):
    """Of a limit of which nothing was said; None lifts it."""

    UNCHANGED = auto()


UNCHANGED = Unchanged.UNCHANGED


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
        _refuse_cleaned(archive)
        parked = {chunk.number for chunk in archive.chunks if chunk.status == PARKED}
        if not (parked & (numbers or parked)) or (numbers or set()) - parked:
            told = ", ".join(map(str, sorted(parked))) or "none"
            raise state.ArchiveError(f"parked chunks of {name}: {told}; only these can be tried again")
        which = ", ".join(map(str, sorted(numbers or parked)))
        return _noted(conductor.retried(archive, numbers), person, f"retry of chunk {which}")

    return state.change(settings, s3, name, again)


def budget(
    settings: Settings,
    s3: Any,
    name: str,
    *,
    day_usd: float | Unchanged | None = UNCHANGED,
    month_usd: float | Unchanged | None = UNCHANGED,
    person: str = "",
) -> Archive:
    """Let its chunks cost more or less from now on, also on the day and in the month under way.

    :param day_usd: None for no limit; likewise ``month_usd``.
    :raises state.ArchiveError: neither is given, one is no amount, or so little that no chunk could begin.
    """

    def allowed(archive: Archive) -> Archive:
        _refuse_ended(settings, archive)
        given = {"day_usd": day_usd, "month_usd": month_usd}
        limits: dict[str, Any] = {
            limit: usd for limit, usd in given.items() if not isinstance(usd, Unchanged)
        }
        if not limits:
            raise state.ArchiveError("say a budget of the day, of the month, or both")
        archive = replace(archive, options=replace(archive.options, **limits), waits="")
        progress.check_budget(settings, archive)
        said = (f"{limit.partition('_')[0]} {_usd(usd)}" for limit, usd in limits.items())
        return _noted(archive, person, f"budget of the {', of the '.join(said)}")

    return state.change(settings, s3, name, allowed)


def _usd(amount: float | None) -> str:
    return "without limit" if amount is None else f"{amount:,.2f} USD"


def clean(settings: Settings, s3: Any, name: str, *, person: str = "") -> Archive:
    """Remove the lists of keys of an archive that is over; its figures stay, and nothing can be begun again.

    Also what a killed start has left beside them. Killed, it may be asked again.

    :raises state.ArchiveError: it is not over and reconciled.
    """

    def cleaned(archive: Archive) -> Archive:
        if not archive.result or any(chunk.is_under_way for chunk in archive.chunks):
            raise state.ArchiveError(
                f"the archive {name} is {archive.status} and not reconciled: its lists are needed; stop it, "
                f"and wait until its keys are accounted for: {settings.command} archive stop {name}"
            )
        if archive.cleaned_at:
            return archive
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return _noted(replace(archive, status=ENDED, cleaned_at=now), person, "clean")

    # The mark first: nobody begins a chunk whose list is about to go.
    archive = state.change(settings, s3, name, cleaned)
    bucket, _ = s3_objects.split_uri(settings.work_uri)
    for entry in list(s3_objects.list_objects(s3, f"{state.folder_uri(settings, name)}/chunks/")):
        s3_objects.delete(s3, s3_objects.Location(bucket, entry["Key"]).uri)
    return archive


def _refuse_cleaned(archive: Archive) -> None:
    if archive.cleaned_at:
        raise state.ArchiveError(
            f"the lists of keys of {archive.name} are removed; start another archive over {archive.source}: "
            "what is answered is not asked again"
        )


def _noted(archive: Archive, person: str, what: str) -> Archive:
    order = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "person": person, "what": what}
    return replace(archive, orders=(*archive.orders, order)[-MOST_KEPT:])


def _refuse_ended(settings: Settings, archive: Archive) -> None:
    _refuse_cleaned(archive)
    if archive.status != ENDED:
        return
    remedy = "there is nothing left to do"
    if any(chunk.status == PARKED for chunk in archive.chunks):
        command = f"{settings.command} archive retry {archive.name}"
        remedy = f"its parked chunks can be tried again: {command}"
    raise state.ArchiveError(f"the archive {archive.name} has ended; {remedy}")
