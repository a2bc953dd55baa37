"""A worker without rights of its own: each place is used with a role, whose credentials end all the time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials
from botocore.httpsession import URLLib3Session
from moto.server import ThreadedMotoServer

from local_aws.rekognition.launch import Rekognition
from local_aws.roles import DEFAULT
from local_aws.seaweedfs import Credentials, SeaweedFS
from moderation import schema
from moderation.maintenance import compaction
from moderation.publish import commit
from moderation.publish.commit import PublishBlockedError
from moderation.settings import Settings
from moderation.sources.base import SourceError
from moderation.sources.listing import Tally
from moderation.sources.open import open_source
from moderation.storage import roles, s3_objects
from moderation.storage.s3_objects import S3Refused
from moderation.tables.catalog import ensure_table, load_table, open_catalog
from moderation.tables.faults import TablesDamagedError
from moderation.tables.swap import data_files
from support import assumed, planned_runs, table_bucket
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


def ended(settings: Settings) -> set[str]:
    """Wait until what the roles have been given so far has ended; returns their keys."""
    with s3_objects.open_client(settings) as client:
        given = roles.by_place(settings.region, s3_objects.session())
        old = [held.get_frozen_credentials() for held in given.values()]
    until(
        lambda: not any(_works(client.meta.endpoint_url, one) for one in old),
        what="the end of the credentials",
    )
    return {one.access_key for one in old}


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


def test_a_table_bucket_and_the_files_behind_it_are_read_with_its_role(
    worker: pytest.MonkeyPatch, settings: Settings, credentials: Credentials, bucket: str, tmp_path: Path
) -> None:
    location = table_bucket.make(f"s3://{bucket}/told", tmp_path, settings, credentials)
    source = f"table:{table_bucket.ARN}/{table_bucket.TABLE}"
    with table_bucket.serving(settings, credentials, location) as (endpoint, signed):
        worker.setenv("AWS_ENDPOINT_URL_S3TABLES", endpoint)
        with pytest.raises(SourceError, match="ACCESS_DENIED"):
            list(open_source(source).batches(settings, None, Tally(), dry_run=False))
        worker.setenv("MODERATION_ROLES", f"s3tables={MODERATION.arn}")
        own, tally = {one.key for one in signed}, Tally()
        signed.clear()
        batches = list(open_source(source).batches(settings, None, tally, dry_run=False))
    assert tally.listed == sum(batch.num_rows for batch in batches) == table_bucket.ROWS
    assert {(one.service, one.region, one.has_token) for one in signed} == {("s3tables", "us-east-1", True)}
    assert not own & {one.key for one in signed}


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


@pytest.mark.long
def test_a_catalog_in_glue_is_used_with_its_own_role_and_never_with_credentials_that_have_ended(
    worker: pytest.MonkeyPatch, settings: Settings, s3_client: Any, bucket: str
) -> None:
    signed: list[str] = []
    dead: set[str] = set()
    send = URLLib3Session.send

    def sent(self: URLLib3Session, request: Any) -> Any:
        if request.url.startswith(endpoint):
            told = request.headers["Authorization"].decode()
            signed.append(told.partition("Credential=")[2].partition("/")[0])
            assert signed[-1] not in dead
            assert "X-Amz-Security-Token" in request.headers
        return send(self, request)

    def reached(step: str) -> None:
        if step in WAITED_AT:
            dead.update(ended(settings))

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    try:
        worker.setenv("AWS_ENDPOINT_URL_GLUE", endpoint)
        worker.setenv("MODERATION_ROLES", f"s3://{bucket}={MODERATION.arn}, glue={assumed.READER.arn}")
        worker.setattr(URLLib3Session, "send", sent)
        worker.setattr(commit, "reached", reached)
        worker.setattr(compaction, "reached", reached)
        in_glue = replace(settings, catalog_uri="glue")
        for number in range(2):
            publish_plain(in_glue, s3_client, f"night-{number}", images=4)
        before = {name: rows(table) for name, table in expected(in_glue).items()}
        compaction.compact(in_glue)
        assert {name: rows(table) for name, table in expected(in_glue).items()} == before
    finally:
        server.stop()
    assert len(before["images"]) == 8
    # Each time that they had ended, others were taken, and the worker's own were never.
    assert len(set(signed)) > len(WAITED_AT)
    assert worker_key() not in signed


def worker_key() -> str:
    """The key of the process itself."""
    found = s3_objects.session().get_credentials()
    assert found is not None
    return str(found.access_key)
