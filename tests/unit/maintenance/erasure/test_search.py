from __future__ import annotations

import gzip
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.avro.file import AvroOutputFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record
from pyiceberg.types import NestedField, StringType

from moderation.maintenance.erasure.search import names_any

KEY = "s3://archive/a/long/name/of/one.jpg"
TEXTS = {KEY.encode()}


def parquet(value: str) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"source_ref": [value] * 50, "n": range(50)}), file, compression="zstd")
    return file.getvalue()


def avro(value: str, folder: str) -> bytes:
    schema = Schema(NestedField(1, "source_ref", StringType(), required=True))
    path = f"{folder}/one.avro"
    with AvroOutputFile[Record](PyArrowFileIO().new_output(path), schema, "entry") as file:
        file.write_block([Record(value)])
    with open(path, "rb") as written:
        return written.read()


@pytest.mark.parametrize("value", [KEY, "s3://archive/another.jpg"])
def test_a_name_is_found_in_files_whose_bytes_are_packed(
    value: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = str(tmp_path_factory.mktemp("avro"))
    bodies = [parquet(value), avro(value, folder), gzip.compress(value.encode()), f'"{value}"'.encode()]
    assert [names_any(body, TEXTS) for body in bodies] == [value == KEY] * len(bodies)


@pytest.mark.parametrize("body", [b"PAR1 broken", b"Obj\x01 broken", b"\x1f\x8b broken", b""])
def test_a_damaged_file_is_searched_as_it_lies(body: bytes) -> None:
    assert not names_any(body, TEXTS)
    assert names_any(body + KEY.encode(), TEXTS)
