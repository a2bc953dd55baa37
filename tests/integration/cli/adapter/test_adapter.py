"""``moderation adapter`` on real servers: from verdicts to the adapter in use, and back."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moderation.adapters import registry
from moderation.adapters.sets import store
from moderation.cli.main import main
from moderation.review.state.open import open_state
from moderation.settings import Settings
from moderation.storage import s3_objects
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


@pytest.mark.slow
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
    assert "changed or taken back" not in told
    _change_minds(settings, arn, capsys)
    _erase(settings, arn, compared["evaluation"]["images"], capsys)


def _change_minds(settings: Settings, arn: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Take back what was said of two training images and a test image."""
    stored = store.load(settings, registry.load(settings).versions[arn].set_uri)
    state = open_state()
    for part, number in (("training", 2), ("testing", 1)):
        cards = [one for one in stored.contents.part(part) if one.names][-number:]
        for row in state.log.of_contents([one.content for one in cards]):
            change = {"verdict": "withdrawn", "replaces": row.verdict_id}
            state.log.append([replace(row, verdict_id=uuid.uuid4().hex, **change)])
    state.close()
    _, told = said(capsys, settings, "list")
    changed = told["adapters"][0]["changed_since"]
    assert (changed["training"], changed["testing"]) == (2, 1)
    _, told = said(capsys, settings, "show", arn)
    assert [len(one["taken_back"]) for one in told["changed_since"]["images"]] == [1, 1, 1]
    assert main(["adapter", "promote", arn], settings=settings) == 2
    assert f"`moderation adapter evaluate {arn}`" in capsys.readouterr().err
    code, told = said(capsys, settings, "evaluate", arn)
    assert (code, told["gate"]["verdict"]) != (0, "passes")
    assert told["gate"]["reasons"][0].startswith("the verdicts on 1 of the ")
    positives = next(one["positives"] for one in told["evaluation"]["labels"] if one["label"] == "Gambling")
    assert positives == sum("Gambling" in one.names for one in stored.contents.part("testing"))
    assert main(["adapter", "promote", arn], settings=settings) == 2
    assert "was retired" in capsys.readouterr().err
    for words in (["list"], ["show", arn], ["evaluate", arn]):
        main(["adapter", *words], settings=settings)
        told = capsys.readouterr().out
        for part, number in (("trained", 2), ("tested", 1)):
            of = len(stored.contents.part({"trained": "training", "tested": "testing"}[part]))
            assert f"the verdicts on {number} of the {of} images that it was {part} on were changed" in told
        assert "adapter train Gambling --project cards --max-cost-usd USD`" in told


def _erase(settings: Settings, arn: str, tested: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Forget a test image and a training image by their keys."""
    bucket, _ = s3_objects.split_uri(settings.work_uri)
    with s3_objects.open_client(settings) as s3:
        stored = store.load(settings, registry.load(settings).versions[arn].set_uri)
        gone = [stored.contents.part(part)[0] for part in ("training", "testing")]
        assert main(["verdicts", "erase", *(one.source_ref for one in gone)], settings=settings) == 0
        told = capsys.readouterr().out
        assert "2 verdicts keep neither key, hash nor note" in told
        assert f"{arn} was trained on one of them and cannot unlearn" in told
        entries = s3_objects.list_objects(s3, f"{settings.work_uri}/adapters/")
        texts = {
            entry["Key"]: s3_objects.read(s3, f"s3://{bucket}/{entry['Key']}").body.decode()
            for entry in entries
        }
    assert len(texts) > 6
    assert not [
        (key, one.source_ref)
        for key, text in texts.items()
        for one in gone
        if one.content in key + text or f'{one.source_ref}"' in text
    ]
    assert main(["adapter", "evaluate", arn, "--json"], settings=settings) in {0, 1}, capsys.readouterr().err
    assert json.loads(capsys.readouterr().out)["evaluation"]["images"] == tested - 1
    # Of 20 test images that could show it one may be gone: then the gate says so.
    assert main(["adapter", "evaluate", arn], settings=settings) in {0, 1}
    assert "1 test images were erased since" in capsys.readouterr().out


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
