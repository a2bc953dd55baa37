"""What survives kill -9, a restart, and an S3 that goes away."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local_aws import process, seaweedfs
from local_aws.rekognition import launch
from local_aws.rekognition.launch import Rekognition
from local_aws.seaweedfs import Credentials, SeaweedFS
from support.odd_s3 import MODIFIED, serving, whole
from support.pictures import jpeg
from support.rekognition_server import (
    client,
    ledger,
    local,
    output,
    put_manifest,
    quick,
    request_for,
    result_lines,
    wait_for_job,
    wait_until,
)

COUNT = 40


@pytest.fixture
def images(s3_client: Any, bucket: str) -> list[str]:
    keys = [f"{number:04}.jpg" for number in range(COUNT)]
    for number, key in enumerate(keys):
        s3_client.put_object(Bucket=bucket, Key=key, Body=jpeg(100, 100, seed=number % 5))
    found = [f"s3://{bucket}/{key}" for key in keys]
    put_manifest(s3_client, bucket, found)
    return found


def kill(server: Rekognition) -> None:
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.popen.wait(timeout=240)


def done(server: Rekognition) -> int:
    return sum(job["done"] for job in local(server, "/jobs")[1]["jobs"])


def billed(server: Rekognition) -> Counter[str]:
    return Counter(entry["source_ref"] for entry in ledger(server) if entry["event"] == "image_billed")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["kill", pytest.param("stop", marks=pytest.mark.long)])
def test_a_job_in_progress_goes_on_where_it_stood(
    start_rekognition: Any, s3_client: Any, credentials: Credentials, images: list[str], end: str
) -> None:
    """Ended three times on the way; nothing is lost, doubled or billed twice, and it does not start over."""
    bucket = images[0].split("/")[2]
    slow = quick(seconds_per_image=0.2, checkpoint_images=4, prefetch=4)
    server = start_rekognition(settings=slow)
    with client(server, credentials) as rekognition:
        job_id = rekognition.start_media_analysis_job(**request_for(bucket, ClientRequestToken="once"))[
            "JobId"
        ]
    stood = 0
    for settings in (slow, slow, quick()):
        wait_until(lambda server=server, least=stood: done(server) > least + 4, what="progress")
        stood = done(server)
        kill(server) if end == "kill" else server.stop()
        server = start_rekognition(settings=settings)
        assert done(server) >= stood
    with client(server, credentials) as rekognition:
        assert (
            rekognition.start_media_analysis_job(**request_for(bucket, ClientRequestToken="once"))["JobId"]
            == job_id
        )
        job = wait_for_job(rekognition, job_id)
    assert job["Status"] == "SUCCEEDED"
    assert [line["source-ref"] for line in result_lines(s3_client, job)] == images
    assert billed(server) == Counter(images)


@pytest.mark.slow
def test_an_interrupted_job_gives_the_same_bytes_as_an_undisturbed_one(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials, images: list[str]
) -> None:
    server = start_rekognition(settings=quick(seconds_per_image=0.2, checkpoint_images=3))
    with client(server, credentials) as rekognition:
        disturbed = rekognition.start_media_analysis_job(**request_for(bucket))["JobId"]
    wait_until(lambda: done(server) > 5, what="progress")
    kill(server)
    server = start_rekognition()
    with client(server, credentials) as rekognition:
        calm = rekognition.start_media_analysis_job(**request_for(bucket))["JobId"]
        first, second = (result_lines(s3_client, wait_for_job(rekognition, job)) for job in (disturbed, calm))
    assert first == second


def test_what_is_over_is_remembered(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials, images: list[str]
) -> None:
    server = start_rekognition()
    with client(server, credentials) as rekognition:
        job_id = rekognition.start_media_analysis_job(**request_for(bucket, JobName="kept"))["JobId"]
        before = wait_for_job(rekognition, job_id)
        entries = ledger(server)
    kill(server)
    server = start_rekognition()
    with client(server, credentials) as rekognition:
        after = rekognition.get_media_analysis_job(JobId=job_id)
        listed = rekognition.list_media_analysis_jobs()["MediaAnalysisJobs"]
    for answer in (before, after):
        answer.pop("ResponseMetadata")
    assert after == before == listed[0]
    assert ledger(server) == entries


@pytest.mark.slow
def test_results_are_written_once_and_appear_whole(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials, images: list[str]
) -> None:
    """Nothing stands under the output prefix before the end, and then exactly the two files."""
    server = start_rekognition(settings=quick(seconds_per_image=0.05, checkpoint_images=1))
    looks = 0
    with client(server, credentials) as rekognition:
        job_id = rekognition.start_media_analysis_job(**request_for(bucket))["JobId"]
        while True:
            listed = s3_client.list_objects_v2(Bucket=bucket, Prefix="out/")
            if done(server) == COUNT:
                break
            assert "Contents" not in listed
            looks += 1
        assert looks
        job = wait_for_job(rekognition, job_id)
    keys = {entry["Key"] for entry in s3_client.list_objects_v2(Bucket=bucket, Prefix="out/")["Contents"]}
    assert keys == {job["Results"]["S3Object"]["Name"], job["ManifestSummary"]["S3Object"]["Name"]}


def test_the_local_files_of_a_job_are_removed_at_its_end(
    start_rekognition: Any, tmp_path: Path, bucket: str, credentials: Credentials, images: list[str]
) -> None:
    server = start_rekognition()
    with client(server, credentials) as rekognition:
        wait_for_job(rekognition, rekognition.start_media_analysis_job(**request_for(bucket))["JobId"])
    wait_until(lambda: not list((tmp_path / "rekognition" / "jobs").iterdir()), what="an empty folder")


@pytest.fixture
def own_s3(tmp_path: Path, credentials: Credentials) -> Any:
    """An S3 server of this test's own, which it may stop; started again on the same port."""
    running: list[SeaweedFS] = []

    def start(port: int | None = None) -> SeaweedFS:
        running.append(seaweedfs.start(tmp_path / "s3", credentials, port=port))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, pytest.param(False, marks=pytest.mark.long)])
