"""Finds what there is to moderate: lists a source, leaves out what is done, looks at the rest."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation import inspection, ledger
from moderation.coverage import Question
from moderation.ledger import PublishedReader
from moderation.listing import SCHEMA, Tally
from moderation.settings import Settings
from moderation.sources import Source

log = logging.getLogger(__name__)


@dataclass
class Discovery:
    """What a source holds and what is known of it.

    :ivar table: rows of :data:`moderation.listing.SCHEMA` still to deal with, in order of ``source_ref``,
        none twice.
    :ivar listed: everything that was found.
    :ivar ignored: of these, no pictures or further mentions of the same object.
    :ivar already_moderated: of these, left out because their answers are published.
    """

    table: pa.Table
    listed: int
    ignored: int
    already_moderated: int = 0

    def leave_out(self, mask: pa.BooleanArray) -> int:
        """Drop the rows that ``mask`` marks; returns how many."""
        before = len(self.table)
        if pc.any(mask, min_count=0).as_py():  # a filter copies the table even if it drops nothing
            self.table = self.table.filter(pc.invert(mask))
        return before - len(self.table)

    def leave_out_published(self, settings: Settings, published: PublishedReader, question: Question) -> None:
        """Drop the rows whose answers are published."""
        if len(self.table):
            rows = published(settings, ledger.COLUMNS)
            done = ledger.already_moderated(self.table, rows, question=question)
            self.already_moderated += self.leave_out(done)


def discover(
    settings: Settings,
    s3: Any,
    source: Source,
    *,
    question: Question,
    published: PublishedReader | None,
    inspect: bool,
    dry_run: bool,
) -> Discovery:
    """List ``source`` and look into the headers of what is new.

    :param published: reads the published rows; None to leave nothing out.
    :param inspect: read the headers of S3 objects; without it only their sizes are judged.
    :param dry_run: change nothing, upload nothing.
    :raises sources.SourceError: the source is not readable; s3.S3Error: S3 is not.
    """
    tally = Tally()
    table = pa.Table.from_batches(source.batches(settings, s3, tally, dry_run=dry_run), schema=SCHEMA)
    candidates = len(table)
    table = _without_duplicates(table)
    found = Discovery(table, tally.listed, tally.ignored + candidates - len(table))
    log.info("%s: %d listed, %d of them may be pictures", source.uri, found.listed, len(table))
    if not inspect or source.checks_headers:
        return found
    if published is not None:
        found.leave_out_published(settings, published, question)
    log.info("reading the headers of %d pictures", inspection.count_due(found.table))
    found.table = inspection.inspect(s3, found.table, threads=settings.inspect_threads)
    return found


def _without_duplicates(table: pa.Table) -> pa.Table:
    """Sorted by ``source_ref``, and of the same ``source_ref`` the newest row only."""
    table = table.sort_by([("source_ref", "ascending"), ("last_modified", "descending")])
    if len(table) < 2:
        return table
    refs = table["source_ref"]
    repeated = pc.equal(refs.slice(1), refs.slice(0, len(refs) - 1)).combine_chunks()
    if not pc.any(repeated).as_py():
        return table
    return table.filter(pa.concat_arrays([pa.array([True]), pc.invert(repeated)]))
