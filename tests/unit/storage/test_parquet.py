"""Not a bit of our Parquet files changes unnoticed, and everybody's readers take them for what they are."""

from __future__ import annotations

import io
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moderation.storage import parquet

ROWS = pa.table({"name": [f"a{n}" for n in range(40)], "number": list(range(40)), "kind": ["x", None] * 20})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "rows.parquet"
    with parquet.Writer(target, ROWS.schema, compression="zstd", use_dictionary=["kind"]) as writer:
        for start in (0, 20):
            writer.write_table(ROWS.slice(start, 20), row_group_size=10)
    return target


def read(body: bytes) -> pa.Table:
    with parquet.open_file(io.BytesIO(body)) as file:
        return file.read()


def test_threads_that_share_a_file_read_each_at_its_own_place(path: Path) -> None:
    """DuckDB moves to a place and reads there in two steps, and another of its threads may come between."""
    body = path.read_bytes()
    with pa.OSFile(str(path)) as stream, ThreadPoolExecutor(1) as other:
        file = parquet.Proven(stream, parquet.read_footer(stream))
        file.seek(4)
        other.submit(file.seek, 300).result()
        assert file.read(50) == body[4:54]
        assert other.submit(file.read, 50).result() == body[300:350]
        assert file.tell() == 54


def test_each_flipped_bit_is_an_error_or_changes_nothing(path: Path) -> None:
    body = path.read_bytes()
    assert read(body).equals(ROWS)
    noticed = 0
    chosen = random.Random(7).sample(range(8 * len(body)), 900)
    for bit in chosen:
        spoilt = bytearray(body)
        spoilt[bit // 8] ^= 1 << bit % 8
        try:
            assert read(bytes(spoilt)).equals(ROWS), bit
        except (OSError, pa.ArrowException):
            noticed += 1
    assert noticed > len(chosen) / 2


def test_a_column_chunk_is_proven_without_a_look_at_its_pages(path: Path) -> None:
    body = path.read_bytes()
    chunks = parquet.chunks_of(pq.read_metadata(path))
    assert len(chunks) == 4 * len(ROWS.schema)
    for chunk in chunks:
        content = bytearray(body[chunk.begin : chunk.end])
        chunk.check(bytes(content))
        content[len(content) // 2] ^= 4
        with pytest.raises(pa.ArrowInvalid, match="checksum"):
            chunk.check(bytes(content))


def test_other_readers_read_it_as_ever(path: Path) -> None:
    assert pq.read_table(path).equals(ROWS)
    assert duckdb.read_parquet(str(path)).to_arrow_table().cast(ROWS.schema).equals(ROWS)


def test_a_file_without_checksums_is_read_as_it_was(tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "old.parquet")
    with parquet.open_file(tmp_path / "old.parquet") as file:
        assert file.read().equals(ROWS)
        assert {chunk.checksum for chunk in parquet.chunks_of(file.metadata)} == {None}


def test_a_footer_longer_than_what_is_read_at_once_is_proven_too(tmp_path: Path) -> None:
    wide = pa.table({f"column {number:04}": ["x" * 40] for number in range(700)})
    target = tmp_path / "wide.parquet"
    parquet.write_table(wide, target)
    with parquet.open_file(target) as file:
        assert file.read().equals(wide)
    body = bytearray(target.read_bytes())
    body[-70_000] ^= 1
    with pytest.raises(pa.ArrowInvalid, match="checksum"):
        read(bytes(body))


@pytest.mark.parametrize("kept", [0, 3, 11, 400])
def test_a_file_that_was_cut_off_has_no_rows_to_tell(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    assert parquet.rows_in(path) is None
    with pytest.raises(pa.ArrowInvalid):
        read(path.read_bytes())
