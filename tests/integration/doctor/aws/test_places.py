"""Rights are found out by a real probe, on a real S3 server whose keys have fewer of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import boto3
import pytest

from local_aws import seaweedfs
from local_aws.seaweedfs import Credentials, Guest, SeaweedFS
from moderation.doctor.aws import places
from moderation.doctor.aws.account import Account
from moderation.doctor.finding import Finding, Level
from moderation.settings import DagSettings, Settings
from moderation.storage import probe
from support.airflow_home import REPOSITORY

POLICY = REPOSITORY / "docs" / "iam-policy.json"
RIGHTS = {
    "everything": ("Read:archive", "Write:archive", "List:archive"),
    "cannot list": ("Read:archive", "Write:archive"),
    "cannot read": ("List:archive", "Write:archive"),
    "cannot write": ("List:archive", "Read:archive"),
    "only elsewhere": ("Read:archive/else/*", "Write:archive/else/*", "List:archive/else*"),
}


def key_of(name: str) -> Credentials:
    return Credentials(f"AKIA{name.replace(' ', '').upper():0<16.16}", f"secret-of-{name.replace(' ', '-')}")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, credentials: Credentials) -> Iterator[SeaweedFS]:
    guests = [Guest(key_of(name), actions) for name, actions in RIGHTS.items()]
    server = seaweedfs.start(tmp_path_factory.mktemp("guarded"), credentials, guests=guests)
    with owner(server, credentials) as s3:
        s3.create_bucket(Bucket="archive")
        s3.put_object(Bucket="archive", Key="photos/a.jpg", Body=b"1")
    yield server
    server.stop()


@contextmanager
def owner(server: SeaweedFS, key: Credentials) -> Iterator[Any]:
    s3 = boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
        region_name="us-east-1",
    )
    with closing(s3):
        yield s3


@pytest.fixture
def as_guest(guarded: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    opened: list[Account] = []

    def account(name: str, uri: str = "s3://archive/work") -> Account:
        key = key_of(name)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", guarded.endpoint_url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key.secret_key)
        settings = replace(Settings.from_env({}), work_uri=uri, input_uri=uri)
        opened.append(Account(settings, DagSettings.from_env({}), ("s3://archive/photos",)))
        return opened[-1]

    yield account
    for one in opened:
        one.close()


def told(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.remedy) for finding in findings]


@pytest.mark.parametrize(
    ("who", "actions"),
    [
        ("everything", []),
        ("cannot list", ["s3:ListBucket on arn:aws:s3:::archive:"]),
        ("cannot read", ["s3:GetObject on arn:aws:s3:::archive/work/*:"]),
        ("cannot write", ["s3:PutObject on arn:aws:s3:::archive/work/*:"]),
        (
            "only elsewhere",
            [
                "s3:ListBucket on arn:aws:s3:::archive:",
                "s3:PutObject on arn:aws:s3:::archive/work/*:",
            ],
        ),
    ],
)
def test_each_right_that_is_wanting_is_a_line_with_the_statement_that_grants_it(
    as_guest, guarded, credentials, who, actions
):
    found = told(places.work(as_guest(who)))

    if actions:
        assert [level for level, _ in found] == ["stop"] * len(found)
        assert all(any(action in remedy for _, remedy in found) for action in actions)
        sids = {one["Sid"] for one in json.loads(POLICY.read_text())["Statement"]}
        assert all(remedy.split("statement ")[1].split(" ")[0] in sids for _, remedy in found)
    else:
        assert found == [("ok", "")]
    with owner(guarded, credentials) as s3:
        assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="archive")["Contents"]] == [
            "photos/a.jpg"
        ]


def test_a_key_that_may_write_elsewhere_may_do_it_there(as_guest):
    assert told(places.work(as_guest("only elsewhere", "s3://archive/else/work"))) == [("ok", "")]


def test_what_cannot_be_deleted_is_said_and_the_next_probe_removes_it(as_guest, guarded, credentials):
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObject",
        "Resource": "arn:aws:s3:::archive/w/*",
    }
    with owner(guarded, credentials) as s3:
        s3.put_bucket_policy(
            Bucket="archive", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]})
        )
        try:
            ((level, remedy),) = told(places.work(as_guest("everything", "s3://archive/w")))
        finally:
            s3.delete_bucket_policy(Bucket="archive")
        left = s3.list_objects_v2(Bucket="archive", Prefix="w/")["Contents"]

        assert (level, "s3:DeleteObject" in remedy) == ("stop", True)
        assert [entry["Key"].startswith(f"w/{probe.FOLDER}/") for entry in left] == [True]
        for entry in left:
            s3.delete_object(Bucket="archive", Key=entry["Key"])


@pytest.mark.parametrize(
    ("who", "level", "helps"),
    [
        ("everything", "ok", ""),
        ("cannot list", "stop", "s3:ListBucket on arn:aws:s3:::archive"),
        ("cannot read", "stop", "s3:GetObject on arn:aws:s3:::archive/*"),
    ],
)
def test_a_source_is_listed_and_an_image_of_it_read(as_guest, who, level, helps):
    (found,) = places.sources(as_guest(who))
    assert found.level == level
    assert helps in found.remedy


def test_rights_for_uploads_are_missed_by_those_only_who_upload(as_guest):
    (found,) = places.uploads(as_guest("cannot write"))
    assert found.level is Level.WARNING
    assert "without them nothing is needed" in found.remedy


def test_a_bucket_that_is_not_there_has_the_command_that_makes_it(account):
    account.settings = replace(account.settings, work_uri="s3://no-such-bucket-here/x")
    (found,) = places.work(account)
    assert (found.level, found.remedy) == ("stop", "aws s3 mb s3://no-such-bucket-here --region us-east-1")


@pytest.mark.parametrize(
    ("source", "level", "word"),
    [
        ("gs://photos", "stop", "gs://photos"),
        ("s3://{bucket}/nothing", "warning", "has no image"),
        ("s3://{bucket}/manifest.json", "stop", "manifest.json"),
        ("photos", "ok", "folder of this machine"),
    ],
)
def test_a_source_that_cannot_be_moderated_is_said(account, bucket, source, level, word):
    account.sources = (source.format(bucket=bucket),)
    (found,) = places.sources(account)
    assert found.level == level
    assert word in found.found
