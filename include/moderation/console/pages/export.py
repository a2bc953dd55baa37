"""A selection as a file: CSV, Parquet, or the manifest of another job."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response, StreamingResponse

from moderation.console.index.selection import Selection
from moderation.console.shared import Shared
from moderation.query import formats

_ROWS = 20_000
_BLOCK = 1 << 20

router = APIRouter()


@router.get("/jobs/{load_id}/export.{kind}", name="export")
def export(request: Request, load_id: str, kind: str) -> Response:
    """All images of the selection, each copy a row.

    ``csv`` has an apostrophe before cells that a spreadsheet would take for a formula; ``jsonl`` is a
    manifest for a bulk job, of what lies in S3. Images that are marked as severe are left out.
    ``gone_at`` tells since when an image is known to be gone at its source.
    """
    if kind not in _WRITERS:
        raise HTTPException(404, f"A selection can be had as {', '.join(_WRITERS)}.")
    shared: Shared = request.app.state.shared
    found = shared.found(load_id, looked=True)
    sql, parameters = found.export_sql(Selection.parse(request.query_params), without=shared.severe())
    write, media_type = _WRITERS[kind]
    with tempfile.TemporaryDirectory(prefix="moderation-export-") as folder:
        target = Path(folder) / f"selection.{kind}"
        with found.index.relation(sql, parameters) as rows:
            write(rows, target)
        file = target.open("rb")  # It is there until it is closed, though its name is gone.
    headers = {"Content-Disposition": f'attachment; filename="{load_id}.{kind}"'}
    return StreamingResponse(_blocks(file), media_type=media_type, headers=headers)


def _blocks(file: Any) -> Iterator[bytes]:
    with file:
        while block := file.read(_BLOCK):
            yield block


def _parquet(rows: duckdb.DuckDBPyRelation, target: Path) -> None:
    reader = rows.to_arrow_reader(_ROWS)
    with pq.ParquetWriter(target, reader.schema, compression="zstd", write_page_checksum=True) as writer:
        for batch in reader:
            writer.write_batch(batch)


def _manifest(rows: duckdb.DuckDBPyRelation, target: Path) -> None:
    with target.open("wb") as file:
        for batch in rows.to_arrow_reader(_ROWS):
            for source_ref in batch.column("source_ref").to_pylist():
                if source_ref.startswith("s3://"):
                    line = json.dumps({"source-ref": source_ref}, ensure_ascii=False)
                    file.write(line.encode("utf-8", "surrogatepass") + b"\n")


_csv = partial(formats.write, as_format=formats.Format.CSV, safe_cells=True)
_WRITERS: dict[str, tuple[Callable[[duckdb.DuckDBPyRelation, Path], object], str]] = {
    "csv": (_csv, "text/csv; charset=utf-8"),
    "parquet": (_parquet, "application/vnd.apache.parquet"),
    "jsonl": (_manifest, "application/jsonl; charset=utf-8"),
}
