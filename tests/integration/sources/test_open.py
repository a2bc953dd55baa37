from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from datetime import UTC, datetime
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq
import pytest

from moderation.sources.base import SourceError
from moderation.sources.open import open_source
from moderation.sources.s3_prefix import S3Prefix
from moderation.sources.told.inventory import Inventory
from moderation.storage.s3_objects import S3Error

ODD = [
    "odd/a b.jpg",
    "odd/#1.jpg",
    "odd/50%.jpg",
    "odd/%20.jpg",
    "odd/plus+.jpg",
    "odd/\"q'.jpg",
    "odd/new\nline.jpg",
    "odd/tab\tcontrol\x01.jpg",
    "odd/\U0001f600.jpg",
    "odd/e\u0301.jpg",
    "odd/\u00e9.jpg",
    "odd/?&<>.jpg",
    "odd/" + "/".join(["y" * 90] * 10) + "/" + "z" * 80 + ".jpg",
]


def test_odd_keys_are_listed_as_they_are(put, scan, bucket):
    put(*ODD)

    table, tally = scan(S3Prefix(f"s3://{bucket}/odd"))

    assert sorted(table["key"].to_pylist()) == sorted(ODD)
    assert sorted(table["source_ref"].to_pylist()) == sorted(f"s3://{bucket}/{key}" for key in ODD)
    assert set(table["error_code"].to_pylist()) == {None}
    assert (tally.listed, tally.ignored) == (len(ODD), 0)


def test_folder_markers_and_empty_files_of_other_kinds_are_no_rows(put, scan, bucket):
    put("x/marker/", "x/empty.txt", body=b"")
    put("x/notes.txt", "x/pic.jpg", "x/noext")
    put("x/empty.jpg", body=b"")

    table, tally = scan(S3Prefix(f"s3://{bucket}/x/"))

    rows = dict(zip(table["key"].to_pylist(), table["error_code"].to_pylist(), strict=True))
    assert rows == {"x/notes.txt": None, "x/pic.jpg": None, "x/noext": None, "x/empty.jpg": "EmptyFile"}
    assert (tally.listed, tally.ignored) == (6, 2)
    assert tally.by_rule == {"folder marker": 1, "*.txt": 1}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("photos", {"photos/a.jpg", "photos/deep/b.jpg"}),
        ("photos/", {"photos/a.jpg", "photos/deep/b.jpg"}),
        ("photos*", {"photos/a.jpg", "photos/deep/b.jpg", "photos-old/c.jpg"}),
        ("photos/a.jpg", {"photos/a.jpg"}),
        ("nothing", set()),
        ("", {"photos/a.jpg", "photos/deep/b.jpg", "photos-old/c.jpg"}),
    ],
)
def test_a_folder_is_not_mistaken_for_one_whose_name_goes_on(put, scan, bucket, uri, expected):
    put("photos/a.jpg", "photos/deep/b.jpg", "photos-old/c.jpg")

    table, _ = scan(open_source(f"s3://{bucket}/{uri}"))

    assert set(table["key"].to_pylist()) == expected


def test_rows_tell_size_time_and_etag(put, scan, bucket):
    put("one.jpg", body=b"12345")

    (row,) = scan(S3Prefix(f"s3://{bucket}"))[0].to_pylist()

    assert row["etag"] == hashlib.md5(b"12345").hexdigest()
    assert row["size"] == 5
    assert abs((datetime.now(UTC) - row["last_modified"]).total_seconds()) < 120


def test_more_than_one_page_is_listed(put, scan, bucket, monkeypatch, s3_client):
    put(*[f"many/{index}.jpg" for index in range(25)])
    listing = s3_client.list_objects_v2
    monkeypatch.setattr(s3_client, "list_objects_v2", lambda **request: listing(**request, MaxKeys=10))

    assert len(scan(S3Prefix(f"s3://{bucket}/many"))[0]) == 25


def test_a_missing_bucket_is_an_error_not_an_empty_source(scan):
    with pytest.raises(S3Error, match="NoSuchBucket"):
        scan(S3Prefix("s3://no-such-bucket-here/photos"))


@pytest.mark.parametrize("text", ["", "http://example.org/x", "s3://", "gs://b/x"])
def test_a_source_of_no_known_kind_is_refused(text):
    with pytest.raises(SourceError, match="source"):
        open_source(text)


SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag"
ROWS = [
    *[
        ("photos", key, "v1", True, False, 10, "2026-01-02T03:04:05.000Z", f"e{n}")
        for n, key in enumerate(ODD)
    ],
    ("photos", "old version.jpg", "v0", False, False, 10, "2026-01-01T00:00:00.000Z", "e"),
    ("photos", "deleted.jpg", "v2", True, True, 0, "2026-01-01T00:00:00.000Z", ""),
    ("photos", "notes.txt", "v1", True, False, 3, "2026-01-01T00:00:00.000Z", "e"),
    ("photos", "big.jpg", "v1", True, False, 2**40, "2026-01-01T00:00:00.000Z", "e"),
]


def csv_file(rows):
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    for bucket, key, *rest in rows:
        writer.writerow(
            [
                bucket,
                quote_plus(key),
                *(str(value).lower() if isinstance(value, bool) else value for value in rest),
            ]
        )
    return gzip.compress(buffer.getvalue().encode())


