"""What the product asks of its S3 server."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from local_aws import ports


def test_an_object_comes_back_as_it_was_put(s3_client, bucket):
    s3_client.put_object(Bucket=bucket, Key="odd key #1 %25 ü\U0001f600", Body=b"bytes")

    answer = s3_client.get_object(Bucket=bucket, Key="odd key #1 %25 ü\U0001f600")

    assert answer["Body"].read() == b"bytes"


def test_a_conditional_put_loses_against_an_existing_object(s3_client, bucket):
    s3_client.put_object(Bucket=bucket, Key="once", Body=b"first", IfNoneMatch="*")

    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3_client.put_object(Bucket=bucket, Key="once", Body=b"second", IfNoneMatch="*")

    assert s3_client.get_object(Bucket=bucket, Key="once")["Body"].read() == b"first"


def test_an_object_of_several_parts_is_copied_listed_read_in_ranges_and_deleted(s3_client, bucket):
    parts = [bytes([number]) * (5 << 20) for number in (1, 2)] + [b"end"]
    upload = s3_client.create_multipart_upload(Bucket=bucket, Key="parts/big")["UploadId"]
    where = {"Bucket": bucket, "Key": "parts/big", "UploadId": upload}
    etags = [
        {"PartNumber": number, "ETag": s3_client.upload_part(**where, PartNumber=number, Body=part)["ETag"]}
        for number, part in enumerate(parts, 1)
    ]
    s3_client.complete_multipart_upload(**where, MultipartUpload={"Parts": etags})

    s3_client.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "parts/big"})

    listed = s3_client.list_objects_v2(Bucket=bucket)["Contents"]
    assert {entry["Key"]: entry["Size"] for entry in listed} == dict.fromkeys(
        ("copy", "parts/big"), sum(map(len, parts))
    )
    border = (5 << 20) - 2
    answer = s3_client.get_object(Bucket=bucket, Key="copy", Range=f"bytes={border}-{border + 3}")
    assert answer["Body"].read() == b"\1\1\2\2"
    s3_client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "parts/big"}]})
    assert "Contents" not in s3_client.list_objects_v2(Bucket=bucket)


def test_a_presigned_link_serves_its_object_and_no_other(s3_client, bucket):
    for key in ("shown", "other"):
        s3_client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    link = s3_client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "shown"})

    with ports.open_local(link, timeout=10) as answer:
        assert answer.read() == b"shown"
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        ports.open_local(link.replace("/shown?", "/other?"), timeout=10)
    refused.value.close()
