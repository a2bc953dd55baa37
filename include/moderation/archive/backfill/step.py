"""One step of the conductor: looks at every archive, writes what follows, and says which runs are to begin.

It holds one lease for all archives, so that no two look at once; an archive's file is changed only by whoever
saw what it was, so that what people ask for meanwhile is never lost. Killed anywhere, it is begun again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from moderation.archive.backfill import alone, conductor, outcome, spend, state
from moderation.archive.backfill.conductor import Means, Work
from moderation.archive.backfill.names import DAG_ID, RUN_PREFIX
from moderation.archive.backfill.state import (
    DONE,
    ENDED,
    GOES_ON,
    PARKED,
    PAUSED,
    STOPPED,
    WAITING,
    Archive,
)
from moderation.plan.keeping import renew_of_living
from moderation.reference import limits
from moderation.settings import Settings
from moderation.storage import lease, s3_objects

_LONGEST_REASON = 1_000
"""Characters of why a run failed; its log has all of it."""

log = logging.getLogger(__name__)


class Runs(Protocol):
    """What is known of the runs that work chunks off."""

    def states(self, run_ids: list[str]) -> Mapping[str, str | None]:
        """The state of each as Airflow calls it; None where there is no such run."""
        ...

    def live(self) -> int:
        """How many runs of the Dag have not ended, whoever began them."""
        ...

    def ahead(self, run_ids: list[str]) -> Mapping[str, int | None]:
        """How many manifests of each have no job slot yet; None for one that is not planned yet."""
        ...

    def why(self, run_id: str) -> str:
        """Why a run failed, as far as it was said; "" where nobody knows."""
        ...

    def lives(self, dag_id: str, run_id: str) -> bool:
        """Whether a run of any Dag has not ended."""
        ...


def step(
    runs: Runs,
    *,
    asker: str,
    settings: Settings | None = None,
    now: datetime | None = None,
    only: str | None = None,
) -> list[dict[str, Any]]:
    """Observe, decide and write; return for each run that is to begin its id, its conf, and if it is there.

    :param asker: the conductor's own run; asked once more, it answers the same.
    :param only: the one archive that is looked at; None for all but those that a command works off.
    :raises lease.LeaseBusy: another step is under way; ArchiveError: an archive's file is damaged: the others
        were dealt with.
    """
    settings, now = settings or Settings.from_env(), now or datetime.now(UTC)
    uri = s3_objects.join_uri(settings.work_uri, "locks", "archives.json")
    with s3_objects.open_client(settings) as s3, lease.hold(s3, uri, owner=asker, own_ttl=20.0) as held:
        archives, damaged = _ours(settings, s3, only)
        _keep_claims(settings, s3, archives, runs, now)
        if not any(_is_open(archive) for archive in archives):
            return _unless(damaged, [])
        under_way = [
            (archive, chunk) for archive in archives for chunk in archive.chunks if chunk.is_under_way
        ]
        known = runs.states([archive.run_id(chunk) for archive, chunk in under_way])
        others = runs.live() - sum(found in ("running", "queued", "restarting") for found in known.values())
        observed = []
        for archive in archives:
            seen = _explained(runs, archive, conductor.observe(archive, known, now=now))
            seen = _counted(settings, s3, archive, seen, keep=held.keep)
            observed.append(_written(settings, s3, archive, seen))
        means = _means(settings, observed, now)
        decided, asks = conductor.choose(
            observed, means, others=max(0, others), asker=asker, now=now, work=_work(settings, observed, runs)
        )
        held.renew()  # Whoever took over meanwhile has decided by now: this step ends here.
        for before, after in zip(observed, decided, strict=True):
            if _written(settings, s3, before, after) != after:
                asks = [ask for ask in asks if ask.archive.name != before.name]
    return _unless(damaged, [_as_arguments(ask) for ask in asks])


def begun(run_ids: list[str], *, settings: Settings | None = None) -> None:
    """Note that these runs were begun. May be repeated, and left out: a later step sees it."""
    settings = settings or Settings.from_env()
    wanted = set(run_ids)
    with s3_objects.open_client(settings) as s3:
        for name in sorted({run_id.removeprefix(RUN_PREFIX).rpartition("__")[0] for run_id in wanted}):
            state.change(settings, s3, name, lambda archive: conductor.begun(archive, wanted))


def due(*, settings: Settings | None = None) -> list[str]:
    """Names of the archives that have come to their end and are not reconciled."""
    settings = settings or Settings.from_env()
    with s3_objects.open_client(settings) as s3:
        archives, damaged = state.read_all(settings, s3)
    return _unless(damaged, [archive.name for archive in archives if conductor.is_over(archive)])


def reconcile(
    name: str, *, settings: Settings | None = None, mark: outcome.Mark | None = None
) -> dict[str, Any]:
    """Say of every key of an archive what became of it, and keep that.

    :param mark: keeps what is gone at the source; see `outcome.reconcile`.
    """
    settings = settings or Settings.from_env()
    with s3_objects.open_client(settings, connections=settings.inspect_threads + 4) as s3:
        archive = state.read(settings, s3, name)
        result = outcome.as_json(outcome.reconcile(settings, s3, archive, mark=mark))

        def ended(found: Archive) -> Archive:
            if not conductor.is_over(found):
                return found
            open_ended = any(chunk.status == WAITING for chunk in found.chunks)
            return replace(found, result=result, status=STOPPED if open_ended else ENDED, waits="")

        state.change(settings, s3, name, ended)
    log.info("%s: %s", name, result)
    return result


def _ours(
    settings: Settings, s3: Any, only: str | None
) -> tuple[list[Archive], dict[str, state.ArchiveError]]:
    """The archives that this step is to look at, and those that are damaged."""
    if only is not None:
        archive = state.read(settings, s3, only)
        alone.check(archive)  # Under the lock of all steps: Airflow's last one may have begun a chunk.
        return [archive], {}
    archives, damaged = state.read_all(settings, s3)
    ours = [one for one in archives if not (_is_open(one) and alone.is_held(settings, s3, one.name))]
    return ours, damaged


def _keep_claims(settings: Settings, s3: Any, archives: list[Archive], runs: Runs, now: datetime) -> None:
    """Let no images fall free that somebody works on: those of all runs that live, whoever began them, and of
    chunks that are tried again soon."""
    from moderation.tables.ledger.known import stream_known  # noqa: PLC0415 - Iceberg is slow to import

    soon = {
        (DAG_ID, archive.run_id(chunk))
        for archive in archives
        for chunk in conductor.tried_again_soon(archive, now)
    }
    renew_of_living(
        s3,
        settings,
        lambda dag_id, run_id: (dag_id, run_id) in soon or runs.lives(dag_id, run_id),
        published=stream_known,
    )


def _unless(damaged: Mapping[str, state.ArchiveError], found: list[Any]) -> list[Any]:
    """One damaged archive stops no other; told when there is nothing else to do."""
    for error in damaged.values():
        log.error("%s", error)
    if damaged and not found:
        raise next(iter(damaged.values()))
    return found


def _is_open(archive: Archive) -> bool:
    under_way = any(chunk.is_under_way for chunk in archive.chunks)
    return under_way or (archive.status in (GOES_ON, PAUSED) and not archive.result)


def _explained(runs: Runs, before: Archive, after: Archive) -> Archive:
    """With why the run of each chunk failed that has just ended, and without once it is done."""
    was = {chunk.number: chunk for chunk in before.chunks}
    for chunk in after.chunks:
        if chunk.ended_at != was[chunk.number].ended_at:
            why = "" if chunk.status == DONE else _short(runs.why(after.run_id(chunk)))
            after = after.with_chunk(replace(chunk, reason=why))
    return after


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 1]}…"


def _counted(
    settings: Settings, s3: Any, before: Archive, after: Archive, *, keep: Callable[[], None]
) -> Archive:
    """With what the rows say of each chunk that has just ended."""
    was = {chunk.number: chunk.status for chunk in before.chunks}
    for chunk in after.chunks:
        if chunk.status in (DONE, PARKED) and was[chunk.number] != chunk.status:
            keep()
            try:
                counted = outcome.of_chunk(settings, s3, after, chunk)
            except state.ArchiveError as error:  # Its list is lost; that stops no other chunk or archive.
                log.error("%s", error)
                counted = replace(chunk, reason=_short(str(error)))
            after = after.with_chunk(counted)
    return after


def _means(settings: Settings, archives: list[Archive], now: datetime) -> dict[str, Means]:
    limited = any(archive.options.day_usd or archive.options.month_usd for archive in archives)
    ledger = spend.read(settings, now) if limited else spend.Ledger()
    means = {}
    for archive in archives:
        ahead = next((chunk.images for chunk in archive.chunks if chunk.status == WAITING), 0)
        price = spend.price_of(settings, archive, ahead, ledger, now=now)
        means[archive.name] = Means(spend.spent(settings, archive, ledger, now=now), price)
    return means


def _work(settings: Settings, archives: list[Archive], runs: Runs) -> Work:
    """What the chunks under way have to begin; one that is being planned, all of its manifests."""
    whole = {
        archive.run_id(chunk): -(-chunk.images // settings.manifest_images)
        for archive in archives
        for chunk in archive.chunks
        if chunk.is_under_way
    }
    known = {run_id: left for run_id, left in runs.ahead(list(whole)).items() if left is not None}
    slots = settings.bulk_concurrent_jobs or limits.quotas(settings.region).bulk_concurrent_jobs
    return Work(slots=slots, ahead=whole | known)


def _written(settings: Settings, s3: Any, before: Archive, after: Archive) -> Archive:
    """What stands in S3 then: ``after`` itself, or what people made of the archive meanwhile.

    Their word counts: nothing of this look is written then, and the next one sees it all again.
    """
    if after == before:
        return after
    return state.change(settings, s3, after.name, lambda now: after if now == before else now)


def _as_arguments(ask: conductor.Ask) -> dict[str, Any]:
    options = ask.archive.options
    conf = {
        "source": f"chunk:{ask.chunk.uri}",
        "min_confidence": options.min_confidence,
        "adapter": options.adapter,
        "backend": options.backend,
        "job_name": f"archive-{ask.archive.name}"[:24],
        "inspect": options.inspect,
    }
    return {"trigger_run_id": ask.archive.run_id(ask.chunk), "conf": conf, "reset_dag_run": ask.again}
