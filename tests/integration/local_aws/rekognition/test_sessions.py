"""Credentials of a role, which end: AssumeRole, and what the two servers make of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import ClientError

from local_aws.rekognition.launch import Rekognition
from local_aws.roles import DEFAULT, Role
from local_aws.seaweedfs import Credentials, SeaweedFS
from rekognition.hooks import RekognitionHook
from support import assumed
from support.airflow_stack import until
from support.pictures import encode, noise
from support.rekognition_server import quick, wait_for_job

MODERATION = DEFAULT[0]
LASTING = 900


@pytest.fixture
def sts(rekognition_server: Rekognition, credentials: Credentials) -> Iterator[Any]:
    client = assumed.client("sts", rekognition_server.endpoint_url, credentials)
    yield client
    client.close()


def assume(sts: Any, role: Role, **more: Any) -> dict[str, Any]:
    return sts.assume_role(RoleArn=role.arn, RoleSessionName="night", **more)["Credentials"]


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def has_ended(call: Any, **arguments: Any) -> bool:
    try:
        call(**arguments)
    except ClientError:
        return True
    return False


@pytest.mark.slow
def test_a_session_uses_both_servers_until_it_ends(
    sts: Any, rekognition_server: Rekognition, s3_server: SeaweedFS, s3_client: Any, bucket: str
) -> None:
    s3_client.put_object(Bucket=bucket, Key="k.png", Body=encode(noise(300, 300), "PNG"))
    key = assume(sts, MODERATION)
    s3 = assumed.client("s3", s3_server.endpoint_url, key)
    rekognition = assumed.client("rekognition", rekognition_server.endpoint_url, key)
    image = {"S3Object": {"Bucket": bucket, "Name": "k.png"}}

    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    assert rekognition.detect_moderation_labels(Image=image)["ModerationModelVersion"]

    until(lambda: has_ended(s3.list_objects_v2, Bucket=bucket), what="the session's end in S3")
    until(lambda: has_ended(rekognition.list_media_analysis_jobs), what="its end in Rekognition")
    with pytest.raises(ClientError, match="The security token included in the request is expired") as caught:
        rekognition.list_media_analysis_jobs()
    assert caught.value.response["Error"]["Code"] == "ExpiredTokenException"
    own = assumed.client("sts", rekognition_server.endpoint_url, key)
    assert code_of(own.get_caller_identity) == "ExpiredToken"
    for client in (s3, rekognition, own):
        client.close()


@pytest.mark.slow
def test_a_job_that_a_session_has_started_goes_on_after_its_end_and_a_restart(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    names = [f"{number}.png" for number in range(3)]
    for number, name in enumerate(names):
        s3_client.put_object(Bucket=bucket, Key=name, Body=encode(noise(100 + number, 100), "PNG"))
    lines = "".join(json.dumps({"source-ref": f"s3://{bucket}/{name}"}) + "\n" for name in names)
    s3_client.put_object(Bucket=bucket, Key="m.jsonl", Body=lines.encode())
    # It waits until the session is over before it reads its first image.
    settings = quick(queued_seconds=assumed.SECONDS + 1.5)
    server = start_rekognition(settings=settings)
    own = assumed.client("sts", server.endpoint_url, credentials)
    rekognition = assumed.client("rekognition", server.endpoint_url, assume(own, MODERATION))
    job_id = rekognition.start_media_analysis_job(
        OperationsConfig={"DetectModerationLabels": {"MinConfidence": 50.0}},
        Input={"S3Object": {"Bucket": bucket, "Name": "m.jsonl"}},
        OutputConfig={"S3Bucket": bucket, "S3KeyPrefix": "out/"},
    )["JobId"]
    rekognition.close()
    own.close()
    server.stop()

    again = start_rekognition(settings=settings)
    lasting = assumed.client("rekognition", again.endpoint_url, credentials)
    assert wait_for_job(lasting, job_id)["Status"] == "SUCCEEDED"
    lasting.close()


def test_what_a_session_may_not_do_in_s3_it_cannot_have_done_by_rekognition(
    sts: Any, rekognition_server: Rekognition, s3_server: SeaweedFS, s3_client: Any, bucket: str
) -> None:
    s3_client.put_object(Bucket=bucket, Key="k.png", Body=encode(noise(300, 300), "PNG"))
    nothing = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["*"]}],
    }
    image = {"S3Object": {"Bucket": bucket, "Name": "k.png"}}
    reading = assume(sts, assumed.READER, DurationSeconds=LASTING)
    narrowed = assume(sts, assumed.READER, DurationSeconds=LASTING, Policy=json.dumps(nothing))

    s3 = assumed.client("s3", s3_server.endpoint_url, reading)
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"") == "AccessDenied"
    s3.close()
    for key, allowed in ((reading, True), (narrowed, False)):
        rekognition = assumed.client("rekognition", rekognition_server.endpoint_url, key)
        if allowed:
            assert rekognition.detect_moderation_labels(Image=image)
        else:
            assert code_of(rekognition.detect_moderation_labels, Image=image) == "InvalidS3ObjectException"
        rekognition.close()


def test_a_session_is_named_by_its_role_and_can_assume_another(
    sts: Any, rekognition_server: Rekognition, credentials: Credentials
) -> None:
    assert sts.get_caller_identity()["Arn"].endswith(f":user/{credentials.access_key}")
    key = assume(sts, MODERATION, DurationSeconds=LASTING, ExternalId="given by the owner")
    own = assumed.client("sts", rekognition_server.endpoint_url, key)
    assert own.get_caller_identity()["Arn"] == "arn:aws:sts::123456789012:assumed-role/moderation/night"
    other = assumed.client("sts", rekognition_server.endpoint_url, assume(own, assumed.READER))
    assert other.get_caller_identity()["Arn"] == "arn:aws:sts::123456789012:assumed-role/reader/night"
    for client in (own, other):
        client.close()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"RoleArn": "arn:aws:iam::123456789012:role/unknown"}, "AccessDenied"),
        ({"DurationSeconds": 43_201}, "ValidationError"),
        ({"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]}, "ValidationError"),
    ],
)
def test_a_role_is_refused_with_the_code_that_sts_has_for_it(sts: Any, changes: Any, code: str) -> None:
    asked = {"RoleArn": MODERATION.arn, "RoleSessionName": "night", **changes}
    assert code_of(sts.assume_role, **asked) == code


def test_a_token_belongs_to_its_key(sts: Any, rekognition_server: Rekognition) -> None:
    key, other = (assume(sts, MODERATION, DurationSeconds=LASTING) for _ in range(2))
    for token in ("made up", other["SessionToken"]):
        client = assumed.client(
            "rekognition", rekognition_server.endpoint_url, {**key, "SessionToken": token}
        )
        with pytest.raises(ClientError, match="The security token included in the request is invalid"):
            client.list_media_analysis_jobs()
        client.close()


def test_who_has_no_key_assumes_nothing(rekognition_server: Rekognition, credentials: Credentials) -> None:
    for key, code in (
        (Credentials("AKIASTRANGER", "x"), "InvalidClientTokenId"),
        (Credentials(credentials.access_key, "x"), "SignatureDoesNotMatch"),
    ):
        stranger = assumed.client("sts", rekognition_server.endpoint_url, key)
        assert code_of(stranger.assume_role, RoleArn=MODERATION.arn, RoleSessionName="night") == code
        stranger.close()


@pytest.mark.slow
def test_an_airflow_connection_with_a_role_goes_on_when_its_credentials_end(
    monkeypatch: pytest.MonkeyPatch,
    rekognition_server: Rekognition,
    s3_server: SeaweedFS,
    credentials: Credentials,
) -> None:
    monkeypatch.setattr(RefreshableCredentials, "_advisory_refresh_timeout", assumed.RENEWED_BEFORE)
    monkeypatch.setattr(RefreshableCredentials, "_mandatory_refresh_timeout", assumed.RENEWED_BEFORE)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", credentials.secret_key)
    for service in ("STS", "REKOGNITION"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", rekognition_server.endpoint_url)
    extra = {"role_arn": MODERATION.arn, "region_name": "us-east-1"}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_ROLE", json.dumps({"conn_type": "aws", "extra": extra}))
    hook = RekognitionHook(aws_conn_id="aws_role")
    first = hook.get_credentials()
    assert hook.conn.list_media_analysis_jobs()

    key = {"AccessKeyId": first.access_key, "SecretAccessKey": first.secret_key, "SessionToken": first.token}
    alone = assumed.client("rekognition", rekognition_server.endpoint_url, key)
    until(lambda: has_ended(alone.list_media_analysis_jobs), what="the end of the first credentials")
    assert hook.conn.list_media_analysis_jobs()
    hook.conn.close()
    alone.close()
