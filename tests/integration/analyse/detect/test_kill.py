"""A real process, killed with SIGKILL in the middle: the next one pays again for calls in flight at most."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from moderation.analyse.detect.errors import CheckpointDamaged
from moderation.storage import s3_objects
from support.detect import Workbench
from support.rekognition_server import faults, wait_until

REPOSITORY = Path(__file__).parents[4]
IMAGES, IN_FLIGHT, TPS = 90, 6, 30
SLOW = {"kind": "slow", "operation": "DetectModerationLabels", "seconds": 0.15}
HELD = {**SLOW, "seconds": 20}
"""Paid for and not answered: however slow this machine is, the process does not end before it is killed."""


def command(bench: Workbench) -> list[str]:
    """What moderates the manifest that ``bench.request`` has stored."""
    manifest, output = f"s3://{bench.bucket}/manifest.jsonl", f"s3://{bench.bucket}/out/manifest"
    return [
        sys.executable,
        *("-m", "moderation.cli.detect", manifest, output),
        *("--min-confidence", "50", "--tps", str(TPS), "--in-flight", str(IN_FLIGHT)),
        *("--spool", str(bench.spool), "--part-seconds", "0.5", "--owner-seconds", "2"),
    ]


def environment(bench: Workbench) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY / "include"),
        "MODERATION_WORK_URI": bench.settings.work_uri,
    }


def start_and_kill(bench: Workbench, after: int) -> None:
    """Start a process, and kill it once the server was paid for ``after`` images."""
    before = sum(bench.paid().values())
    with faults(bench.server, {**HELD, "skip": after}, SLOW):
        process = subprocess.Popen(command(bench), env=environment(bench), stderr=subprocess.PIPE)
        try:
            wait_until(lambda: sum(bench.paid().values()) >= before + after, what="enough paid images")
            assert process.poll() is None, "it was killed in the middle"
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    # Its place in the shared rate would expire by itself, after 15 s.
    for entry in s3_objects.list_objects(bench.s3, f"{bench.settings.work_uri}/rates/"):
        bench.s3.delete_object(Bucket=bench.bucket, Key=entry["Key"])


def run_to_the_end(bench: Workbench) -> dict[str, object]:
    done = subprocess.run(
        command(bench), env=environment(bench), capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    outcome: dict[str, object] = json.loads(done.stdout)
    return outcome


def results(bench: Workbench, outcome: dict[str, object]) -> list[str]:
    body = s3_objects.read(bench.s3, str(outcome["results_uri"])).body
    return [json.loads(line)["source-ref"] for line in body.splitlines()]


def test_kill_and_resume_on_the_same_machine_pays_twice_for_calls_in_flight_at_most(
    bench: Workbench,
) -> None:
    refs = bench.upload(IMAGES)
    bench.request(refs)
    for after in (15, 20, 25):
        start_and_kill(bench, after)
    outcome = run_to_the_end(bench)
    paid = bench.paid()
    assert results(bench, outcome) == refs
    assert set(paid) == set(refs)
    assert sum(paid.values()) - IMAGES <= 3 * IN_FLIGHT
    assert int(str(outcome["resumed"])) >= 60 - 3 * IN_FLIGHT


@pytest.mark.slow
def test_kill_and_resume_on_another_machine_goes_on_from_the_parts(bench: Workbench) -> None:
    refs = bench.upload(IMAGES)
    bench.request(refs)
    start_and_kill(bench, 50)
    shutil.rmtree(bench.spool)
    outcome = run_to_the_end(bench)
    assert results(bench, outcome) == refs
    resumed, calls = int(str(outcome["resumed"])), int(str(outcome["calls"]))
    assert resumed > 0
    assert resumed + calls == IMAGES, "what a part holds is not asked again"


@pytest.mark.slow
def test_a_damaged_part_is_named_and_nothing_is_called(bench: Workbench) -> None:
    request = bench.request(bench.upload(IMAGES))
    start_and_kill(bench, 50)
    shutil.rmtree(bench.spool)
    parts = [
        e
        for e in s3_objects.list_objects(bench.s3, f"s3://{bench.bucket}/out/manifest/")
        if "/part-" in e["Key"]
    ]
    uri = f"s3://{bench.bucket}/{parts[0]['Key']}"
    body = bytearray(s3_objects.read(bench.s3, uri).body)
    body[len(body) // 2] ^= 0x20
    s3_objects.put(bench.s3, uri, bytes(body))
    paid = bench.paid()
    with pytest.raises(CheckpointDamaged, match=parts[0]["Key"].rsplit("/", 1)[1]):
        bench.run(request)
    assert bench.paid() == paid
