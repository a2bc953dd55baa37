"""Which images of a load are gone at their source, as the table `gone` says now.

Unlike a load this changes, so it is looked up again, at most every five seconds and beside the requests: a
page waits a moment for it, and shows what was known last while the tables cannot be read.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import Table

from moderation.console.index.load_index import LoadIndex
from moderation.errors import ModerationError
from moderation.settings import Settings
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.published import scan
from moderation.tables.source_ref_ranges import NAME, range_of
from moderation.tables.standing import GONE

_FRESH_SECONDS = 5.0
_PATIENCE_SECONDS = 0.3

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Marked:
    """Images of one load that are gone.

    :param numbers: theirs in the load's index, in order.
    :param at: of each, when the first listing that did not show it was begun; UTC.
    """

    numbers: np.ndarray
    at: np.ndarray

    def since(self, n: int) -> datetime | None:
        """Since when an image is known to be gone; None for one that is not marked."""
        place = int(np.searchsorted(self.numbers, n))
        if place == len(self.numbers) or self.numbers[place] != n:
            return None
        moment: datetime = self.at[place].astype(datetime)
        return moment.replace(tzinfo=UTC)

    def moments(self) -> list[datetime]:
        """Of each image, since when."""
        return [moment.replace(tzinfo=UTC) for moment in self.at.astype(datetime)]


NONE = Marked(np.empty(0, np.int32), np.empty(0, "datetime64[us]"))


@dataclass
class _Known:
    marked: Marked
    snapshot: int | None
    looked_at: float


class Gone:
    """The table `gone`, as far as it concerns loads that are looked at."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: WeakKeyDictionary[LoadIndex, _Known] = WeakKeyDictionary()
        self._looking: dict[LoadIndex, threading.Thread] = {}
        self._lock = threading.Lock()

    def known(self, index: LoadIndex) -> Marked:
        """What was found last; nothing before the first look."""
        found = self._known.get(index)
        return NONE if found is None else found.marked

    def of(self, index: LoadIndex, *, waits: bool = True) -> Marked:
        """What the table says now, or said some seconds ago.

        :param waits: whether a moment is waited for it where what was known last can be shown instead.
        """
        with self._lock:
            found = self._known.get(index)
            if found is not None and time.monotonic() - found.looked_at < _FRESH_SECONDS:
                return found.marked
            looking = self._looking.get(index)
            if looking is None:
                looking = threading.Thread(target=self._look, args=(index,), name="gone", daemon=True)
                self._looking[index] = looking
                looking.start()
        # The first time there is nothing to show instead, and the load's index was just read from there.
        if found is None or waits:
            looking.join(None if found is None else _PATIENCE_SECONDS)
        return self.known(index)

    def _look(self, index: LoadIndex) -> None:
        before = self._known.get(index) or _Known(NONE, None, 0.0)
        try:
            found = self._read(index, before)
        except (ModerationError, OSError, pa.ArrowException, duckdb.Error) as error:
            _log.warning("images that are gone at their source cannot be told now: %s", error)
            found = _Known(before.marked, before.snapshot, time.monotonic())
        finally:
            with self._lock:
                del self._looking[index]
        self._known[index] = found

    def _read(self, index: LoadIndex, before: _Known) -> _Known:
        began = time.monotonic()
        with open_catalog(self._settings) as catalog:
            table = load_table(catalog, GONE)
            now = table.current_snapshot() if table is not None else None
            snapshot = None if now is None else now.snapshot_id
            marked = before.marked if snapshot == before.snapshot else _marked(index, table)
        return _Known(marked, snapshot, began)


def _marked(index: LoadIndex, table: Table | None) -> Marked:
    numbered = index.columns(f"SELECT {NAME}, n FROM image ORDER BY n")  # noqa: S608 - a name of ours
    names = numbered[NAME].combine_chunks()
    numbers, at = [NONE.numbers], [NONE.at]
    for batch in scan(table, GONE, [NAME, "gone_at"], between=range_of(names)):
        places = pc.index_in(names, value_set=batch.column(NAME).cast(pa.string()))
        here = np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False))
        numbers.append(numbered["n"].to_numpy()[here])
        told = batch.column("gone_at").take(places.take(pa.array(here)))
        at.append(told.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False))
    order = np.argsort(every := np.concatenate(numbers))
    return Marked(every[order], np.concatenate(at)[order])
