"""Finds what there is to moderate: lists a source, leaves out what is done, looks at the rest."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.plan import ledger
from moderation.plan.content.deduplicate import distinct
from moderation.plan.ledger import PublishedReader, Question
from moderation.schema import MODERATED
from moderation.settings import Settings
from moderation.sources import inspection
from moderation.sources.base import Source
from moderation.sources.gone import Besides, Looked, Watch, shown_besides
from moderation.sources.listing import ERASED, LEFT_OUT, MENTIONED_AGAIN, SCHEMA, Tally
from moderation.sources.positions import Position
from moderation.storage import tombstones
from moderation.storage.memory import give_back_freed_memory
from moderation.storage.row_file import RowFile
from moderation.storage.tombstones import Tombstones
from moderation.tables.ledger.layout import COLUMNS
from moderation.tables.source_ref_ranges import range_of

if TYPE_CHECKING:
    from moderation.sources.decoding.staging import Staging

log = logging.getLogger(__name__)


@dataclass
class Discovery:
    """What a source holds and what is known of it.

    :ivar rows: rows of :data:`listing.SCHEMA` still to deal with, in order of ``source_ref``,
        none twice; on the local disk.
    :ivar listed: everything that was found.
    :ivar left_out: rows of :data:`listing.LEFT_OUT`: what of it is no image; on the local disk.
    :ivar by_rule: how much each rule left out, further mentions of the same object among it.
    :ivar gone: what was erased on request, and is left out.
    :ivar looked: what the listing shows of the images that are known; None where it is of no whole, or where
        history below it is many times the listing.
    :ivar reached: how far a source that tells of changes was read.
    :ivar transcoded: images of other formats that were staged as JPEG.
    :ivar already_moderated: of these, left out because their answers are published.
    :ivar refused_before: of these, left out because they were refused for good and have not changed, by code.
    """

    rows: RowFile
    listed: int
    left_out: RowFile
    by_rule: Counter[str]
    gone: Tombstones = field(default_factory=Tombstones)
    looked: Looked | None = None
    reached: Position | None = None
    transcoded: int = 0
    already_moderated: int = 0
    refused_before: Counter[str] = field(default_factory=Counter)

    def without_published(
        self, portion: pa.Table, settings: Settings, published: PublishedReader, question: Question
    ) -> pa.Table:
        """The rows of a portion that are neither answered nor refused for good; counts the others."""
        between = range_of(portion["source_ref"])
        if between is None:
            return portion
        rows = published(settings, COLUMNS, between=between, names=portion["source_ref"])
        settled = ledger.settled(portion, rows, question=question)
        counts = Counter({entry["values"]: entry["counts"] for entry in pc.value_counts(settled).to_pylist()})
        del counts[None]
        self.already_moderated += counts.pop(MODERATED, 0)
        self.refused_before += counts
        return leave_out(portion, pc.is_valid(settled))

    def without_erased(self, portion: pa.Table, gone: Tombstones) -> pa.Table:
        """The rows of a portion that were not erased either since the listing began; counts the others."""
        if gone == self.gone:
            return portion
        kept = leave_out(portion, gone.mask(portion))
        if erased := len(portion) - len(kept):
            self.by_rule[ERASED] += erased
        return kept

    def change(self, of_portion: Callable[[pa.Table], pa.Table], name: str) -> None:
        """Put what is made of each portion in its place.

        :param name: of the new file.
        """
        changed = RowFile(self.rows.path.with_name(name), SCHEMA)
        with changed.writing():
            for portion in self.rows.portions():
                changed.write(of_portion(portion))
        self.rows.delete()
        self.rows = changed


def leave_out(table: pa.Table, mask: pa.BooleanArray) -> pa.Table:
    """The rows that ``mask`` does not mark."""
    if not pc.any(mask, min_count=0).as_py():  # a filter copies the table even if it drops nothing
        return table
    return table.filter(pc.invert(mask))


def discover(
    settings: Settings,
    s3: Any,
    source: Source,
    *,
    question: Question,
    published: PublishedReader | None,
    inspect: bool,
    dry_run: bool,
    folder: Path,
    since: Position | None = None,
    staging: Staging | None = None,
) -> Discovery:
    """List ``source`` and look into the headers of what is new.

    :param published: reads the published rows; None to leave nothing out.
    :param inspect: read the headers of S3 objects; without it only their sizes are judged.
    :param dry_run: change nothing, upload nothing.
    :param since: how far a source that tells of changes was read before.
    :param folder: an empty one on the local disk, for the listing; memory holds a portion of it.
    :param staging: where images of other formats are brought as JPEG; None to reject them.
    :raises sources.SourceError: the source is not readable; s3.S3Error: S3 is not.
    """
    give_back_freed_memory()
    left_out, gone = RowFile(folder / "left-out.arrow", LEFT_OUT), tombstones.load(s3, settings)
    with left_out.writing():
        tally = Tally(
            names=settings.no_image_names,
            unread=not (inspect or source.checks_headers),
            keep=lambda rows: left_out.write(gone.without(rows)),
            since=since,
        )
        watch = Watch.begin(settings, s3)
        with shown_besides(tally, folder) as besides:
            listed = source.batches(settings, s3, tally, dry_run=dry_run)
            rows, mentioned_again = distinct(_without_erased(listed, gone, tally, besides), folder)
        if mentioned_again:
            tally.by_rule[MENTIONED_AGAIN] = mentioned_again
        found = Discovery(rows, tally.listed, left_out, tally.by_rule, gone, reached=tally.reached)
        log.info("%s: %d listed, %d of them may be images", source.uri, found.listed, rows.rows)
        if tally.whole:
            names = (portion["source_ref"].combine_chunks() for portion in rows.portions())
            found.looked = watch.look(source.uri, tally.whole, names, besides.names(), count=found.listed)
        reads = inspect and not source.checks_headers
        refusals = inspection.Refusals()
        staging = staging if inspect else None
        if (reads or staging) and published is not None:
            with ledger.begun(published, settings) as begun:
                found.change(
                    lambda portion: found.without_published(portion, settings, begun, question), "new.arrow"
                )
        if reads:
            _look_into(found, s3, tally, refusals, threads=settings.inspect_threads)
        if staging:
            found.change(lambda portion: staging.bring(portion, refusals), "staged.arrow")
            refusals.conclude()
            found.transcoded = staging.brought
        tally.flush()
    return found


def _without_erased(
    listed: Iterable[pa.RecordBatch], gone: Tombstones, tally: Tally, besides: Besides
) -> Iterator[pa.RecordBatch]:
    """The listing without what was erased on request, which is counted and named nowhere."""
    for batch in listed:
        kept = gone.without(batch)
        if erased := batch.num_rows - kept.num_rows:
            tally.by_rule[ERASED] += erased
            besides.erased(batch.filter(gone.mask(batch)))
        yield kept


def _look_into(
    found: Discovery, s3: Any, tally: Tally, refusals: inspection.Refusals, *, threads: int
) -> None:
    """Read the headers of what was found."""
    due = sum(map(inspection.count_due, found.rows.portions()))
    log.info("reading the headers of %d objects", due)
    if due:
        found.change(
            lambda portion: inspection.inspect(s3, portion, threads=threads, refusals=refusals, tally=tally),
            "inspected.arrow",
        )
        refusals.conclude()
