from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition.launch import Rekognition
from moderation.archive.backfill import state, step
from moderation.archive.backfill.state import DONE, PARKED, WAITING
from moderation.cli.main import main
from moderation.publish import gone
from moderation.settings import Settings
from moderation.sources import inspection
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.published import scan
from moderation.tables.standing import GONE
from support import pictures
from support import rekognition_server as offline
from support.archive_runs import StageRuns

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAMES = "abcdefgh"


@pytest.fixture
def runs(settings: Settings, s3_client: Any, tmp_path: Path) -> StageRuns:
    return StageRuns(settings, s3_client, tmp_path)


class Clock:
    """An hour passes from look to look, so that what failed is ready again."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(hours=2)
        return self.now


def put(s3: Any, bucket: str, name: str, *, other: str = "") -> None:
    body = pictures.jpeg(80, 80) + f"{bucket}{name}{other}".encode()
    s3.put_object(Bucket=bucket, Key=f"photos/{name}.jpg", Body=body)


def look(runs: StageRuns, now: datetime, number: int) -> list[str]:
    asked = step.step(runs, asker=f"look-{number}", settings=runs.settings, now=now)
    runs.begin(asked)
    step.begun([one["trigger_run_id"] for one in asked], settings=runs.settings)
    return [one["trigger_run_id"] for one in asked]


def paid(server: Rekognition, bucket: str) -> Counter[str]:
    return Counter(
        entry["source_ref"]
        for entry in offline.ledger(server)
        if entry["event"] == "detect_billed" and entry["source_ref"].startswith(f"s3://{bucket}/")
    )


def start(settings: Settings, bucket: str, *options: str) -> int:
    source = f"s3://{bucket}/photos"
    words = ["archive", "start", "old", source, "--order", "prefix", "--chunk-images", "2", *options]
    return main(words, settings=settings)


def marked(settings: Settings) -> list[str]:
    """The images that stand in the table `gone`."""
    with open_catalog(settings) as catalog:
        batches = scan(load_table(catalog, GONE), GONE, ["source_ref"])
        return sorted(ref for batch in batches for ref in batch.column(0).to_pylist())


@pytest.mark.slow
def test_an_archive_is_worked_off_paused_resumed_and_every_key_accounted_for(
    runs: StageRuns,
    s3_client: Any,
    bucket: str,
    rekognition_server: Rekognition,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings, clock = runs.settings, Clock()
    for name in NAMES:
        put(s3_client, bucket, name)
    s3_client.put_object(Bucket=bucket, Key="photos/broken.png", Body=pictures.png(90, 80)[:-60])
    assert start(settings, bucket, "--tries", "2", "--day-usd", "1") == 0
    assert start(settings, bucket) != 0, "the name is taken"
    put(s3_client, bucket, "c", other="changed")
    put(s3_client, bucket, "new")
    s3_client.delete_object(Bucket=bucket, Key="photos/h.jpg")

    runs.dying.add("archive__old__00003")
    assert look(runs, clock(), 1) == ["archive__old__00001"]
    assert look(runs, clock(), 2) == ["archive__old__00002"]
    assert main(["archive", "pause", "old", "--days", "3"], settings=settings) == 0
    assert look(runs, clock(), 3) == []
    assert [chunk.status for chunk in state.read(settings, s3_client, "old").chunks] == [
        DONE,
        DONE,
        WAITING,
        WAITING,
        WAITING,
    ]
    assert main(["archive", "resume", "old"], settings=settings) == 0
    limits = ["--day-usd", "2", "--month-usd", "none"]
    assert main(["archive", "budget", "old", *limits, "--person", "ana"], settings=settings) == 0
    for number in range(4, 9):
        look(runs, clock(), number)
    found = state.read(settings, s3_client, "old")
    assert [chunk.status for chunk in found.chunks] == [DONE, DONE, PARKED, DONE, DONE]
    assert found.chunks[2].reason == "archive__old__00003 was told to fail"
    assert runs.begun.count("archive__old__00003") == 2
    assert [chunk.answered for chunk in found.chunks] == [2, 1, 0, 2, 0]
    assert (found.chunks[1].changed, found.chunks[4].gone) == (1, 1)
    assert found.chunks[0].billed == 2
    assert step.due(settings=settings) == ["old"]

    result = step.reconcile("old", settings=settings, mark=gone.mark)
    assert marked(settings) == [f"s3://{bucket}/photos/h.jpg"]
    assert (result["keys"], result["answered"], result["gone"]) == (9, 5, 1)
    assert (sum(result["refused"].values()), result["owed"]) == (1, {"": 2})
    assert (result["new"], result["changed"], result["gone_since"]) == (1, 1, 1)
    assert step.due(settings=settings) == []

    runs.dying.clear()
    assert main(["archive", "retry", "old"], settings=settings) == 0
    assert look(runs, clock(), 20) == ["archive__old__00003"]
    assert look(runs, clock(), 21) == []
    s3_client.delete_object(Bucket=bucket, Key="photos/a.jpg")
    result = step.reconcile("old", settings=settings, mark=gone.mark)
    assert (result["answered"], result["owed"]) == (7, {})
    assert (result["gone"], result["gone_since"]) == (1, 2)
    assert marked(settings) == [f"s3://{bucket}/photos/{name}.jpg" for name in "ah"]
    keys = "\n".join(f"s3://{bucket}/photos/{name}.jpg" for name in "abh")
    s3_client.put_object(Bucket=bucket, Key="keys.txt", Body=keys.encode())
    assert main(["archive", "start", "listed", f"list:s3://{bucket}/keys.txt"], settings=settings) == 0
    result = step.reconcile("listed", settings=settings, mark=gone.mark)
    assert (result["answered"], result["gone"], result["gone_since"]) == (2, 1, 2), (
        "a list of keys shows nothing"
    )
    assert state.read(settings, s3_client, "old").chunks[2].reason == ""
    assert set(paid(rekognition_server, bucket).values()) == {1}
    capsys.readouterr()
    assert main(["archive", "status", "old", "--json"], settings=settings) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["progress"]["done"]) == ("ended", 9)
    assert main(["archive", "status"], settings=settings) == 0
    assert "9 of 9 images" in capsys.readouterr().out
    assert [order["what"].split(" until")[0] for order in told["orders"]] == [
        "pause",
        "resume",
        "budget of the day 2.00 USD, of the month without limit",
        "retry of chunk 3",
    ]


@pytest.mark.slow
def test_a_chunk_whose_list_is_lost_is_parked_and_stops_no_other_archive(
    runs: StageRuns, s3_client: Any, bucket: str
) -> None:
    settings, clock = runs.settings, Clock()
    for name in "ab":
        put(s3_client, bucket, name)
    assert start(settings, bucket, "--tries", "1") == 0
    source = f"s3://{bucket}/photos"
    assert main(["archive", "start", "other", source, "--chunk-images", "2"], settings=settings) == 0
    uri = state.read(settings, s3_client, "old").chunks[0].uri
    s3_client.delete_object(Bucket=bucket, Key=uri.removeprefix(f"s3://{bucket}/"))
    runs.failing.add("archive__old__00001")
    for number in range(4):
        look(runs, clock(), number)
    (chunk,) = state.read(settings, s3_client, "old").chunks
    assert (chunk.status, chunk.reason.partition("; ")[0]) == (PARKED, f"{uri} is not there any more")
    assert state.read(settings, s3_client, "other").chunks[0].status == DONE


@pytest.mark.slow
def test_without_reading_headers_a_chunk_asks_for_no_object(
    runs: StageRuns, settings: Settings, s3_client: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        put(s3_client, bucket, name)
    assert start(settings, bucket, "--no-inspect") == 0

    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("a header was read")

    monkeypatch.setattr(inspection, "inspect", refused)
    assert look(runs, NOW, 1) == ["archive__old__00001"]
    assert runs.known == {"archive__old__00001": "success"}
    step.step(runs, asker="look-2", settings=settings, now=NOW + timedelta(hours=2))
    assert state.read(settings, s3_client, "old").chunks[0].answered == 2
