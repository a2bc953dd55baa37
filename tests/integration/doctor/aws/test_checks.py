"""The whole of it, by the command, on real servers."""

from __future__ import annotations

import json

import pytest

from local_aws.rekognition.launch import Rekognition
from moderation.cli.main import main
from moderation.doctor.aws.checks import CHECKS
from support.rekognition_server import local


@pytest.fixture
def rows(account, capsys):
    """Runs the command; gives its exit code and the rows by check."""

    def run(*arguments, settings=account.settings):
        code = main(["doctor", "--aws", "--json", *arguments], settings=settings)
        told = json.loads(capsys.readouterr().out)["checks"]
        assert all((row["level"] == "ok") == (row["remedy"] is None) for row in told)
        return code, {row["check"]: row for row in told}

    return run


def test_an_account_in_which_all_is_well_stops_nothing_and_is_as_it_was(
    rows, s3_client, bucket, keys, tmp_path
):
    s3_client.put_object(Bucket=bucket, Key="photos/a.jpg", Body=b"1")

    code, told = rows("--source", f"s3://{bucket}/photos")

    assert code == 0
    # Loopback is not AWS, and that is said.
    assert {name for name, row in told.items() if row["level"] != "ok"} == {"endpoints"}
    assert set(told) == {"endpoints", "caller", *(check.name for check in CHECKS)}
    assert keys() == ["photos/a.jpg"]
    assert list(tmp_path.glob("*.d*b")) == []  # neither catalog nor warehouse is made by looking


def test_whatever_cannot_be_paid_for_here_was_not_paid(rows, rekognition_server: Rekognition):
    before = local(rekognition_server, "/ledger")[1]["totals"]
    rows()
    assert local(rekognition_server, "/ledger")[1]["totals"] == before


@pytest.mark.parametrize(
    ("variable", "value", "helps"),
    [
        ("AWS_SECRET_ACCESS_KEY", "another", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_ACCESS_KEY_ID", "AKIANOBODY0000000000", "AWS_ACCESS_KEY_ID"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9", "network"),
    ],
)
def test_without_s3_one_line_says_why_and_what_helps(rows, aws_env, variable, value, helps):
    aws_env.setenv(variable, value)
    code, told = rows()
    assert code == 2
    assert told["caller"]["level"] == "stop"
    assert helps in told["caller"]["remedy"]
    assert set(told) == {"endpoints", "caller", "others"}


def test_a_source_without_the_account_is_refused(capsys):
    assert main(["doctor", "--source", "s3://photos"]) == 2
    assert "--aws" in capsys.readouterr().err
