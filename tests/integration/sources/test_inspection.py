from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError

from local_aws import ports
from moderation.sources.inspection import Refusals, count_due, inspect
from moderation.sources.listing import SCHEMA, Tally
from moderation.sources.s3_prefix import S3Prefix
from moderation.storage import s3_objects
from moderation.storage.s3_objects import S3Error
from support import pictures
from support.odd_s3 import MODIFIED, refusal, serving, whole


def inspected(s3_client, table):
    return {row["key"]: row for row in inspect(s3_client, table, threads=4).to_pylist()}


def test_each_picture_gets_its_verdict(put, scan, s3_client, bucket):
    put("good.jpg", "no extension")
    put("long header.jpg", body=pictures.jpeg_with_long_header(300_000))
    put("text.jpg", body=b"text")
    put("web.jpg", body=pictures.picture("WEBP"))
    put("small.png", body=pictures.picture("PNG", (40, 40)))
    put("bomb.png", body=pictures.png_header(24_000, 25_000))
    put("empty.jpg", body=b"")
    table, _ = scan(S3Prefix(f"s3://{bucket}"))
    assert count_due(table) == 7

    rows = inspected(s3_client, table)

    assert {key: row["error_code"] for key, row in rows.items()} == {
        "good.jpg": None,
        "no extension": None,
        "long header.jpg": None,
        "text.jpg": "InvalidImageFormat",
        "web.jpg": "InvalidImageFormat",
        "small.png": "InvalidParameter",
        "bomb.png": "InvalidParameter",
        "empty.jpg": "EmptyFile",
    }


def test_the_bytes_decide_whatever_the_name_says(put, scan, s3_client, bucket):
    put("anna.c", "peter.sh", "IMG_16.jpg.bak", "._b.jpg")
    put("web.txt", body=pictures.picture("WEBP"))
    put("small.log", body=pictures.picture("PNG", (40, 40)))
    put("huge.zip", body=pictures.picture() + bytes(16 * 2**20))
    put("notes.txt", "notes.jpg", body=b"BM is how these notes begin")
    put("film.mp4", body=b"\0\0\0\x18ftypmp42" + bytes(16 * 2**20))
    put("emptied.csv", body=b"text")
    table, _ = scan(S3Prefix(f"s3://{bucket}"))
    put("emptied.csv", body=b"")
    kept = []
    tally = Tally(keep=kept.append)

    rows = inspect(s3_client, table, threads=4, tally=tally).to_pylist()
    tally.flush()

    assert {row["key"]: row["error_code"] for row in rows} == {
        "anna.c": None,
        "peter.sh": None,
        "IMG_16.jpg.bak": None,
        "._b.jpg": None,
        "web.txt": "InvalidImageFormat",
        "small.log": "InvalidParameter",
        "huge.zip": "ImageTooLarge",
        "notes.jpg": "InvalidImageFormat",
    }
    assert {
        (row["source_ref"].rpartition("/")[2], row["rule"], row["content"]) for row in kept[0].to_pylist()
    } == {
        ("notes.txt", "*.txt", "text"),
        ("film.mp4", "*.mp4", "of no known image format"),
        ("emptied.csv", "*.csv", "nothing"),
    }


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidRequest", "SlowDown", "KMS.DisabledException"])
def test_the_name_decides_of_what_s3_does_not_give(put, scan, s3_client, *, bucket, monkeypatch, code):
    put("notes.txt", "a.jpg")
    table, _ = scan(S3Prefix(f"s3://{bucket}"))
    kept = []
    tally = Tally(keep=kept.append)

    def refuse(**call):
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")

    monkeypatch.setattr(s3_client, "get_object", refuse)
    rows = inspect(s3_client, table, threads=2, tally=tally).to_pylist()
    tally.flush()

    assert [row["key"] for row in rows] == ["a.jpg"]
    assert [(row["rule"], row["content"]) for row in kept[0].to_pylist()] == [("*.txt", None)]


