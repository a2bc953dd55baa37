"""What planning reads of the published rows: the ledger, and of loads that it lacks the tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog

from moderation.schema import IMAGES
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.ledger.layout import Index, LedgerDamagedError, discard, read_index
from moderation.tables.ledger.lookup import Lookup
from moderation.tables.ledger.orders import BY_NAME
from moderation.tables.ledger.runs import Files
from moderation.tables.ledger.upkeep import within
from moderation.tables.published import known_load_ids, scan

_log = logging.getLogger(__name__)

Between = tuple[str, str]


def current(s3: Any, settings: Settings, catalog: Catalog) -> tuple[Index, set[str]]:
    """The ledger as it counts now, and the loads that are published now."""
    # The index first: whatever load it knows was published before.
    index, loads = read_index(s3, settings), known_load_ids(catalog)
    if not index.loads <= loads:
        _log.warning("the ledger knows loads that are not published, so it does not count")
        index = Index(etag=index.etag)
    return index, loads


class Known:
    """The published rows that can settle a question about some images: those of the loads that are published
    when it begins. To be closed by leaving `begin`'s block.
    """

    def __init__(self, settings: Settings, s3: Any, catalog: Catalog, stack: ExitStack) -> None:
        self._settings, self._s3, self._catalog, self._stack = settings, s3, catalog, stack
        self._start()

    @classmethod
    @contextmanager
    def begin(cls, settings: Settings) -> Iterator[Known]:
        """For many questions, best in order of ``source_ref``: catalog, index and files are opened once."""
        with s3_objects.open_client(settings) as s3, open_catalog(settings) as catalog, ExitStack() as stack:
            yield cls(settings, s3, catalog, stack)

    def __call__(
        self,
        settings: Settings,
        columns: Sequence[str],
        *,
        between: Between | None = None,
        names: pa.ChunkedArray | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Some rows twice, others besides.

        :param settings: those it was begun with.
        :param columns: of `layout.COLUMNS`, in the order wanted.
        :param between: rows whose ``source_ref`` is not from the one to the other are not needed.
        :param names: rows of other ``source_ref`` are not needed; without it the tables are read.
        """
        if names is None:
            yield from self._of_tables(columns, self._loads, between)
            return
        found = self._of_ledger(columns, names)
        yield from found
        yield from self._of_tables(columns, self._loads - self._index.loads, between)

    def _start(self) -> None:
        self._index, self._loads = current(self._s3, self._settings, self._catalog)
        files = Files(self._settings, self._catalog.properties)
        self._lookup = self._stack.enter_context(Lookup(files, self._index.runs))

    def _of_ledger(self, columns: Sequence[str], names: pa.ChunkedArray) -> list[pa.RecordBatch]:
        while self._index.loads:
            try:
                return self._lookup.about(columns, names)
            except LedgerDamagedError as error:
                etag = self._index.etag
                self._stack.close()
                if read_index(self._s3, self._settings).etag == etag:
                    _log.warning("%s", error)
                    discard(self._s3, self._settings)
                # Otherwise its runs were merged meanwhile and the old ones deleted.
                self._start()
        return []

    def _of_tables(
        self, columns: Sequence[str], loads: set[str] | frozenset[str], between: Between | None
    ) -> Iterator[pa.RecordBatch]:
        if loads:
            # Loaded each time: a compaction deletes the files of older snapshots.
            table = load_table(self._catalog, IMAGES)
            where = within(sorted(loads))
            # As the ledger has them: whoever reads puts rows of both into one table.
            types = pa.schema([BY_NAME.schema.field(name) for name in columns])
            for batch in scan(table, IMAGES, columns, load_ids=set(loads), where=where, between=between):
                yield batch.cast(types)


class Published:
    """Gives the published rows, as `plan.ledger.PublishedReader` says; `begin` for many questions."""

    begin = staticmethod(Known.begin)

    def __call__(
        self,
        settings: Settings,
        columns: Sequence[str],
        *,
        between: Between | None = None,
        names: pa.ChunkedArray | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """See :meth:`Known.__call__`."""
        with Known.begin(settings) as known:
            yield from known(settings, columns, between=between, names=names)


stream_known = Published()
