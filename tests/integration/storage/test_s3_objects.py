from __future__ import annotations

import pickle

import pytest

from local_aws import ports
from moderation.storage import s3_objects
from moderation.storage.s3_objects import Location, S3Error, UriError, s3_error


@pytest.mark.parametrize("key", ["a b", "#?%25+", "new\nline", "\U0001f600 e\u0301", "quote\"'", "x" * 200])
def test_an_object_of_any_key_comes_back(s3_client, bucket, key):
    uri = f"s3://{bucket}/{key}"

    etag = s3_objects.put(s3_client, uri, b"one\ntwo")

    assert s3_objects.split_uri(uri) == Location(bucket, key)
    assert Location(bucket, key).uri == uri
    found = s3_objects.read(s3_client, uri)
    assert (found.body, found.etag) == (b"one\ntwo", etag)
    assert 0 <= found.age_seconds < 60
    assert s3_objects.exists(s3_client, uri)
    assert [entry["Key"] for entry in s3_objects.list_objects(s3_client, f"s3://{bucket}/")] == [key]
    s3_objects.delete(s3_client, uri)
    assert not s3_objects.exists(s3_client, uri)


@pytest.mark.parametrize("uri", ["", "bucket/key", "s3://", "s3:///key", "http://b/k"])
def test_what_is_no_s3_uri_is_refused(uri):
    with pytest.raises(ValueError, match="expected s3://bucket/key"):
        s3_objects.split_uri(uri)


def test_uris_are_joined_with_one_slash():
    assert s3_objects.join_uri("s3://b/", "runs", "r", "plan.json") == "s3://b/runs/r/plan.json"
    assert s3_objects.join_uri("s3://b/p", "runs") == "s3://b/p/runs"


def test_lines_come_one_by_one_across_chunks(s3_client, bucket, monkeypatch):
    monkeypatch.setattr(s3_objects, "_CHUNK", 7)
    lines = [b"first", b"", b"a line longer than a chunk\r", b"last without end"]
    s3_objects.put(s3_client, f"s3://{bucket}/lines", b"\n".join(lines))

    assert list(s3_objects.iter_lines(s3_client, f"s3://{bucket}/lines")) == lines
    s3_objects.put(s3_client, f"s3://{bucket}/lines", b"")
    assert list(s3_objects.iter_lines(s3_client, f"s3://{bucket}/lines")) == []


def test_of_two_writers_on_condition_one_wins(s3_client, bucket):
    uri = f"s3://{bucket}/once"

    first = s3_objects.put_if_absent(s3_client, uri, b"1")

    assert first
    assert s3_objects.put_if_absent(s3_client, uri, b"2") is None
    second = s3_objects.put_if_match(s3_client, uri, b"3", etag=first)
    assert second
    assert s3_objects.put_if_match(s3_client, uri, b"4", etag=first) is None
    assert s3_objects.read(s3_client, uri).body == b"3"
    assert s3_objects.put_if_match(s3_client, f"s3://{bucket}/none", b"5", etag=first) is None


def test_a_bucket_that_does_not_exist_is_named_with_the_remedy(s3_client):
    with pytest.raises(
        S3Error, match=r"cannot list bucket no-such-bucket: .*NoSuchBucket.*create the bucket"
    ) as caught:
        list(s3_objects.list_objects(s3_client, "s3://no-such-bucket"))
    assert (caught.value.code, caught.value.bucket) == ("NoSuchBucket", "no-such-bucket")
    with pytest.raises(S3Error, match="NoSuchBucket"):
        s3_objects.read(s3_client, "s3://no-such-bucket/x")


def test_a_missing_object_is_told_apart_from_a_missing_bucket(s3_client, bucket):
    with pytest.raises(S3Error) as caught:
        s3_objects.read(s3_client, f"s3://{bucket}/new\nline")
    assert caught.value.is_missing
    assert "\\n" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_and_missing_credentials_are_named_with_the_remedy(settings, bucket, aws_env):
    aws_env.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN000000000")
    with s3_objects.open_client(settings) as client, pytest.raises(S3Error, match="AWS_ACCESS_KEY_ID"):
        list(s3_objects.list_objects(client, f"s3://{bucket}"))
    aws_env.delenv("AWS_ACCESS_KEY_ID")
    aws_env.delenv("AWS_SECRET_ACCESS_KEY")
    aws_env.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    aws_env.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with s3_objects.open_client(settings) as client, pytest.raises(S3Error, match="NoCredentials"):
        list(s3_objects.list_objects(client, f"s3://{bucket}"))


def test_a_server_that_is_not_there_is_named_with_the_remedy(settings, bucket, aws_env):
    aws_env.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{ports.find_free()}")
    aws_env.setenv("AWS_MAX_ATTEMPTS", "1")
    with (
        s3_objects.open_client(settings) as client,
        pytest.raises(S3Error, match=r"Unreachable.*AWS_ENDPOINT_URL_S3"),
    ):
        list(s3_objects.list_objects(client, f"s3://{bucket}"))


@pytest.mark.parametrize("error", [ValueError("Invalid timestamp"), KeyError("LastModified")], ids=repr)
def test_an_answer_whose_headers_are_not_s3s_is_an_error_that_names_the_object(error):
    told = r"s3://b/k.*no object's.*(LastModified|timestamp).*NoObject"
    with pytest.raises(S3Error, match=told), s3_objects.named_errors("read", "b", "k"):
        raise error


def test_a_wrong_name_is_not_blamed_on_the_answer():
    with pytest.raises(UriError), s3_objects.named_errors("read", "b", "k"):
        s3_objects.split_uri("b/k")


def test_the_error_survives_the_way_between_processes():
    error = s3_error("AccessDenied", bucket="b", key="k", action="read", cause="no")

    copy = pickle.loads(pickle.dumps(error))

    assert str(copy) == str(error)
    assert "grant the caller" in str(copy)
