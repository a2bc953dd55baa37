"""The AWS CLI as a client: another SDK release in another process, told nothing but an endpoint address."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition.launch import Rekognition
from local_aws.seaweedfs import Credentials
from support.adapter_training import assets
from support.hash_moderator import MODEL_VERSION
from support.pictures import jpeg
from support.rekognition_server import put_manifest, result_lines, wait_until

AWS = Path(__file__).parents[4] / ".tools" / "awscli" / "bin" / "aws"


@pytest.fixture
def aws(tmp_path: Path, rekognition_server: Rekognition, credentials: Credentials) -> Any:
    """Runs ``aws rekognition ...``; returns exit code, decoded output and error text."""
    assert AWS.exists(), f"the AWS CLI is missing at {AWS}; make test installs it there"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_REKOGNITION": rekognition_server.endpoint_url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }

    def call(*arguments: str, **changes: str) -> tuple[int, Any, str]:
        done = subprocess.run(
            [str(AWS), "rekognition", *arguments, "--output", "json"],
            env={**environment, **changes},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr

    return call


@pytest.mark.slow
def test_the_cli_starts_shows_and_lists_a_job(aws: Any, s3_client: Any, bucket: str) -> None:
    s3_client.put_object(Bucket=bucket, Key="a b.jpg", Body=jpeg())
    put_manifest(s3_client, bucket, [f"s3://{bucket}/a b.jpg"])
    code, answer, text = aws(
        "start-media-analysis-job",
        "--job-name=from-cli",
        "--operations-config=DetectModerationLabels={MinConfidence=1}",
        f"--input=S3Object={{Bucket={bucket},Name=manifest.jsonl}}",
        f"--output-config=S3Bucket={bucket},S3KeyPrefix=out",
    )
    assert code == 0, text
    job_id = answer["JobId"]

    def finished() -> Any:
        shown = aws("get-media-analysis-job", "--job-id", job_id)[1]
        return shown if shown["Status"] == "SUCCEEDED" else None

    job = wait_until(finished, what="the end of the job")
    assert [line["source-ref"] for line in result_lines(s3_client, job)] == [f"s3://{bucket}/a b.jpg"]
    listed = aws("list-media-analysis-jobs", "--max-results", "1")[1]["MediaAnalysisJobs"]
    assert [(item["JobId"], item["JobName"]) for item in listed] == [(job_id, "from-cli")]


def test_the_cli_looks_at_an_image(aws: Any, s3_client: Any, bucket: str, tmp_path: Path) -> None:
    s3_client.put_object(Bucket=bucket, Key="k", Body=jpeg())
    (tmp_path / "k.jpg").write_bytes(jpeg())
    stored = aws("detect-moderation-labels", f"--image=S3Object={{Bucket={bucket},Name=k}}")[1]
    sent = aws("detect-moderation-labels", "--image-bytes", f"fileb://{tmp_path / 'k.jpg'}")[1]
    assert stored == sent
    assert stored["ModerationModelVersion"] == MODEL_VERSION


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIANOBODY"}, "UnrecognizedClientException"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "InvalidSignatureException"),
    ],
)
def test_the_cli_shows_awss_own_error_for_a_bad_key(aws: Any, change: dict[str, str], code: str) -> None:
    status, answer, text = aws("list-media-analysis-jobs", **change)
    assert status != 0
    assert answer is None
    assert f"An error occurred ({code}) when calling the ListMediaAnalysisJobs operation" in text


def test_the_cli_shows_a_violated_constraint(aws: Any) -> None:
    """The CLI, as botocore, checks no pattern itself, so the endpoint must."""
    status, _, text = aws("get-media-analysis-job", "--job-id", "not/an/id")
    assert status != 0
    assert "failed to satisfy constraint: Member must satisfy regular expression pattern" in text


@pytest.mark.slow
def test_the_cli_makes_trains_tags_and_deletes_an_adapter(aws: Any, s3_client: Any, bucket: str) -> None:
    """A training fails at once, in AWS's words, for its manifest is not there."""
    code, made, text = aws(
        "create-project", "--project-name=from-cli", "--feature=CONTENT_MODERATION", "--auto-update=DISABLED"
    )
    assert code == 0, text
    project = made["ProjectArn"]
    manifest = json.dumps(assets(bucket))
    code, begun, text = aws(
        "create-project-version",
        f"--project-arn={project}",
        "--version-name=v1",
        f"--output-config=S3Bucket={bucket},S3KeyPrefix=out",
        f"--training-data={manifest}",
        "--testing-data=AutoCreate=true",
        "--tags=team=trust",
    )
    assert code == 0, text
    version = begun["ProjectVersionArn"]
    tags = aws("list-tags-for-resource", f"--resource-arn={version}")[1]
    assert tags == {"Tags": {"team": "trust"}}

    def over() -> Any:
        answer = aws("describe-project-versions", f"--project-arn={project}", "--version-names=v1")[1]
        (found,) = answer["ProjectVersionDescriptions"]
        return found if found["Status"] != "TRAINING_IN_PROGRESS" else None

    found = wait_until(over, what="the end of the training")
    assert (found["Status"], found["StatusMessage"][:34]) == (
        "TRAINING_FAILED",
        "The manifest file extension or con",
    )
    assert "(ResourceInUseException)" in aws("delete-project", f"--project-arn={project}")[2]
    status = aws("delete-project-version", f"--project-version-arn={version}")[1]
    assert status == {"Status": "DELETING"}
    wait_until(lambda: aws("delete-project", f"--project-arn={project}")[0] == 0)
