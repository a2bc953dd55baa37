"""Images taken out of archives that are worked off: the lists of their chunks."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from moderation.archive.backfill import state
from moderation.archive.backfill.state import Archive, Chunk
from moderation.maintenance.erasure import steps
from moderation.maintenance.erasure.plans import OpenRunError
from moderation.maintenance.erasure.wanted import Wanted
from moderation.settings import Settings
from moderation.sources.listing import OBJECTS
from moderation.storage import s3_objects

_ROWS = 10_000


def erase_in_archives(
    s3: Any, settings: Settings, wanted: Wanted, renew: Callable[[], None], *, only_look: bool = False
) -> int:
    """Take images out of the lists of chunks; returns how many entries. May be repeated, also after a kill.

    :param only_look: change nothing.
    :raises OpenRunError: a chunk that is worked off now holds one of them.
    :raises state.ArchiveError: an archive's file is damaged.
    """
    gone = 0
    for name in state.names(settings, s3):
        for chunk in state.read(settings, s3, name).chunks:
            renew()
            changed = _without(s3, settings, name, chunk, wanted, write=not only_look)
            if changed is None:
                continue
            gone += chunk.images - changed.images
            if chunk.is_under_way:
                raise OpenRunError(
                    f"chunk {chunk.number} of the archive {name} is worked off now and holds images that are "
                    f"to be erased; erase when it has ended: `{settings.command} archive pause {name}` "
                    "begins no other"
                )
            if not only_look:
                state.change(settings, s3, name, _putting(changed))
                steps.reached(f"chunk {chunk.number}")
        if not only_look:
            _tidy(s3, settings, name)
    return gone


def _without(
    s3: Any, settings: Settings, name: str, chunk: Chunk, wanted: Wanted, *, write: bool
) -> Chunk | None:
    """The chunk with a list that lacks the images; None when it holds none of them."""
    with tempfile.TemporaryDirectory(prefix="chunk-") as folder:
        old, new = Path(folder) / "old.parquet", Path(folder) / "new.parquet"
        with old.open("wb") as file:
            s3_objects.download(s3, chunk.uri, file)
        images, first, last = 0, "", ""
        with (
            pq.ParquetFile(old, page_checksum_verification=True) as source,
            pq.ParquetWriter(new, OBJECTS, compression="zstd", write_page_checksum=True) as writer,
        ):
            for batch in source.iter_batches(_ROWS, columns=OBJECTS.names):
                rows = _named(batch.cast(OBJECTS))
                kept = rows.filter(pc.invert(wanted.mask(rows)))
                if kept.num_rows:
                    writer.write_batch(kept.select(OBJECTS.names))
                    first = first or kept.column("source_ref")[0].as_py()
                    last = kept.column("source_ref")[-1].as_py()
                    images += kept.num_rows
        if images == chunk.images:
            return None
        with new.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
            file.seek(0)
            uri = f"{state.folder_uri(settings, name)}/chunks/{chunk.number:05d}-{digest}.parquet"
            if write:
                s3_objects.put(s3, uri, file)
    return replace(chunk, uri=uri, images=images, first=first, last=last)


def _named(batch: pa.RecordBatch) -> pa.RecordBatch:
    folders = pc.binary_join_element_wise("s3:/", batch.column("bucket"), "/")
    refs = pc.binary_join_element_wise(folders, batch.column("key"), "/")
    return batch.append_column("source_ref", refs)


def _putting(changed: Chunk) -> Callable[[Archive], Archive]:
    """Puts the list into the archive as it is by then, unless the chunk was begun meanwhile."""

    def put(archive: Archive) -> Archive:
        now = next(chunk for chunk in archive.chunks if chunk.number == changed.number)
        if now.is_under_way:
            raise OpenRunError(
                f"chunk {now.number} of the archive {archive.name} was begun meanwhile; erase when it ends"
            )
        names = ("uri", "images", "first", "last")
        return archive.with_chunk(replace(now, **{name: getattr(changed, name) for name in names}))

    return put


def _tidy(s3: Any, settings: Settings, name: str) -> None:
    """Delete lists that no chunk names: those before, and of tries that were killed."""
    named = {chunk.uri for chunk in state.read(settings, s3, name).chunks}
    folder = f"{state.folder_uri(settings, name)}/chunks/"
    bucket = s3_objects.split_uri(folder).bucket
    for entry in list(s3_objects.list_objects(s3, folder)):
        uri = f"s3://{bucket}/{entry['Key']}"
        if uri not in named:
            s3_objects.delete(s3, uri)
