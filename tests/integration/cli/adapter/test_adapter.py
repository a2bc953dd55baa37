"""``moderation adapter`` on real servers: from verdicts to the adapter in use, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moderation.cli.main import main
from moderation.settings import Settings
from support import rekognition_server as offline
from support.judged import publish_judged
from support.planned_runs import make_settings

RED, IMAGES = 80, 180


@pytest.fixture
def settings(aws_env: pytest.MonkeyPatch, bucket: str, tmp_path: Path) -> Settings:
    """Nothing published and nothing decided yet."""
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    return make_settings(tmp_path, bucket, tables="local")


@pytest.fixture
def verified(
    settings: Settings,
    aws_env: pytest.MonkeyPatch,
    bucket: str,
    start_rekognition: Any,
    s3_client: Any,
) -> Settings:
    """A published load of which the base model said nothing, and a verdict on each of its images."""
    server = start_rekognition(settings=offline.quick(moderator="support.quiet_moderator:QuietModerator"))
    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", server.endpoint_url)
    publish_judged(settings, s3_client, bucket, red=RED, images=IMAGES)
    return settings


def said(capsys: pytest.CaptureFixture[str], settings: Settings, *words: str) -> tuple[int, Any]:
    """The exit code and the JSON of a command."""
    code = main(["adapter", *words, "--json"], settings=settings)
    return code, json.loads(capsys.readouterr().out or "null")


def test_from_verdicts_to_the_adapter_in_use_and_back(
    verified: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = verified
    monkeypatch.setattr("moderation.cli.adapter.learn._POLL_SECONDS", 0.1)
    _, (gambling, *_) = said(capsys, settings, "eligibility")
    assert (gambling["label"], gambling["false_negatives"], gambling["eligible"]) == ("Gambling", RED, True)

    asked = ("train", "gambling", "--project", "cards", "--max-cost-usd")
    assert main(["adapter", *asked, "0.5"], settings=settings) == 2
    assert "may cost 0.50" in capsys.readouterr().err
    code, told = said(capsys, settings, *asked, "5", "--dry-run")
    assert (code, told["adapter"]) == (0, None)
    code, compared = said(capsys, settings, *asked, "5", "--wait")
    assert (code, compared["gate"]["verdict"]) == (0, "passes")
    arn = compared["adapter"]
    assert said(capsys, settings, "evaluate", arn)[1]["evaluation"] == compared["evaluation"]

    _, told = said(capsys, settings, "promote", arn, "--person", "anna", "--older-share", "10", "--dry-run")
    assert (told["champion"], told["event"]) == (None, None)
    assert "180 images were answered before; of these 18 a night" in told["text"]
    _, told = said(capsys, settings, "promote", arn, "--person", "anna")
    assert (told["champion"], told["event"]["person"]) == (arn, "anna")
    assert "of these 0 a night" in told["text"]
    assert "100 of its answers are drawn to be verified" in told["text"]
    _, told = said(capsys, settings, "show", arn)
    new = next(row["new"] for row in told["production"]["rows"] if row["label"] == "Gambling")
    assert (told["production"]["old"], told["production"]["suggestion"], new["value"]) == (None, None, None)
    assert new["reason"].startswith("not measurable yet: 0 of 30")
    _, told = said(capsys, settings, "list")
    assert [(one["arn"], one["state"]) for one in told["adapters"]] == [(arn, "in use")]
    _, told = said(capsys, settings, "rollback", "--person", "ben", "--reason", "too strict")
    assert told["champion"] is None
    _, told = said(capsys, settings, "retire", arn, "--person", "ben")
    assert told["champion"] is None
    _, told = said(capsys, settings, "show", arn)
    assert [event["action"] for event in told["events"]] == ["promoted", "rolled back", "retired"]
    assert main(["adapter", "promote", arn], settings=settings) == 2
    assert "was retired" in capsys.readouterr().err

    for words in (["eligibility"], ["list"], ["show", arn], ["evaluate", arn]):
        assert main(["adapter", *words], settings=settings) == 0
    told = capsys.readouterr().out
    assert "Gambling: can be trained. 0 false positives, 80 false negatives" in told
    assert "in use: the base model" in told
    assert "gate: passes" in told


def test_a_label_without_enough_errors_is_refused_with_what_would_fill_it(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["adapter", "train", "Weapons", "--max-cost-usd", "5"], settings=settings) == 2
    assert (
        "Weapons: 0 false positives (20 missing) and 0 false negatives (50 missing)"
        in capsys.readouterr().err
    )
    assert main(["adapter", "eligibility", "Wepons"], settings=settings) == 2
    assert "did you mean 'Weapons'?" in capsys.readouterr().err