def test_what_changed_since_the_listing_is_seen(put, scan, s3_client, bucket):
    put("changed.jpg", "gone.jpg", "emptied.jpg", "same.jpg")
    table, _ = scan(S3Prefix(f"s3://{bucket}"))
    new = pictures.picture(size=(300, 300))
    put("changed.jpg", body=new)
    put("emptied.jpg", body=b"")
    s3_client.delete_object(Bucket=bucket, Key="gone.jpg")

    rows = inspected(s3_client, table)

    assert rows["changed.jpg"]["size"] == len(new)
    assert rows["changed.jpg"]["etag"] == s3_client.head_object(Bucket=bucket, Key="changed.jpg")[
        "ETag"
    ].strip('"')
    assert rows["gone.jpg"]["error_code"] == "InvalidS3Object"
    assert rows["emptied.jpg"]["error_code"] == "EmptyFile"
    assert rows["same.jpg"] == next(row for row in table.to_pylist() if row["key"] == "same.jpg")


@pytest.mark.parametrize(
    ("fault", "code"),
    [("AccessDenied", "AccessDenied"), ("InvalidObjectState", "InvalidS3Object"), ("SlowDown", None)],
)
def test_a_fault_of_one_object_is_its_own(put, scan, s3_client, bucket, monkeypatch, fault, code):  # noqa: PLR0917 - fixtures
    put("bad.jpg", "good.jpg")
    table, _ = scan(S3Prefix(f"s3://{bucket}"))
    real = s3_client.get_object

    def get_object(**request):
        if request["Key"] == "bad.jpg":
            answer = {"Error": {"Code": fault, "Message": "no"}}
            raise s3_client.exceptions.ClientError(answer, "GetObject")
        return real(**request)

    monkeypatch.setattr(s3_client, "get_object", get_object)

    rows = inspected(s3_client, table)

    assert (rows["bad.jpg"]["error_code"], rows["good.jpg"]["error_code"]) == (code, None)


@pytest.mark.parametrize("images", [1, 20])
def test_s3_gone_in_the_middle_is_an_error_not_a_verdict(put, scan, settings, bucket, aws_env, images):  # noqa: PLR0917 - fixtures
    put(*(f"{number}.jpg" for number in range(images)))
    table, _ = scan(S3Prefix(f"s3://{bucket}"))
    aws_env.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{ports.find_free()}")
    aws_env.setenv("AWS_MAX_ATTEMPTS", "1")
    refusals = Refusals()

    def look():
        with s3_objects.open_client(settings) as client:
            inspect(client, table, threads=2, refusals=refusals)
        refusals.conclude()

    with pytest.raises(S3Error, match="Unreachable"):
        look()
    assert refusals.looked_at == min(images, 16)


PICTURE = pictures.picture()
LONG = pictures.jpeg_with_long_header(300_000)
ODD_ANSWERS = {
    "good": (whole("206 OK", MODIFIED, PICTURE), None),
    "in chunks": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
        % (MODIFIED, len(PICTURE), PICTURE),
        None,
    ),
    "all for a range": (whole("200 OK", MODIFIED, LONG), None),
    "all in chunks for a range": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
        % (MODIFIED, len(LONG), LONG),
        None,
    ),
    "no length": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + MODIFIED + b"\r\n" + PICTURE, None),
    "no body": (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n" + MODIFIED + b"\r\n", "EmptyFile"),
    "length too long": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + MODIFIED + b"Content-Length: 99999\r\n\r\n" + PICTURE,
        None,
    ),
    "size beyond numbers": (
        whole("206 OK", MODIFIED + b"Content-Range: bytes 0-9/" + b"9" * 30 + b"\r\n", PICTURE),
        None,
    ),
    "other bytes": (whole("200 OK", MODIFIED + b"x-amz-checksum-crc32: AAAAAA==\r\n", PICTURE), None),
    "nothing": (b"", None),
    "half a head": (b"HTTP/1.1 200 OK\r\nLast-Mod", "InvalidS3Object"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9\r\n", None),
    "page to log in": (whole("200 OK", body=b"<html>Log in"), "InvalidS3Object"),
    "empty page": (whole("200 OK"), "InvalidS3Object"),
    "page of 401": (whole("401 No", body=b"<html>Log in</html>"), "InvalidS3Object"),
    "page of 403": (whole("403 No", body=b"<html>No</html>"), "AccessDenied"),
    "page of 404": (whole("404 No", body=b"<html>No</html>"), "InvalidS3Object"),
    "page of 407": (whole("407 No"), "InvalidS3Object"),
    "page of 429": (whole("429 No"), None),
    "page of 502": (whole("502 No", body=b"<html>No</html>"), None),
    "elsewhere": (whole("301 No", b"Location: http://127.0.0.1:9/\r\n"), "InvalidS3Object"),
    "elsewhere for now": (whole("307 No", b"Location: /login\r\n"), "InvalidS3Object"),
    "another region": (refusal("301 No", "PermanentRedirect"), "InvalidS3Object"),
    "another bucket": (refusal("404 No", "NoSuchBucket"), "InvalidS3Object"),
    "token that has ended": (refusal("400 No", "ExpiredToken"), "InvalidS3Object"),
    "wrong signature": (refusal("403 No", "SignatureDoesNotMatch"), "InvalidS3Object"),
    "a key of the customer": (refusal("400 No", "InvalidArgument"), "InvalidS3Object"),
    "busy": (refusal("503 No", "ServiceUnavailable"), None),
}


