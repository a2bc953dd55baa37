"""Images taken out of the ledger: the parts that hold them are written anew, the others stay."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.maintenance.erasure import steps
from moderation.settings import Settings
from moderation.storage import parquet, s3_objects, scratch
from moderation.tables.catalog import open_catalog
from moderation.tables.ledger.layout import (
    Index,
    LedgerDamagedError,
    Part,
    Run,
    discard,
    part_uri,
    read_index,
    write_index,
)
from moderation.tables.ledger.runs import Files, write_run
from moderation.tables.source_ref_ranges import NAME

_ATTEMPTS = 5


def erase_in_ledger(
    s3: Any,
    settings: Settings,
    keys: Collection[str],
    pairs: Collection[tuple[str, str | None]],
    renew: Callable[[], None],
) -> int:
    """Take images out of the ledger; a damaged one is forgotten, and made anew from the tables.

    What a reader of the older index misses then it reads from the tables.

    :param keys: all entries of these go.
    :param pairs: keys and ETags of images of which other versions stay.
    :returns: how many entries are gone.
    """
    gone = 0
    asked = _Asked(frozenset(keys), frozenset(pairs))
    for _ in range(_ATTEMPTS):
        before = read_index(s3, settings)
        if not before.runs:
            break
        try:
            after, gone = _without(s3, settings, before, asked, renew)
        except LedgerDamagedError:
            discard(s3, settings)
            break
        if after == before or write_index(s3, settings, after):
            break
    else:
        discard(s3, settings)  # others changed it all the time; the next run makes it anew
    steps.reached("ledger")
    _delete_replaced(s3, settings, asked)
    return gone


@dataclass(frozen=True)
class _Asked:
    keys: frozenset[str]
    pairs: frozenset[tuple[str, str | None]]

    @property
    def refs(self) -> list[str]:
        return sorted({*self.keys, *(ref for ref, _ in self.pairs)})

    def mask(self, entries: pa.Table) -> pa.BooleanArray:
        """Which entries of the ledger go."""
        likely = pc.is_in(entries[NAME], value_set=pa.array(self.refs, pa.string()))
        found = [False] * len(entries)
        for index in pc.indices_nonzero(likely).to_pylist():
            ref, etag = entries[NAME][index].as_py(), entries["etag"][index].as_py()
            found[index] = ref in self.keys or (ref, etag) in self.pairs
        return pa.array(found, pa.bool_())


def _delete_replaced(s3: Any, settings: Settings, asked: _Asked) -> None:
    """Delete parts that the index does not name and that hold one of the images, also of killed tries."""
    named = {part.name for run in read_index(s3, settings).runs for part in run}
    for entry in list(s3_objects.list_objects(s3, part_uri(settings, ""))):
        name = entry["Key"].rpartition("/")[2]
        if not name.endswith(".parquet") or name in named:
            continue
        uri = part_uri(settings, name)
        with tempfile.TemporaryFile() as copy:
            try:
                s3_objects.download(s3, uri, copy)
                with parquet.open_file(copy) as file:
                    batches = map(pa.Table.from_batches, ([batch] for batch in file.iter_batches()))
                    holds = any(pc.any(asked.mask(rows), min_count=0).as_py() for rows in batches)
            except (OSError, pa.ArrowException):
                holds = True  # nobody can read it, and nothing names it
        if holds:
            s3_objects.delete(s3, uri)


def _without(
    s3: Any, settings: Settings, index: Index, asked: _Asked, renew: Callable[[], None]
) -> tuple[Index, int]:
    ordered = [ref.encode() for ref in asked.refs]
    runs: list[Run] = []
    gone = 0
    with open_catalog(settings) as catalog, scratch.folder(None, "erase") as folder:
        files = Files(settings, catalog.properties)
        for run in index.runs:
            parts: list[Part] = []
            for part in run:
                renew()
                first, last = part.first.encode(), part.last.encode()
                if not any(first <= ref <= last for ref in ordered):
                    parts.append(part)
                    continue
                written = write_run(s3, settings, _others(files, part, asked), folder)
                lost = part.rows - sum(one.rows for one in written)
                gone += lost
                parts += written if lost else (part,)
            if parts:
                runs.append(tuple(parts))
    if not gone:
        return index, 0
    return replace(index, runs=tuple(runs)), gone


def _others(files: Files, part: Part, asked: _Asked) -> Iterator[pa.Table]:
    for table in files.stream((part,)):
        kept = table.filter(pc.invert(asked.mask(table)))
        if kept.num_rows:
            yield kept
