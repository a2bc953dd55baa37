"""The whole of an archive in virtual time: the real conductor begins chunks, the real budget holds them back.

Nothing is listed again, written or asked. Chunks that are under way share the pace that the quotas leave. The
conductor takes a chunk for its greatest price; what it pays is the share of its images that are no copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from moderation.archive.backfill import conductor, progress, spend
from moderation.archive.backfill.conductor import Means
from moderation.archive.backfill.spend import Billed, Ledger, Spent
from moderation.archive.backfill.state import DONE, WAITING, Archive, Chunk, Options
from moderation.archive.schedule import Beside, CannotBePlannedError
from moderation.settings import Settings

MOST_CHUNKS = 2_000
_NAME, _ASKER, _NIGHTLY = "dry-run", "dry-run", "nightly"
_LONGEST = timedelta(days=3_660)


@dataclass(frozen=True, kw_only=True)
class Worked:
    """One chunk as it would be worked off.

    :param images: of the archive; ``paid`` of them are sent and paid for.
    :param cost_usd: what it adds to the bill of the month in which it ends.
    """

    number: int
    images: int
    paid: int
    begins: datetime
    ends: datetime
    cost_usd: float


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """All of it.

    :param chunks: by number.
    :param waited: days on which the conductor waited, by what for, such as ``budget of the day``.
    """

    backend: str
    chunks: tuple[Worked, ...]
    waited: dict[str, int]

    @property
    def ends(self) -> datetime:
        """When the last chunk is done."""
        return max(chunk.ends for chunk in self.chunks)

    @property
    def cost_usd(self) -> float:
        """Of all chunks."""
        return sum(chunk.cost_usd for chunk in self.chunks)


def dry_run(
    settings: Settings,
    *,
    images: int,
    paid: int,
    options: Options,
    backend: str,
    pace: float,
    beside: Beside,
    now: datetime,
) -> DryRun:
    """Work an archive off in virtual time.

    :param images: in the archive; ``paid`` of them are paid for.
    :param backend: whose pace it is, to be told.
    :param pace: images a second that the quotas leave.
    :raises CannotBePlannedError: there are too many chunks to be told, or it takes more than ten years.
    :raises moderation.archive.backfill.state.ArchiveError: no chunk fits in the budget.
    """
    if -(-images // options.chunk_images) > MOST_CHUNKS:
        raise CannotBePlannedError(
            f"{images:,} images in chunks of {options.chunk_images:,} are more than {MOST_CHUNKS:,} chunks; "
            f"say --chunk-images {-(-images // MOST_CHUNKS)} or more"
        )
    archive = Archive(name=_NAME, source="", options=options, chunks=tuple(_chunks(images, options)))
    if not images:
        return DryRun(backend=backend, chunks=(), waited={})
    progress.check_budget(settings, archive)
    run = _Run(settings, archive, pace, paid / images, beside, now)
    while any(chunk.status != DONE for chunk in run.archive.chunks):
        run.step()
    return DryRun(backend=backend, chunks=tuple(sorted(run.worked, key=_number)), waited=run.waited)


def _number(chunk: Worked) -> int:
    return chunk.number


def _chunks(images: int, options: Options) -> Iterator[Chunk]:
    for number, before in enumerate(range(0, images, options.chunk_images), 1):
        some = min(options.chunk_images, images - before)
        yield Chunk(number=number, uri="", images=some, first="", last="", status=WAITING)


@dataclass
class _Run:
    """Where the dry run is.

    :ivar left: images that are still to be sent, by number of a chunk under way.
    """

    settings: Settings
    archive: Archive
    pace: float
    share: float
    beside: Beside
    now: datetime
    worked: list[Worked] = field(default_factory=list)
    waited: dict[str, int] = field(default_factory=dict)
    left: dict[int, float] = field(default_factory=dict)
    _billed: list[Billed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begun = self.now
        self._billed.append(Billed(_NIGHTLY, self.now, self.beside.this_month))

    def step(self) -> None:
        """Begin what may be begun, and go to the next moment at which something changes.

        :raises CannotBePlannedError: it takes more than ten years.
        """
        self._ask()
        midnight = spend.begin_of_day(self.now.astimezone(self.archive.options.zone())) + timedelta(days=1)
        ends = min(self.left.values(), default=float("inf")) * max(1, len(self.left)) / self.pace
        until = min(midnight, self.now + timedelta(seconds=min(ends, 2 * 86_400.0)))
        done = (until - self.now).total_seconds() * self.pace / max(1, len(self.left))
        self.left = {number: images - done for number, images in self.left.items()}
        if until == midnight:
            self._billed.append(Billed(_NIGHTLY, until, round(self.beside.a_day)))
            if not self.left:
                why = self.archive.waits.partition(":")[0] or "nothing"
                self.waited[why] = self.waited.get(why, 0) + 1
        self.now = until.astimezone(self.now.tzinfo)
        for number in [number for number, images in self.left.items() if images < 0.5]:
            self._end(number)
        if self.now - self.begun > _LONGEST:
            raise CannotBePlannedError("it would take more than ten years; raise budgets or quotas")

    def _ask(self) -> None:
        while True:
            means = {_NAME: self._means()}
            (archive,), asks = conductor.choose([self.archive], means, others=0, asker=_ASKER, now=self.now)
            new = [ask.chunk for ask in asks if ask.chunk.number not in self.left]
            self.archive = conductor.begun(archive, {archive.run_id(chunk) for chunk in new})
            self.left |= {chunk.number: max(1.0, chunk.images * self.share) for chunk in new}
            if not new:
                return

    def _means(self) -> Means:
        """As the conductor's step finds them; without a budget nobody asks for them."""
        options = self.archive.options
        waiting = next((chunk for chunk in self.archive.chunks if chunk.status == WAITING), None)
        if waiting is None or (options.day_usd is None and options.month_usd is None):
            return Means(spent=Spent(day_usd=0.0, month_usd=0.0, under_way=0.0), next_usd=0.0)
        ledger = self._ledger()
        return Means(
            spent=spend.spent(self.settings, self.archive, ledger, now=self.now),
            next_usd=spend.price_of(self.settings, self.archive, waiting.images, ledger, now=self.now),
        )

    def _end(self, number: int) -> None:
        del self.left[number]
        runs = {
            self.archive.run_id(chunk): "success" if chunk.number == number else "running"
            for chunk in self.archive.chunks
            if chunk.is_under_way
        }
        self.archive = conductor.observe(self.archive, runs, now=self.now)
        chunk = next(one for one in self.archive.chunks if one.number == number)
        paid = round(chunk.images * self.share)
        cost = spend.price_of(self.settings, self.archive, paid, self._ledger(), now=self.now)
        self._billed.append(Billed(self.archive.run_key(chunk), self.now, paid))
        self.worked.append(
            Worked(
                number=number,
                images=chunk.images,
                paid=paid,
                begins=datetime.fromisoformat(chunk.began_at),
                ends=self.now,
                cost_usd=cost,
            )
        )

    def _ledger(self) -> Ledger:
        """Only what a budget of this month can ask about is kept."""
        first = spend.begin_of_month(self.now.astimezone(self.archive.options.zone()))
        self._billed = [one for one in self._billed if one.ended >= first - timedelta(days=2)]
        return Ledger(tuple(self._billed))
