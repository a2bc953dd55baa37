"""Texts that are wider than Redshift's columns: COPY of Parquet can neither cut nor skip, it fails the load.

Such a file is copied with these texts cut at the column's width, so that every row arrives. The published
file keeps the whole text, and the log names each column and how many rows are concerned.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from moderation.schema import TableSpec, physical_schema
from moderation.storage import parquet
from moderation.storage.files import Storage
from moderation.tables.faults import open_parquet
from moderation.tables.published import in_types

CUT = "…"
"""What a text that was cut ends with."""

_BATCH_ROWS = 32_768

_log = logging.getLogger(__name__)


def fitting(
    spec: TableSpec,
    table: Table,
    file: DataFile,
    *,
    widths: Mapping[str, int],
    storage: Storage,
    target_uri: str,
    spool: Path,
) -> tuple[str, int]:
    """URI and size of the file, or of a copy whose texts fit; repeated, the copy has the same name.

    :param widths: of the text columns, in bytes of UTF-8.
    :param target_uri: where a copy goes, without a name.
    :param spool: local folder for a copy on its way.
    """
    too_wide = _too_wide(table, file, widths)
    if not too_wide:
        return file.file_path, file.file_size_in_bytes
    for column, rows in sorted(too_wide.items()):
        _log.warning(
            "%s.%s: %s rows have a text of more than %s bytes; Redshift gets its beginning, %s has it whole",
            *(spec.name, column, f"{rows:,}", f"{widths[column]:,}", file.file_path),
        )
    digest = hashlib.sha256(file.file_path.encode()).hexdigest()[:12]
    path = spool / f"{spec.name}-{digest}.parquet"
    types = physical_schema(spec)
    with (
        open_parquet(table, file.file_path) as published,
        parquet.Writer(path, types, compression="zstd", store_schema=False) as writer,
    ):
        for batch in published.iter_batches(_BATCH_ROWS):
            rows = in_types(batch, types)
            columns = [
                _cut(rows.column(name), widths[name]) if name in too_wide else rows.column(name)
                for name in types.names
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=types))
    uri = f"{target_uri}/{path.name}"
    storage.put_file(path, uri)
    return uri, path.stat().st_size


def _too_wide(table: Table, file: DataFile, widths: Mapping[str, int]) -> Counter[str]:
    """How many rows have a text that does not fit, by column."""
    found: Counter[str] = Counter()
    with open_parquet(table, file.file_path) as published:
        present = [name for name in widths if name in published.schema_arrow.names]
        for batch in published.iter_batches(_BATCH_ROWS, columns=present):
            for name in present:
                sizes = pc.binary_length(batch.column(name))
                found[name] += pc.sum(pc.greater(sizes, widths[name])).as_py() or 0
    return +found


def _cut(texts: pa.Array, width: int) -> pa.Array:
    room = width - len(CUT.encode())
    wide = pc.fill_null(pc.greater(pc.binary_length(texts), width), False)
    # At the end of a character: a half one is no UTF-8.
    cut: list[Any] = [
        text.as_py().encode()[:room].decode(errors="ignore") + CUT for text in texts.filter(wide)
    ]
    return pc.replace_with_mask(texts, wide, pa.array(cut, texts.type))
