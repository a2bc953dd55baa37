"""Regions of buckets as an S3 that knows them tells; SeaweedFS knows none, moto does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from local_aws.rekognition.images.objects import Caller, ObjectMissing, ObjectStore, Source
from local_aws.rekognition.images.regions import BucketRegions
from local_aws.rekognition.jobs.store import Store
from local_aws.rekognition.sts.keyring import Keyring

SECRETS = {"AKID": "no-secret"}


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def buckets(moto: str) -> dict[str, str]:
    """A bucket in each of three regions, with one object."""
    made = {}
    for region in ("us-east-1", "eu-west-1", "ap-southeast-2"):
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=moto,
            region_name=region,
            aws_access_key_id="AKID",
            aws_secret_access_key=SECRETS["AKID"],
            config=Config(s3={"addressing_style": "path"}),
        )
        where = {} if region == "us-east-1" else {"LocationConstraint": region}
        client.create_bucket(Bucket=f"in-{region}", **({"CreateBucketConfiguration": where} if where else {}))
        client.put_object(Bucket=f"in-{region}", Key="k", Body=b"content")
        client.close()
        made[region] = f"in-{region}"
    return made


@pytest.fixture
def store(moto: str, tmp_path: Path) -> Iterator[ObjectStore]:
    database = Store(tmp_path / "server.db")
    store = ObjectStore(moto, Keyring(SECRETS, database, moto), BucketRegions({}), tmp_path)
    yield store
    store.close()
    database.close()


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "ap-southeast-2"])
def test_an_object_is_there_for_callers_of_its_buckets_region_only(
    store: ObjectStore, buckets: dict[str, str], tmp_path: Path, region: str
) -> None:
    for place, bucket in buckets.items():
        caller, source = Caller("AKID", region), Source(bucket, "k")
        if place == region:
            assert store.size(caller, source) == 7
            with store.read(caller, source, limit=100) as found:
                assert found.read() == b"content"
            store.download(caller, source, tmp_path / "copy")
            store.check_bucket(caller, bucket)
            store.upload(caller, tmp_path / "copy", bucket, "copy", kms_key=None)
            continue
        with pytest.raises(ObjectMissing):
            store.size(caller, source)
        with pytest.raises(ObjectMissing):
            store.read(caller, source, limit=100)
        with pytest.raises(ObjectMissing):
            store.download(caller, source, tmp_path / "other")
        with pytest.raises(ObjectMissing):
            store.check_bucket(caller, bucket)
        with pytest.raises(ObjectMissing):
            store.upload(caller, Path(__file__), bucket, "copy", kms_key=None)


class Answers:
    """An S3 client that answers HeadBucket and GetBucketLocation as set, and counts the calls."""

    def __init__(self, status: int, header: str | None, constraint: str | None = None) -> None:
        self.status, self.header, self.constraint, self.calls = status, header, constraint, 0

    def head_bucket(self, Bucket: str) -> dict[str, Any]:
        self.calls += 1
        headers = {"x-amz-bucket-region": self.header} if self.header else {}
        metadata = {"HTTPStatusCode": self.status, "HTTPHeaders": headers}
        if self.status != 200:
            raise ClientError({"Error": {}, "ResponseMetadata": metadata}, "HeadBucket")
        return {"ResponseMetadata": metadata}

    def get_bucket_location(self, Bucket: str) -> dict[str, Any]:
        self.calls += 1
        if self.status == 403:
            raise ClientError({"Error": {}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "GetBucketLocation")
        return {"LocationConstraint": self.constraint}


@pytest.mark.parametrize(
    ("answers", "elsewhere"),
    [
        (Answers(200, "eu-west-1"), True),
        (Answers(200, "us-east-1", "eu-west-1"), False),
        (Answers(301, "eu-west-1"), True),
        (Answers(403, "eu-west-1"), True),
        (Answers(403, None), False),
        (Answers(200, None, "eu-west-1"), True),
        (Answers(200, None, "EU"), True),
        (Answers(200, None, None), False),
        (Answers(200, None, ""), False),
        (Answers(404, None), False),
    ],
)
def test_a_bucket_is_elsewhere_only_if_something_says_so(answers: Answers, elsewhere: bool) -> None:
    assert BucketRegions({}).is_elsewhere(answers, "b", region="us-east-1") is elsewhere
    assert not BucketRegions({"b": "us-east-1"}).is_elsewhere(answers, "b", region="us-east-1")
    assert BucketRegions({"*": "eu-west-1"}).is_elsewhere(answers, "b", region="us-east-1")


def test_an_s3_that_fails_is_asked_again_and_not_taken_for_an_answer() -> None:
    failing = Answers(503, None)
    with pytest.raises(ClientError):
        BucketRegions({}).is_elsewhere(failing, "b", region="us-east-1")


def test_a_region_is_remembered_for_a_while_and_a_bucket_that_is_not_there_is_not() -> None:
    now = 0.0
    regions = BucketRegions({}, clock=lambda: now)
    answers, missing = Answers(200, "eu-west-1"), Answers(404, None)
    for _ in range(3):
        assert regions.is_elsewhere(answers, "b", region="us-east-1")
        assert not regions.is_elsewhere(missing, "c", region="us-east-1")
    assert (answers.calls, missing.calls) == (1, 3)
    now = 61.0
    assert regions.is_elsewhere(answers, "b", region="us-east-1")
    assert answers.calls == 2
