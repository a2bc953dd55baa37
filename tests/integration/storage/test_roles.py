"""A worker without rights of its own: each place is used with a role, whose credentials end all the time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials

from local_aws.rekognition.launch import Rekognition
from local_aws.roles import DEFAULT
from local_aws.seaweedfs import Credentials, SeaweedFS
from moderation import schema
from moderation.maintenance import compaction
from moderation.publish import commit
from moderation.publish.commit import PublishBlockedError
from moderation.settings import Settings
from moderation.storage import roles, s3_objects
from moderation.storage.s3_objects import S3Refused
from moderation.tables.catalog import ensure_table, load_table, open_catalog
from moderation.tables.faults import TablesDamagedError
from moderation.tables.swap import data_files
from support import assumed, planned_runs
from support.airflow_stack import until
from support.published_loads import expected, publish_plain, rows

MODERATION = DEFAULT[0]
WAITED_AT = ("built", "added images", "committed", "committed images", "expired images")


@pytest.fixture
def worker(
    monkeypatch: pytest.MonkeyPatch,
    s3_server: SeaweedFS,
    rekognition_server: Rekognition,
    credentials: Credentials,
) -> pytest.MonkeyPatch:
    """The environment of a process whose own credentials may do nothing but assume roles."""
    sts = assumed.client("sts", rekognition_server.endpoint_url, credentials)
    key = sts.assume_role(RoleArn=assumed.WORKER.arn, RoleSessionName="worker", DurationSeconds=900)
    sts.close()
    for name, value in {
        "AWS_ACCESS_KEY_ID": key["Credentials"]["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["Credentials"]["SecretAccessKey"],
        "AWS_SESSION_TOKEN": key["Credentials"]["SessionToken"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_S3": s3_server.endpoint_url,
        "AWS_ENDPOINT_URL_STS": rekognition_server.endpoint_url,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(RefreshableCredentials, "_advisory_refresh_timeout", assumed.RENEWED_BEFORE)
    monkeypatch.setattr(RefreshableCredentials, "_mandatory_refresh_timeout", assumed.RENEWED_BEFORE)
    return monkeypatch


@pytest.fixture
def settings(tmp_path: Path, bucket: str) -> Settings:
    return planned_runs.make_settings(tmp_path, bucket, tables="s3")


def ended(settings: Settings) -> None:
    """Wait until what the role has been given so far has ended."""
    with s3_objects.open_client(settings) as client:
        given = roles.by_place(settings.region, s3_objects.session())
        (held,) = set(given.values())
        old = held.get_frozen_credentials()
    until(lambda: not _works(client.meta.endpoint_url, old), what="the end of the credentials")


def _works(endpoint_url: str, given: Any) -> bool:
    key = {
        "AccessKeyId": given.access_key,
        "SecretAccessKey": given.secret_key,
        "SessionToken": given.token,
    }
    client = assumed.client("s3", endpoint_url, key)
    try:
        client.list_buckets()
    except client.exceptions.ClientError:
        return False
    finally:
        client.close()
    return True


def test_each_bucket_is_used_with_its_own_role_and_the_others_with_none(
    worker: pytest.MonkeyPatch, settings: Settings, s3_client: Any, bucket: str
) -> None:
    s3_client.put_object(Bucket=bucket, Key="images/a.jpg", Body=b"a")
    with pytest.raises(S3Refused, match="AccessDenied"), s3_objects.open_client(settings) as s3:
        s3_objects.read_text(s3, f"s3://{bucket}/images/a.jpg")

    worker.setenv("MODERATION_ROLES", f"s3://{bucket}={assumed.READER.arn}?external_id=agreed")
    with s3_objects.open_client(settings) as s3:
        assert len(list(s3_objects.list_objects(s3, f"s3://{bucket}/images/"))) == 1
        link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "images/a.jpg"})
        assert "x-amz-security-token=" in link.lower()
        with pytest.raises(S3Refused, match="AccessDenied"):
            s3_objects.put(s3, f"s3://{bucket}/images/b.jpg", b"b")


def test_a_role_that_may_not_be_assumed_is_named(
    worker: pytest.MonkeyPatch, settings: Settings, bucket: str
) -> None:
    unknown = "arn:aws:iam::123456789012:role/unknown"
    worker.setenv("MODERATION_ROLES", f"s3://{bucket}={unknown}")
    with (
        pytest.raises(S3Refused, match=f"sts:AssumeRole on resource: {unknown}"),
        s3_objects.open_client(settings) as s3,
    ):
        s3_objects.read_text(s3, f"s3://{bucket}/k")


def test_the_files_of_the_tables_are_written_and_read_with_the_role_of_their_bucket(
    worker: pytest.MonkeyPatch, settings: Settings, bucket: str
) -> None:
    worker.setenv("MODERATION_ROLES", f"s3://{bucket}={MODERATION.arn}")
    with open_catalog(settings) as catalog:
        ensure_table(catalog, schema.LOADS, settings)
    with open_catalog(settings) as catalog:
        assert load_table(catalog, schema.LOADS) is not None
    worker.setenv("MODERATION_ROLES", f"s3://another={MODERATION.arn}")
    forbidden = "ACCESS_DENIED.*check the rights.*nothing is known to be damaged"
    with open_catalog(settings) as catalog, pytest.raises(TablesDamagedError, match=forbidden):
        load_table(catalog, schema.LOADS)


@pytest.mark.long
def test_credentials_that_end_during_publishes_and_a_compaction_are_renewed(
    worker: pytest.MonkeyPatch, settings: Settings, s3_client: Any, bucket: str
) -> None:
    worker.setenv("MODERATION_ROLES", f"s3://{bucket}={MODERATION.arn}")
    steps: list[str] = []

    def reached(step: str) -> None:
        steps.append(step)
        if step in WAITED_AT:
            ended(settings)

    worker.setattr(commit, "reached", reached)
    worker.setattr(compaction, "reached", reached)
    for number in range(2):
        publish_plain(settings, s3_client, f"night-{number}", images=4)
    before = {name: rows(table) for name, table in expected(settings).items()}
    compaction.compact(settings)

    assert set(WAITED_AT) <= set(steps)
    assert {name: rows(table) for name, table in expected(settings).items()} == before
    assert len(before["images"]) == 8
    with open_catalog(settings) as catalog:
        images = load_table(catalog, schema.IMAGES)
        assert images is not None
        assert len(data_files(images)) == 1
    worker.delenv("MODERATION_ROLES")
    with pytest.raises(PublishBlockedError):  # the worker alone can do nothing: all was done by the role
        publish_plain(settings, s3_client, "night-2")
