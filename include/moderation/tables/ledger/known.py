"""What planning reads of the published rows: the ledger, and of loads that it lacks the tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyiceberg.catalog import Catalog

from moderation.schema import IMAGES
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.ledger.layout import Index, LedgerDamagedError, discard, read_index
from moderation.tables.ledger.runs import Files
from moderation.tables.ledger.upkeep import within
from moderation.tables.published import known_load_ids, scan

_log = logging.getLogger(__name__)

Between = tuple[str, str]


def stream_known(
    settings: Settings,
    columns: Sequence[str],
    *,
    between: Between | None = None,
    names: pa.ChunkedArray | None = None,
) -> Iterator[pa.RecordBatch]:
    """The published rows that can settle a question about some images; some of them twice, others besides.

    :param columns: of `runs.COLUMNS`, in the order wanted.
    :param between: rows whose ``source_ref`` is not from the one to the other are not needed.
    :param names: rows of other ``source_ref`` are not needed; without it the tables are read.
    """
    with s3_objects.open_client(settings) as s3, open_catalog(settings) as catalog:
        # The index first: whatever load it knows was published before.
        index = read_index(s3, settings) if names is not None and between is not None else Index()
        known = known_load_ids(catalog)
        if not index.loads <= known:
            _log.warning("the ledger knows loads that are not published, so it does not count")
            index = Index()
        found: list[pa.RecordBatch] = []
        if index.loads and names is not None and between is not None:
            wanted = names.cast(pa.string()).combine_chunks()
            try:
                found = Files(settings, catalog.properties).about(index.runs, columns, wanted, between)
            except LedgerDamagedError as error:
                _log.warning("%s", error)
                discard(s3, settings)
                index = Index()
        yield from found
        yield from _of_tables(catalog, columns, sorted(known - index.loads), between)


def _of_tables(
    catalog: Catalog, columns: Sequence[str], load_ids: list[str], between: Between | None
) -> Iterator[pa.RecordBatch]:
    if load_ids:
        table = load_table(catalog, IMAGES)
        yield from scan(
            table, IMAGES, columns, load_ids=set(load_ids), where=within(load_ids), between=between
        )
