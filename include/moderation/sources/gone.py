"""Images that are answered or refused and that a whole listing of their source does not show any more.

Only a source that has shown all of something (`listing.Whole`) says so: never one that is filtered, a list of
keys, or a listing that failed. Listing and ledger are both in order of names and go past each other once, so
this costs what the ledger has below the listed prefix, names alone, and little memory. A listing that is of
some time ago speaks of nothing beyond its first and its last object, as it may be of a smaller prefix than
its bucket, and S3 has the last word on each image. A journal tells what was deleted: there, too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog

from moderation.settings import Settings
from moderation.sources.listing import Tally, Whole
from moderation.storage import s3_objects
from moderation.storage.row_file import PORTION_ROWS, RowFile
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.faults import TablesDamagedError
from moderation.tables.ledger.layout import Index, LedgerDamagedError, Run, read_index
from moderation.tables.ledger.lookup import Lookup
from moderation.tables.ledger.names import NAMES, at_most_below, names_below
from moderation.tables.ledger.runs import Files
from moderation.tables.published import known_load_ids, scan
from moderation.tables.source_ref_ranges import NAME
from moderation.tables.standing import GONE

_MOST_ASKED = 100_000
"""Images about which S3 is asked in one run, at 0.40 USD a million; the others wait for the next listing."""

_MOST_TIMES, _MOST_BESIDES = 4, 2_000_000
"""A listing is held against so many times what it shows, and so many more: a night's cost goes by the night
and not by history, of which a source that is emptied after a while shows ever less."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a listing showed of the images that are known.

    :ivar source: what was listed.
    :ivar at: when that began.
    :ivar missing: names in order: no longer there, and not marked yet.
    :ivar back: names in order: marked, and there again.
    :ivar still: how many others are marked rightly.
    :ivar is_damaged: what is marked cannot be read.
    """

    source: str
    at: datetime
    missing: pa.Array
    back: pa.Array
    still: int
    is_damaged: bool = False

    @property
    def gone(self) -> int:
        """How many known images are not there."""
        return len(self.missing) + self.still


class Besides:
    """Names that a listing shows and that get no row: what is no image, and what was erased."""

    def __init__(self, left_out: RowFile) -> None:
        self._left_out = left_out
        self._erased: list[pa.Array] = []  # on no disk

    def left_out(self, rows: pa.RecordBatch) -> None:
        """Take rows of `listing.LEFT_OUT`."""
        self._left_out.write(rows.select([NAME]))

    def erased(self, rows: pa.RecordBatch) -> None:
        """Take rows of `listing.SCHEMA`."""
        self._erased.append(rows.column(NAME))

    def names(self) -> Iterator[pa.Array]:
        """All of them, in any order."""
        yield from self._erased
        yield from (batch.column(NAME) for batch in self._left_out.batches())


@contextmanager
def shown_besides(tally: Tally, folder: Path) -> Iterator[Besides]:
    """Collect these names while a source is read inside the block.

    :param folder: on the local disk.
    """
    left_out, keep = RowFile(folder / "besides.arrow", NAMES), tally.keep
    found = Besides(left_out)

    def both(rows: pa.RecordBatch) -> None:
        found.left_out(rows)
        if keep:
            keep(rows)

    with left_out.writing():
        tally.keep = both
        yield found
        tally.flush()
    tally.keep = keep


@dataclass(frozen=True)
class Watch:
    """The ledger as it was before a listing began: what another run publishes meanwhile is not held against a
    listing that could not show it.
    """

    settings: Settings
    s3: Any
    index: Index
    at: datetime

    @classmethod
    def begin(cls, settings: Settings, s3: Any) -> Watch:
        """Call it before the listing.

        :raises S3Error: S3 cannot be read.
        """
        return cls(settings, s3, read_index(s3, settings), datetime.now(UTC))

    def look(
        self,
        source: str,
        whole: Whole,
        listed: Iterable[pa.Array],
        besides: Iterable[pa.Array],
        *,
        count: int | None = None,
    ) -> Looked | None:
        """Hold the listing against the ledger.

        :param source: what was listed.
        :param listed: the names that it showed, in order, each once.
        :param besides: further ones that it showed, in any order.
        :param count: how many it showed; None to look whatever it costs.
        :returns: nothing missing where the ledger cannot tell; None where it knows so much more than was
            listed that looking would cost more than the listing.
        :raises S3Error, TablesUnavailableError: S3 or the tables cannot be read.
        """
        if count is not None and whole.deleted is None and self._is_too_much(source, whole.prefix, count):
            return None
        with open_catalog(self.settings) as catalog:
            try:
                marked, is_damaged = _marked(catalog, whole.prefix), False
            except TablesDamagedError as error:
                _log.warning("%s", error)
                marked, is_damaged = pa.array([], pa.string()), True
            missing, back = self._compared(catalog, whole, marked, listed)
        for names in besides:
            there = pc.is_in(missing, value_set=names)
            back = pa.concat_arrays(
                [back, missing.filter(pc.and_(there, pc.is_in(missing, value_set=marked)))]
            )
            missing = missing.filter(pc.invert(there))
        is_marked = pc.is_in(missing, value_set=marked)
        new = missing.filter(pc.invert(is_marked))
        back = back.take(pc.sort_indices(back))
        if not whole.is_now:
            new, back = self._asked(new, is_gone=True), self._asked(back, is_gone=False)
        still = pc.sum(is_marked, min_count=0).as_py()
        return Looked(source=source, at=self.at, missing=new, back=back, still=still, is_damaged=is_damaged)

    def _is_too_much(self, source: str, prefix: str, count: int) -> bool:
        known = at_most_below(self.index.runs, prefix)
        if known <= _MOST_TIMES * count + _MOST_BESIDES:
            return False
        told = "%s shows %d images, up to %d are known below it: those that are gone are not looked for"
        _log.warning(told, source, count, known)
        return True

    def _compared(
        self, catalog: Catalog, whole: Whole, marked: pa.Array, listed: Iterable[pa.Array]
    ) -> tuple[pa.Array, pa.Array]:
        """Names that are known and not listed, and those that are marked and listed."""
        files, runs = Files(self.settings, catalog.properties), self.index.runs
        if not self.index.loads <= known_load_ids(catalog):
            runs = ()
        also = [pa.table([marked], schema=NAMES)] if len(marked) else []
        missing, back = [pa.array([], pa.string())], [pa.array([], pa.string())]
        try:
            if whole.deleted is None:
                names = names_below(files, runs, whole.prefix, also)
            else:
                names = iter([_among(files, runs, whole.deleted, marked)])
            is_bounded = not whole.is_now and whole.deleted is None
            for known, shown in side_by_side(names, listed, is_bounded=is_bounded):
                there = pc.is_in(known, value_set=shown)
                missing.append(known.filter(pc.invert(there)))
                back.append(known.filter(pc.and_(there, pc.is_in(known, value_set=marked))))
        except LedgerDamagedError as error:
            # Or its runs were merged meanwhile; the next whole listing tells the same.
            _log.warning("images gone at the source are not looked for this time: %s", error)
            return missing[0], back[0]
        return pa.concat_arrays(missing), pa.concat_arrays(back)

    def _asked(self, names: pa.Array, *, is_gone: bool) -> pa.Array:
        """Those of which S3 says so now."""
        asked = names[:_MOST_ASKED].to_pylist()
        with ThreadPoolExecutor(self.settings.inspect_threads, thread_name_prefix="gone") as pool:
            said = list(pool.map(lambda uri: _is_gone(self.s3, uri), asked))
        return pa.array([uri for uri, gone in zip(asked, said, strict=True) if gone is is_gone], pa.string())


def _marked(catalog: Catalog, prefix: str) -> pa.Array:
    """The names below a prefix that are marked, in order."""
    parts = [pa.array([], pa.string())]
    # All columns: whatever is damaged is found here, and not first by a warehouse.
    for batch in scan(load_table(catalog, GONE), GONE, GONE.schema.names):
        names = batch.column(NAME).cast(pa.string())
        parts.append(names.filter(pc.starts_with(names, prefix)))
    names = pa.concat_arrays(parts)
    return names.take(pc.sort_indices(names))


def _among(files: Files, runs: Sequence[Run], deleted: pa.Array, marked: pa.Array) -> pa.Array:
    """Those of the deleted that the ledger has, and the marked ones, in order."""
    found = [marked]
    with Lookup(files, runs) as lookup:
        ordered = deleted.take(pc.sort_indices(deleted))
        for start in range(0, len(ordered), PORTION_ROWS):
            found += [
                batch.column(NAME) for batch in lookup.about([NAME], ordered[start : start + PORTION_ROWS])
            ]
    names = pc.unique(pa.concat_arrays([part.cast(pa.string()) for part in found]))
    return names.take(pc.sort_indices(names))


def side_by_side(
    known: Iterator[pa.Array], listed: Iterable[pa.Array], *, is_bounded: bool
) -> Iterator[tuple[pa.Array, pa.Array]]:
    """The known names, each with the part of the listing that would show it.

    :param known: in order; ``listed``: likewise, no part empty.
    :param is_bounded: leave out what is before the first or after the last that is listed.
    """
    portions = iter(listed)
    shown = next(portions, None)
    first = shown[0] if is_bounded and shown is not None else None
    for names in known:
        left = names if first is None else names.filter(pc.greater_equal(names, first))
        while len(left) and shown is not None:
            count = pc.sum(pc.less_equal(left, shown[-1])).as_py()
            yield left[:count], shown
            left = left[count:]
            if len(left):
                shown = next(portions, None)
        if len(left) and not is_bounded:
            yield left, left[:0]


def _is_gone(s3: Any, uri: str) -> bool | None:
    """What S3 says; None where it does not tell: without the right to list it says "forbidden"."""
    bucket, key = s3_objects.split_uri(uri)
    try:
        with s3_objects.named_errors("look up", bucket, key):
            s3.head_object(Bucket=bucket, Key=key)
    except s3_objects.S3Error as error:
        if error.is_missing:
            return True
        if error.code == "403":
            return None
        raise
    return False
