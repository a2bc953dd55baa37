"""An archive without Airflow, by the command alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition.launch import Rekognition
from moderation import stages
from moderation.archive.backfill import alone, state, step
from moderation.archive.backfill.state import DONE, PARKED, WAITING
from moderation.cli.main import main
from moderation.plan.plan import PlanError
from moderation.settings import Settings
from moderation.storage import lease
from support import pictures
from support import rekognition_server as offline
from support.archive_runs import StageRuns


def start(settings: Settings, s3: Any, bucket: str, *options: str) -> None:
    for name in "abcd":
        body = pictures.jpeg(80, 80) + f"{bucket}{name}".encode()
        s3.put_object(Bucket=bucket, Key=f"photos/{name}.jpg", Body=body)
    source = f"s3://{bucket}/photos"
    words = ["archive", "start", "old", source, "--order", "prefix", "--chunk-images", "2", *options]
    assert main(words, settings=settings) == 0


def paid(server: Rekognition, bucket: str) -> list[int]:
    entries = (entry for entry in offline.ledger(server) if entry["event"] == "detect_billed")
    found = Counter(entry["source_ref"] for entry in entries)
    return [count for ref, count in found.items() if ref.startswith(f"s3://{bucket}/")]


@pytest.mark.slow
def test_it_is_worked_off_after_a_kill_too_and_what_fails_is_parked_with_its_reason(
    settings: Settings,
    s3_client: Any,
    bucket: str,
    rekognition_server: Rekognition,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start(settings, s3_client, bucket, "--tries", "1")
    second = state.read(settings, s3_client, "old").chunks[1].uri
    discover = stages.discover

    def refused(run: Any, *, source: str, **more: Any) -> str:
        if source == f"chunk:{second}":
            raise PlanError("nobody may list it")
        return discover(run, source=source, **more)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "publish", killed)
        assert main(["archive", "run", "old"], settings=settings) == 130
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "discover", refused)
        assert main(["archive", "run", "old"], settings=settings) == 1
    told = capsys.readouterr()
    assert "archive__old__00002 failed" in told.err
    assert "owed:               2 (not attempted 2)" in told.out
    found = state.read(settings, s3_client, "old")
    assert [chunk.status for chunk in found.chunks] == [DONE, PARKED]
    assert found.chunks[1].reason == "nobody may list it"

    assert main(["archive", "retry", "old", "--person", "ana"], settings=settings) == 0
    assert main(["archive", "run", "old"], settings=settings) == 0
    assert "ended" in capsys.readouterr().out
    assert paid(rekognition_server, bucket) == [1, 1, 1, 1]

    assert main(["archive", "clean", "old"], settings=settings) == 0
    assert main(["archive", "clean", "old"], settings=settings) == 0, "it may be asked again"
    listed = s3_client.list_objects_v2(Bucket=bucket, Prefix="work/archives/")["Contents"]
    assert [entry["Key"] for entry in listed] == ["work/archives/old/archive.json"]
    for what in ("retry", "resume", "stop"):
        assert main(["archive", what, "old"], settings=settings) == 2
    assert "start another archive" in capsys.readouterr().err


def test_airflow_and_the_command_never_work_off_the_same_archive(
    settings: Settings, s3_client: Any, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start(settings, s3_client, bucket)
    airflow = StageRuns(settings, s3_client, tmp_path)
    with lease.hold(s3_client, alone.lease_uri(settings, "old"), owner="archive run"):
        assert step.step(airflow, asker="look-1", settings=settings) == []
        assert main(["archive", "run", "old"], settings=settings) == 75, "another command has it"
    assert len(step.step(airflow, asker="look-2", settings=settings)) == 1
    assert main(["archive", "run", "old"], settings=settings) == 2
    assert "Airflow works off chunk 1 of old; pause it" in capsys.readouterr().err


def test_it_ends_where_a_person_paused_it_and_refuses_what_only_airflow_can(
    settings: Settings, s3_client: Any, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    start(settings, s3_client, bucket)
    assert main(["archive", "clean", "old"], settings=settings) == 2, "its lists are needed"
    assert main(["archive", "pause", "old"], settings=settings) == 0
    assert main(["archive", "run", "old"], settings=settings) == 0
    assert [chunk.status for chunk in state.read(settings, s3_client, "old").chunks] == [WAITING, WAITING]
    bulk = replace(state.read(settings, s3_client, "old").options, backend="bulk")
    state.change(settings, s3_client, "old", lambda found: replace(found, options=bulk))
    assert main(["archive", "run", "old"], settings=settings) == 2
    assert "--backend detect" in capsys.readouterr().err