def parquet_file(rows):
    names = [
        "bucket",
        "key",
        "version_id",
        "is_latest",
        "is_delete_marker",
        "size",
        "last_modified_date",
        "e_tag",
    ]
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    table = pa.table({name: list(values) for name, values in columns.items()})
    times = pa.array(
        [datetime.fromisoformat(text) for text in columns["last_modified_date"]], pa.timestamp("ms", "UTC")
    )
    table = table.set_column(6, "last_modified_date", times).append_column(
        "storage_class", pa.nulls(len(rows))
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


@pytest.fixture
def report(s3_client, bucket):
    """Write an inventory report of several files; returns its URI."""

    def report(kind, *files, checksum=None, **changes):
        entries = []
        for number, content in enumerate(files):
            key = f"inv/data/{number}.{kind.lower()}"
            s3_client.put_object(Bucket=bucket, Key=key, Body=content)
            entries.append(
                {
                    "key": key,
                    "size": len(content),
                    "MD5checksum": checksum or hashlib.md5(content).hexdigest(),
                }
            )
        manifest = {
            "sourceBucket": "photos",
            "destinationBucket": f"arn:aws:s3:::{bucket}",
            "version": "2016-11-30",
            "fileFormat": kind,
            "fileSchema": SCHEMA,
            "files": entries,
            **changes,
        }
        s3_client.put_object(Bucket=bucket, Key="inv/manifest.json", Body=json.dumps(manifest).encode())
        return f"s3://{bucket}/inv/manifest.json"

    return report


def orc_file(rows):
    table = pq.read_table(io.BytesIO(parquet_file(rows))).drop_columns("storage_class")
    buffer = io.BytesIO()
    pa.orc.write_table(table, buffer, stripe_size=1)
    return buffer.getvalue()


@pytest.mark.parametrize(("kind", "write"), [("CSV", csv_file), ("Parquet", parquet_file), ("ORC", orc_file)])
def test_an_inventory_report_lists_the_latest_versions_under_their_true_keys(report, scan, kind, write):
    uri = report(kind, write(ROWS[:5]), write(ROWS[5:]))

    source = open_source(uri)
    table, tally = scan(source)

    assert isinstance(source, Inventory)
    rows = {row["key"]: row for row in table.to_pylist()}
    assert set(rows) == {*ODD, "big.jpg", "notes.txt"}
    assert rows["big.jpg"]["error_code"] == "ImageTooLarge"
    assert rows[ODD[0]]["etag"] == "e0"
    assert rows[ODD[0]]["last_modified"] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (tally.listed, tally.ignored) == (len(ODD) + 2, 0)


def test_a_damaged_inventory_file_is_named(report, scan):
    with pytest.raises(SourceError, match=r"data/0.csv is damaged: MD5"):
        scan(Inventory(report("CSV", csv_file(ROWS), checksum="0" * 32)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no gzip", "cannot be unpacked"),
        (gzip.compress(b'"photos","a.jpg"\n'), "line 1: 2 columns"),
        (
            csv_file([("photos", "a.jpg", "v", True, False, "ten", "2026-01-01T00:00:00.000Z", "e")]),
            "'a.jpg' cannot",
        ),
        (csv_file([("photos", "a.jpg", "v", True, False, 10, "yesterday", "e")]), "'a.jpg' cannot"),
    ],
    ids=["no gzip", "too few columns", "size is no number", "date is no date"],
)
def test_an_unreadable_inventory_row_is_named(report, scan, content, says):
    with pytest.raises(SourceError, match=says):
        scan(Inventory(report("CSV", content)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fileFormat": "Avro"}, "format Avro"),
        ({"files": "none"}, r"no manifest\.json"),
        ({"fileSchema": None}, r"no manifest\.json"),
        ({"fileSchema": SCHEMA.replace("Size", "Length")}, "Size"),
    ],
)
def test_an_unusable_inventory_manifest_is_named(report, scan, changes, says):
    with pytest.raises(SourceError, match=says):
        scan(Inventory(report("CSV", csv_file(ROWS), **changes)))


def test_an_inventory_without_manifest_is_an_error(scan, bucket):
    with pytest.raises(S3Error, match="NoSuchKey"):
        scan(Inventory(f"s3://{bucket}/inv/manifest.json"))


@pytest.mark.parametrize("kind", ["Parquet", "ORC"])
def test_a_broken_columnar_report_is_named(report, scan, kind):
    with pytest.raises(SourceError, match=f"no readable {kind}"):
        scan(Inventory(report(kind, b"PAR1 not really")))


@pytest.mark.parametrize(
    "bend",
    [
        pytest.param(lambda text: text + b"\r\n", id="blank last line"),
        pytest.param(lambda text: b"\r\n" + text, id="blank first line"),
        pytest.param(lambda text: b"\xef\xbb\xbf" + text, id="byte order mark"),
        pytest.param(lambda text: text.replace(b"\n", b"\n \t\n", 1), id="line of blanks"),
        pytest.param(lambda text: text + b'"",' * (SCHEMA.count(",")) + b'""\n', id="row of nothing"),
        pytest.param(
            lambda text: text.replace(b",", b" ,\t").replace(b"\n", b"  \n"), id="blanks around values"
        ),
    ],
)
def test_what_is_harmless_in_an_inventory_is_forgiven(report, scan, bend):
    bent = gzip.compress(bend(gzip.decompress(csv_file(ROWS))))
    table, tally = scan(Inventory(report("CSV", bent)))
    assert {row["key"] for row in table.to_pylist()} == {*ODD, "big.jpg", "notes.txt"}
    assert (tally.listed, tally.ignored) == (len(ODD) + 2, 0)


@pytest.mark.parametrize("text", ["s3://bucket/photos ", " s3://bucket/photos\n", "\ts3://bucket/photos"])
def test_blanks_around_a_source_mean_nothing(text):
    assert open_source(text) == S3Prefix("s3://bucket/photos")
