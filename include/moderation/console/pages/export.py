"""A selection as a file: CSV, Parquet, or the manifest of another job."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response, StreamingResponse

from moderation.console.index.selection import Selection
from moderation.console.shared import Shared

_ROWS = 20_000
_BLOCK = 1 << 20
_FORMULA = "=+-@\t\r"

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
    file = tempfile.SpooledTemporaryFile(max_size=8 * _BLOCK)  # noqa: SIM115 - closed when it is sent
    with found.index.batches(sql, parameters, _ROWS) as reader:
        write(reader, file)
    headers = {"Content-Disposition": f'attachment; filename="{load_id}.{kind}"'}
    return StreamingResponse(_blocks(file), media_type=media_type, headers=headers)


def _blocks(file: Any) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while block := file.read(_BLOCK):
            yield block


def _csv(reader: pa.RecordBatchReader, file: IO[bytes]) -> None:
    first = True
    for batch in reader:
        frame = batch.to_pandas()
        for name in frame.columns:
            if pd.api.types.is_object_dtype(frame[name]) or pd.api.types.is_string_dtype(frame[name]):
                frame[name] = frame[name].map(_harmless, na_action="ignore")
        text = frame.to_csv(index=False, header=first)
        file.write(text.encode("utf-8", "surrogatepass"))
        first = False


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] and text[0] in _FORMULA else text


def _parquet(reader: pa.RecordBatchReader, file: IO[bytes]) -> None:
    with pq.ParquetWriter(file, reader.schema, compression="zstd", write_page_checksum=True) as writer:
        for batch in reader:
            writer.write_batch(batch)


def _manifest(reader: pa.RecordBatchReader, file: IO[bytes]) -> None:
    for batch in reader:
        for source_ref in batch.column("source_ref").to_pylist():
            if source_ref.startswith("s3://"):
                line = json.dumps({"source-ref": source_ref}, ensure_ascii=False)
                file.write(line.encode("utf-8", "surrogatepass") + b"\n")


_WRITERS = {
    "csv": (_csv, "text/csv; charset=utf-8"),
    "parquet": (_parquet, "application/vnd.apache.parquet"),
    "jsonl": (_manifest, "application/jsonl; charset=utf-8"),
}
