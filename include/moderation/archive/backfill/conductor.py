"""Which chunk is begun next, and what becomes of one that ended: decided from what is known, nothing done.

A chunk goes ``waiting`` → ``asked`` (written before its run is begun) → ``running`` → ``done``. A run that
failed is asked for again, which clears it and so pays nothing twice; after so many times its chunk is
``parked``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from moderation.archive.backfill.spend import Spent
from moderation.archive.backfill.state import (
    ASKED,
    DONE,
    ENDED,
    GOES_ON,
    PARKED,
    PAUSED,
    RUNNING,
    STOPPED,
    WAITING,
    Archive,
    Chunk,
    moment,
)

LEAST_AT_ONCE = 2
"""Chunks under way, of all archives: job slots stay full while one is published."""

MOST_AT_ONCE = 8
"""Half of the runs that Airflow lets go on at once are left to others."""

_AHEAD = 20
"""So many manifests for each job slot are kept ahead: while the last jobs of a chunk go on, and while the
next is listed, the slots are filled from those between. Jobs of two minutes can still be kept up with."""

_HEARD_OF = timedelta(minutes=15)
"""After which a run that was asked for, and that Airflow does not know, was never begun."""

_AFTER_FAILURE = timedelta(minutes=30)
"""Before a chunk that failed is tried again."""

_LIVE = ("running", "queued", "restarting")


@dataclass(frozen=True)
class Ask:
    """A run that is to be begun.

    :param again: there is one that failed: clear it.
    """

    archive: Archive
    chunk: Chunk
    again: bool


@dataclass(frozen=True)
class Means:
    """What an archive may use.

    :param spent: None for an archive without budget.
    :param next_usd: what its next chunk costs at most.
    """

    spent: Spent
    next_usd: float


@dataclass(frozen=True)
class Work:
    """What the runs under way have still to begin.

    :param slots: bulk jobs that the account may have open.
    :param ahead: manifests that have no job slot yet, by run id.
    """

    slots: int
    ahead: Mapping[str, int]

    def is_enough(self, archives: Iterable[Archive]) -> bool:
        """Whether no further chunk is needed to keep the slots full."""
        under_way = sum(_under_way(archive) for archive in archives)
        if LEAST_AT_ONCE <= under_way < MOST_AT_ONCE:
            return sum(self.ahead.values()) >= _AHEAD * self.slots
        return under_way >= MOST_AT_ONCE


NO_WORK = Work(slots=0, ahead={})
"""Of runs of which nothing is known: two are under way."""


def observe(archive: Archive, runs: Mapping[str, str | None], *, now: datetime) -> Archive:
    """The archive after what became of its runs.

    :param runs: state of the run by run id, as Airflow calls it; None or nothing where it knows none.
    """
    if archive.status == PAUSED and archive.paused_until and now >= _at(archive.paused_until):
        archive = replace(archive, status=GOES_ON, paused_until="")
    for chunk in archive.chunks:
        if chunk.is_under_way:
            archive = archive.with_chunk(_after(archive, chunk, runs.get(archive.run_id(chunk)), now))
    return archive


def choose(
    archives: Sequence[Archive],
    means: Mapping[str, Means],
    *,
    others: int,
    asker: str,
    now: datetime,
    work: Work = NO_WORK,
) -> tuple[list[Archive], list[Ask]]:
    """The archives as they are to be written, and the runs that are to be begun after that.

    :param archives: as observed.
    :param others: runs of the Dag that work off no archive and have not ended; while there are any, nothing
        is begun.
    :param asker: the conductor's own run: asked once more, it asks for the same.
    :param work: of the runs under way; what is begun here counts from the next look on.
    """
    found = {archive.name: archive for archive in archives}
    asks = [
        Ask(archive, chunk, again=chunk.tries > 1)
        for archive in archives
        for chunk in archive.chunks
        if chunk.status == ASKED and chunk.asked_by == asker
    ]
    waits = {name: _waits(archive, means, others, now) for name, archive in found.items()}
    while True:
        able = [name for name in found if not waits[name]]
        if not able:
            break
        # Who has fewest under way is next, so that two archives share the slots; then who asked longest ago.
        name = min(able, key=lambda one: (_under_way(found[one]), _last_asked(found[one]), one))
        if work.is_enough(found.values()):
            waits |= dict.fromkeys(able, "")
            break
        archive = found[name]
        chunk = next(chunk for chunk in archive.chunks if _is_ready(chunk, now))
        asked = replace(
            chunk, status=ASKED, tries=chunk.tries + 1, asked_at=now.isoformat(), asked_by=asker, ended_at=""
        )
        asked = replace(asked, began_at=chunk.began_at or now.isoformat())
        found[name] = archive.with_chunk(asked)
        asks.append(Ask(found[name], asked, again=asked.tries > 1))
        # One a step and archive: the next step knows what it costs.
        waits[name] = "its next chunk is begun at the next look"
    said = {name: "" if _has(archive, ASKED) else waits[name] for name, archive in found.items()}
    return [replace(archive, waits=said[name]) for name, archive in found.items()], asks


def is_over(archive: Archive) -> bool:
    """Whether nothing is left to be done but to reconcile it."""
    if archive.result or _under_way(archive):
        return False
    return archive.status == STOPPED or not _has(archive, WAITING)


def tried_again_soon(archive: Archive, now: datetime) -> list[Chunk]:
    """Chunks that have failed and only wait for their next try: what their runs have planned stays theirs."""
    if archive.status != GOES_ON:
        return []
    return [
        chunk
        for chunk in archive.chunks
        if chunk.status == WAITING and chunk.tries and not _is_ready(chunk, now)
    ]


def begun(archive: Archive, run_ids: set[str]) -> Archive:
    """The archive when these runs were begun."""
    for chunk in archive.chunks:
        if chunk.status == ASKED and archive.run_id(chunk) in run_ids:
            archive = archive.with_chunk(replace(chunk, status=RUNNING))
    return archive


def retried(archive: Archive, numbers: set[int] | None) -> Archive:
    """The archive with parked chunks taken up again; None for all of them.

    One that had ended goes on; one that is paused or stopped stays so until it is resumed.
    """
    for chunk in archive.chunks:
        if chunk.status == PARKED and (numbers is None or chunk.number in numbers):
            # One try is behind it: its run is there, and is cleared.
            archive = archive.with_chunk(replace(chunk, status=WAITING, tries=1, ended_at=""))
    if archive.status == ENDED and _has(archive, WAITING):
        return replace(archive, status=GOES_ON, result={})
    return archive


def _after(archive: Archive, chunk: Chunk, state: str | None, now: datetime) -> Chunk:
    asked = _at(chunk.asked_at)
    if state in _LIVE:
        return replace(chunk, status=RUNNING)
    if state == "success":
        return replace(chunk, status=DONE, ended_at=now.isoformat())
    if chunk.status == ASKED and now - asked < _HEARD_OF:
        return chunk  # about to be begun, or to be cleared
    if state is None or chunk.status == ASKED:
        # Never begun, or forgotten by Airflow: the same try once more, which is the same run.
        return replace(chunk, status=WAITING, tries=chunk.tries - 1)
    if chunk.tries >= archive.options.tries:
        return replace(chunk, status=PARKED, ended_at=now.isoformat())
    return replace(chunk, status=WAITING, ended_at=now.isoformat())


def _is_ready(chunk: Chunk, now: datetime) -> bool:
    """Whether it may be begun: one that failed waits first, each time twice as long."""
    if chunk.status != WAITING:
        return False
    return not chunk.ended_at or now - _at(chunk.ended_at) >= _AFTER_FAILURE * 2 ** (chunk.tries - 1)


def _waits(archive: Archive, means: Mapping[str, Means], others: int, now: datetime) -> str:
    """Why no chunk is begun; "" if one may."""
    if archive.status != GOES_ON:
        return f"{archive.status} until {archive.paused_until}" if archive.paused_until else archive.status
    if not _has(archive, WAITING):
        return "no chunk waits"
    if not any(_is_ready(chunk, now) for chunk in archive.chunks):
        return "what is left has failed, and is tried again later"
    if others:
        return f"{others} other runs of moderate_images have not ended; they go first"
    options, has = archive.options, means[archive.name]
    for name, limit, spent in (
        ("day", options.day_usd, has.spent.day_usd),
        ("month", options.month_usd, has.spent.month_usd),
    ):
        would = spent + has.spent.under_way + has.next_usd
        if limit is not None and would > limit:
            told = f"budget of the {name}: {_usd(spent)} USD paid, {_usd(has.spent.under_way)} under way"
            return f"{told}, the next chunk {_usd(has.next_usd)}, limit {_usd(limit)}"
    return ""


def _usd(amount: float) -> str:
    """With cents; what is less than a dollar with four digits, so that no limit looks kept that is not."""
    return f"{amount:,.2f}" if amount >= 1 or amount == 0 else f"{amount:.4f}"


def _under_way(archive: Archive) -> int:
    return sum(chunk.is_under_way for chunk in archive.chunks)


def _has(archive: Archive, status: str) -> bool:
    return any(chunk.status == status for chunk in archive.chunks)


def _last_asked(archive: Archive) -> str:
    return max(chunk.asked_at for chunk in archive.chunks)


def _at(text: str) -> datetime:
    return moment(text) or datetime.min.replace(tzinfo=UTC)
