"""Images taken out of the ledger: one that holds any of them is forgotten, and made anew from the tables.

Its order by content has no names, and of several rows of a content any may be the one that was kept: so it
is not mended but made again, by the next run or `moderation ledger`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.maintenance.erasure import steps
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.catalog import open_catalog
from moderation.tables.ledger.layout import (
    Index,
    LedgerDamagedError,
    discard,
    part_uri,
    read_index,
)
from moderation.tables.ledger.orders import BY_NAME, with_etags
from moderation.tables.ledger.runs import Files
from moderation.tables.source_ref_ranges import NAME


def erase_in_ledger(
    s3: Any,
    settings: Settings,
    keys: Collection[str],
    pairs: Collection[tuple[str, str | None]],
    renew: Callable[[], None],
) -> int:
    """Forget a ledger that holds any of the images, or that cannot be read; files that nothing names go.

    :param keys: all entries of these count.
    :param pairs: keys and ETags of images of which other versions stay.
    :returns: how many entries of the images it held.
    """
    index = read_index(s3, settings)
    try:
        gone = _held(settings, index, _Asked(frozenset(keys), frozenset(pairs)), renew)
        if gone or not index.loads:
            discard(s3, settings)
    except LedgerDamagedError:
        gone = 0
        discard(s3, settings)
    steps.reached("ledger")
    named = {file.name for file in read_index(s3, settings).files}
    for entry in list(s3_objects.list_objects(s3, part_uri(settings, ""))):
        name = entry["Key"].rpartition("/")[2]
        if name.endswith(".parquet") and name not in named:
            s3_objects.delete(s3, part_uri(settings, name))
    return gone


@dataclass(frozen=True)
class _Asked:
    keys: frozenset[str]
    pairs: frozenset[tuple[str, str | None]]

    @property
    def refs(self) -> list[str]:
        return sorted({*self.keys, *(ref for ref, _ in self.pairs)})

    def count_in(self, entries: pa.Table) -> int:
        """How many entries of the ledger are of these images."""
        found = with_etags(
            entries.filter(pc.is_in(entries[NAME], value_set=pa.array(self.refs, pa.string())))
        )
        told = zip(found[NAME].to_pylist(), found["etag"].to_pylist(), strict=True)
        return sum(ref in self.keys or (ref, etag) in self.pairs for ref, etag in told)


def _held(settings: Settings, index: Index, asked: _Asked, renew: Callable[[], None]) -> int:
    ordered = [ref.encode() for ref in asked.refs]
    held = 0
    with open_catalog(settings) as catalog:
        files = Files(settings, catalog.properties)
        for part in (part for run in index.runs for part in run):
            renew()
            first, last = part.first.encode(), part.last.encode()
            if any(first <= ref <= last for ref in ordered):
                held += sum(map(asked.count_in, files.stream((part,), BY_NAME)))
    return held