def named(bucket: str, keys: Iterable[str]) -> pa.Table:
    """Rows of a list that tells names alone."""
    told = {"size": len(LONG), "etag": "e", "last_modified": datetime(2026, 1, 1, tzinfo=UTC)}
    rows = [{"source_ref": f"s3://{bucket}/{key}", "bucket": bucket, "key": key, **told} for key in keys]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def test_whatever_is_answered_in_place_of_one_object_is_its_row_and_stops_no_other(settings, aws_env, bucket):
    refusals = Refusals()
    with serving({name: answer for name, (answer, _) in ODD_ANSWERS.items()}) as address:
        aws_env.setenv("AWS_ENDPOINT_URL_S3", address)
        aws_env.setenv("AWS_MAX_ATTEMPTS", "1")
        with s3_objects.open_client(settings) as client:
            rows = inspect(client, named(bucket, ODD_ANSWERS), threads=4, refusals=refusals).to_pylist()
    refusals.conclude()
    assert {row["key"]: row["error_code"] for row in rows} == {
        name: code for name, (_, code) in ODD_ANSWERS.items()
    }
    sizes = {row["key"]: row["size"] for row in rows}
    assert [sizes["in chunks"], sizes["no length"]] == [len(PICTURE)] * 2
    assert [sizes["all for a range"], sizes["all in chunks for a range"]] == [len(LONG)] * 2


def test_an_empty_table_stays_empty(s3_client, scan, bucket):
    table, _ = scan(S3Prefix(f"s3://{bucket}"))

    assert inspect(s3_client, table, threads=2).equals(pa.Table.from_batches([], schema=table.schema))


def refusing(s3_client, monkeypatch, codes):
    """Let S3 refuse the objects of these keys."""
    real = s3_client.get_object

    def get_object(**request):
        if code := codes.get(request["Key"]):
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")
        return real(**request)

    monkeypatch.setattr(s3_client, "get_object", get_object)


@pytest.mark.parametrize("code", ["InvalidArgument", "KMS.DisabledException", "XProxyTeapot", "400"])
def test_a_refusal_that_nobody_has_heard_of_is_the_row_of_its_object(  # noqa: PLR0917 - fixtures
    put, scan, s3_client, bucket, monkeypatch, code
):
    put("a.jpg", "b.jpg", "odd.jpg")
    table, _ = scan(S3Prefix(f"s3://{bucket}"))
    refusing(s3_client, monkeypatch, {"odd.jpg": code})
    refusals = Refusals()
    rows = {row["key"]: row for row in inspect(s3_client, table, threads=4, refusals=refusals).to_pylist()}
    refusals.conclude()
    assert {key: row["error_code"] for key, row in rows.items()} == {
        "a.jpg": None, "b.jpg": None, "odd.jpg": "InvalidS3Object",
    }  # fmt: skip
    assert code in rows["odd.jpg"]["error_message"]


@pytest.mark.parametrize("code", ["XProxyTeapot", "ServiceUnavailable", "NoSuchBucket", "ExpiredToken"])
def test_a_refusal_of_all_alike_stops_the_run_and_says_so(put, scan, s3_client, bucket, monkeypatch, code):  # noqa: PLR0917 - fixtures
    keys = ("a.jpg", "b.jpg", "c.jpg")
    put(*keys)
    table, _ = scan(S3Prefix(f"s3://{bucket}"))
    refusing(s3_client, monkeypatch, dict.fromkeys(keys, code))
    refusals = Refusals()
    inspect(s3_client, table, threads=4, refusals=refusals)
    with pytest.raises(S3Error, match=rf"nor can any of the 2 others here \({code}\)"):
        refusals.conclude()
