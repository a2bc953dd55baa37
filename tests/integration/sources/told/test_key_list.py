from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moderation.sources.base import SourceError
from moderation.sources.open import open_source
from moderation.storage.s3_objects import S3Error

KEYS = ["a.jpg", "deep/50%.jpg", "plus+ and,comma.jpg", "é#?.jpg"]


def as_csv(refs):
    return "source_ref\n" + "".join(f'"{ref}"\r\n' for ref in refs)


def as_parts(refs):
    return "﻿bucket,key\n" + "".join(f'photos,"{ref[len("s3://photos/") :]}"\n' for ref in refs)


def as_manifest(refs):
    return "".join(json.dumps({"source-ref": ref}) + "\n" for ref in refs)


@pytest.fixture
def kept(s3_client, bucket, tmp_path):
    """Put a list somewhere; returns where."""

    def kept(place, name, body):
        if place == "s3":
            s3_client.put_object(Bucket=bucket, Key=f"lists/{name}", Body=body)
            return f"s3://{bucket}/lists/{name}"
        (tmp_path / name).write_bytes(body)
        return str(tmp_path / name)

    return kept


@pytest.mark.parametrize(
    ("name", "write"),
    [("k.txt", "\n".join), ("k.csv", as_csv), ("parts.csv", as_parts), ("K.JSONL", as_manifest)],
)
@pytest.mark.parametrize("place", ["s3", "disk"])
def test_what_a_file_names_is_listed_under_its_true_key(kept, scan, name, write, place):
    refs = [f"s3://photos/{key}" for key in KEYS]

    table, tally = scan(open_source(f"list:{kept(place, name, write(refs).encode())}"))

    assert table["source_ref"].to_pylist() == refs
    assert table["key"].to_pylist() == KEYS
    assert table["etag"].null_count == len(KEYS)
    assert tally.listed == len(KEYS)


def test_a_parquet_file_is_a_list(tmp_path, scan):
    pq.write_table(
        pa.table({"other": [1, 2], "uri": ["s3://b/x.jpg", "s3://b/y.jpg"]}), tmp_path / "k.parquet"
    )
    table, _ = scan(open_source(f"list:{tmp_path / 'k.parquet'}"))
    assert table["key"].to_pylist() == ["x.jpg", "y.jpg"]


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("k.txt", b"s3://b/a.jpg\n\nphotos/b.jpg\n", "line 3: 'photos/b.jpg' is not an S3 URI"),
        ("k.txt", b"s3://b\n", "line 1: 's3://b' names a bucket"),
        ("k.csv", b"name,size\na.jpg,3\n", "line 2: expected a column source_ref"),
        ("k.csv", b"bucket,key\nphotos,\n", "line 2: expected a column"),
        ("k.jsonl", b'{"source-ref": "s3://b/a.jpg"}\n{"source-ref"\n', "line 2: is no JSON"),
        ("k.jsonl", b"[1]\n", "line 1: expected"),
        ("k.txt", b"\xff\xfe", "is not UTF-8"),
        ("k.parquet", b"PAR1", "no readable Parquet"),
        ("k.xlsx", b"", r"a list ends in \.txt, \.csv, \.jsonl, \.parquet"),
    ],
)
def test_a_line_that_names_no_object_is_named_before_anything_is_paid(tmp_path, scan, name, body, says):
    (tmp_path / name).write_bytes(body)
    with pytest.raises(SourceError, match=says):
        scan(open_source(f"list:{tmp_path / name}"))


def test_a_list_that_is_not_there_is_an_error(tmp_path, scan, bucket):
    with pytest.raises(SourceError, match="cannot be read"):
        scan(open_source(f"list:{tmp_path / 'none.txt'}"))
    with pytest.raises(S3Error, match="NoSuchKey"):
        scan(open_source(f"list:s3://{bucket}/none.txt"))
