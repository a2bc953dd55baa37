"""Whose turn it is: nothing small waits behind many huge ones, wherever these are held up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition.launch import Rekognition
from local_aws.seaweedfs import Credentials
from support.gated_moderator import GATE
from support.pictures import chunk, jpeg, png_header
from support.rekognition_server import (
    client,
    put_manifest,
    quick,
    request_for,
    result_lines,
    wait_for_job,
    wait_until,
)

MANY = 16
HUGE = png_header(10_000, 10_000) + chunk(b"IDAT", bytes(400_000))


def waiting(server: Rekognition) -> int:
    """How many images the server holds that wait outside its memory."""
    links = []
    for entry in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            links.append(os.readlink(entry))
        except FileNotFoundError:  # closed meanwhile
            continue
    return sum("/waiting/" in link for link in links)


@dataclass(frozen=True)
class Stage:
    """A server that answers no huge image before ``gate`` exists, and 16 threads to call it."""

    server: Rekognition
    rekognition: Any
    s3: Any
    bucket: str
    gate: Path
    crowd: ThreadPoolExecutor

    @property
    def begun(self) -> int:
        """Huge images that are being looked at."""
        file = self.gate.with_name(self.gate.name + "-begun")
        return len(file.read_bytes()) if file.exists() else 0

    def call_with_huge_ones(self, source: str) -> list[Future[Any]]:
        """Make 16 calls, and return when the server holds all of them."""
        image = {"Bytes": HUGE} if source == "request" else self.stored("huge.png")
        call = self.rekognition.detect_moderation_labels
        calls = [self.crowd.submit(call, Image=image) for _ in range(MANY)]
        wait_until(lambda: waiting(self.server) == MANY and self.begun == 1, what="the huge images")
        return calls

    def run(self, *keys: str) -> str:
        """Start a job over these images."""
        put_manifest(self.s3, self.bucket, [f"s3://{self.bucket}/{key}" for key in keys])
        return str(self.rekognition.start_media_analysis_job(**request_for(self.bucket))["JobId"])

    def results(self, job_id: str) -> int:
        """Wait for a job; return how many lines it has."""
        return len(result_lines(self.s3, wait_for_job(self.rekognition, job_id)))

    def stored(self, key: str) -> dict[str, Any]:
        """The ``Image`` of an object."""
        return {"S3Object": {"Bucket": self.bucket, "Name": key}}


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(GATE, str(tmp_path / "gate"))
    return tmp_path / "gate"


@pytest.fixture
def stage(
    start_rekognition: Any, credentials: Credentials, s3_client: Any, bucket: str, gate: Path
) -> Iterator[Stage]:
    server = start_rekognition(settings=quick(moderator="support.gated_moderator:GatedModerator"))
    s3_client.put_object(Bucket=bucket, Key="huge.png", Body=HUGE)
    s3_client.put_object(Bucket=bucket, Key="small.jpg", Body=jpeg())
    with (
        client(server, credentials, max_pool_connections=MANY, read_timeout=120) as rekognition,
        ThreadPoolExecutor(MANY) as crowd,
    ):
        try:
            yield Stage(server, rekognition, s3_client, bucket, gate, crowd)
        finally:
            gate.touch()


@pytest.mark.parametrize("source", [pytest.param("request", marks=pytest.mark.long), "s3"])
def test_a_small_image_is_answered_while_many_huge_ones_wait(stage: Stage, source: str) -> None:
    calls = stage.call_with_huge_ones(source)
    for shown in ({"Bytes": jpeg()}, stage.stored("small.jpg")):
        assert stage.rekognition.detect_moderation_labels(Image=shown)["ModerationModelVersion"]
    assert not any(call.done() for call in calls)
    assert stage.begun == 1
    stage.gate.touch()
    assert all(call.result(timeout=60) for call in calls)
    wait_until(lambda: waiting(stage.server) == 0, what="the end of all waiting files")


@pytest.mark.parametrize("source", ["request", pytest.param("s3", marks=pytest.mark.long)])
def test_a_job_of_small_images_ends_while_huge_calls_wait(stage: Stage, source: str) -> None:
    calls = stage.call_with_huge_ones(source)
    assert stage.results(stage.run(*["small.jpg"] * 30)) == 30
    assert not any(call.done() for call in calls)
    stage.gate.touch()
    assert all(call.result(timeout=60) for call in calls)


def test_a_small_image_is_answered_while_jobs_of_huge_ones_wait(stage: Stage) -> None:
    jobs = [stage.run(*["huge.png"] * MANY) for _ in range(3)]
    wait_until(lambda: stage.begun == 1, what="the first huge image")
    for shown in ({"Bytes": jpeg()}, stage.stored("small.jpg")):
        assert stage.rekognition.detect_moderation_labels(Image=shown)["ModerationModelVersion"]
    assert stage.begun == 1
    stage.gate.touch()
    assert [stage.results(job) for job in jobs] == [MANY] * 3