def test_s3_gone_in_the_middle_is_waited_for_within_the_set_patience(
    own_s3: Any, start_rekognition: Any, credentials: Credentials, comes_back: bool
) -> None:
    s3_server = own_s3()
    s3 = boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint_url,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )
    s3.create_bucket(Bucket="bucket")
    for number in range(20):
        s3.put_object(Bucket="bucket", Key=f"{number}", Body=jpeg(100, 100, seed=number % 5))
    put_manifest(s3, "bucket", [f"s3://bucket/{number}" for number in range(20)])
    settings = quick(
        seconds_per_image=0.1, checkpoint_images=1, prefetch=2, s3_patience_seconds=60 if comes_back else 1
    )
    server = start_rekognition(settings=settings, s3_endpoint_url=s3_server.endpoint_url)
    with client(server, credentials) as rekognition:
        job_id = rekognition.start_media_analysis_job(**request_for("bucket"))["JobId"]
        wait_until(lambda: done(server) > 2, what="progress")
        s3_server.stop()
        if comes_back:
            own_s3(int(s3_server.endpoint_url.rpartition(":")[2]))
        job = wait_for_job(rekognition, job_id)
        if comes_back:
            assert job["Status"] == "SUCCEEDED"
            assert len(result_lines(s3, job)) == 20
        else:
            assert (job["Status"], job["FailureDetails"]["Code"]) == ("FAILED", "INTERNAL_ERROR")
            image = {"S3Object": {"Bucket": "bucket", "Name": "1"}}
            with pytest.raises(rekognition.exceptions.InternalServerError):
                rekognition.detect_moderation_labels(Image=image)
    s3.close()


@pytest.mark.slow
def test_an_image_that_s3_does_not_give_fails_alone(
    start_rekognition: Any, s3_server: SeaweedFS, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    picture = jpeg(100, 100)
    odd = {
        "cut off": b"",
        "no length": b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + MODIFIED + b"\r\n" + picture,
        "page": whole("407 No", body=b"<html>Log in</html>"),
    }
    for name in ("good", *odd):
        s3_client.put_object(Bucket=bucket, Key=name, Body=picture)
    put_manifest(s3_client, bucket, [f"s3://{bucket}/{name}" for name in ("good", *odd)])
    with serving(odd, before=s3_server.endpoint_url) as address:
        server = start_rekognition(settings=quick(s3_patience_seconds=600), s3_endpoint_url=address)
        with client(server, credentials) as rekognition:
            job = wait_for_job(
                rekognition, rekognition.start_media_analysis_job(**request_for(bucket))["JobId"]
            )
    assert job["Status"] == "SUCCEEDED"
    assert [line["source-ref"] for line in result_lines(s3_client, job)] == [f"s3://{bucket}/good"]
    errors = json.loads(output(s3_client, job, "ManifestSummary"))["errors"]
    assert {error["source-ref"].rpartition("/")[2]: error["code"] for error in errors} == {
        "cut off": "InternalServerError",
        "no length": "InvalidS3ObjectException",
        "page": "InvalidS3ObjectException",
    }


def test_two_servers_cannot_use_one_state_folder(start_rekognition: Any, tmp_path: Path) -> None:
    start_rekognition()
    with pytest.raises(process.ServiceError, match="another server uses"):
        start_rekognition()


def test_a_taken_port_is_named(
    rekognition_server: Rekognition, tmp_path: Path, s3_server: SeaweedFS, credentials: Credentials
) -> None:
    port = int(rekognition_server.endpoint_url.rpartition(":")[2])
    with pytest.raises(process.ServiceError, match=rf"port {port} .* is taken"):
        launch.start(tmp_path, credentials, s3_server.endpoint_url, port=port)


def test_a_moderator_that_is_not_there_ends_the_start_with_one_line(start_rekognition: Any) -> None:
    with pytest.raises(process.ServiceError, match=r"moderator 'support.nothing:Here' cannot be loaded"):
        start_rekognition(settings=quick(moderator="support.nothing:Here"))


def test_the_log_holds_no_secret(
    start_rekognition: Any, bucket: str, credentials: Credentials, images: list[str]
) -> None:
    server = start_rekognition()
    with client(server, credentials) as rekognition:
        wait_for_job(rekognition, rekognition.start_media_analysis_job(**request_for(bucket))["JobId"])
    text = server.process.log_path.read_text()
    assert "startup complete" in text
    assert credentials.secret_key not in text
    assert server.admin_token not in text
