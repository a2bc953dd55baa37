"""People are told once, for each so many new verdicts, that another training may pay off."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from moderation.adapters import registry
from moderation.adapters.after import reminder
from moderation.adapters.registry import Version
from moderation.review.log import VerdictLog
from moderation.review.state.open import open_state
from moderation.review.verdict import Verdict
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.variables.adapters import AdapterSettings

BEGUN = datetime(2026, 11, 22, 12, tzinfo=UTC)
ARN = "arn:aws:rekognition:us-east-1:123456789012:project/cards/version/v1/1700000000000"
VERSION = Version(
    arn=ARN, project="cards", labels=("Violence",), set_uri="s3://w/set", begun_at=BEGUN.isoformat()
)


@pytest.fixture
def settings(aws_env: pytest.MonkeyPatch, bucket: str) -> Settings:
    aws_env.setenv("MODERATION_ADAPTER_REMIND_AFTER", "3")
    return Settings(work_uri=f"s3://{bucket}/work", region="us-east-1")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[VerdictLog]:
    opened = open_state(str(tmp_path / "review.db"))
    yield opened.log
    opened.close()


def said(
    name: str, label: str | None = "Weapons", verdict: str = "absent", hours: float = 1, **given: str
) -> Verdict:
    """About *Weapons*, which is below *Violence*; None: about the image."""
    return Verdict(
        verdict_id=name,
        decided_at=BEGUN + timedelta(hours=hours),
        reviewer="anna",
        content=given.get("content", f"c-{name}"),
        source_ref=f"s3://archive/{name}.jpg",
        subject="label" if label else "image",
        label=label,
        level=2 if label else None,
        l1="Violence" if label else None,
        l2=label,
        verdict=verdict,
        replaces=given.get("replaces"),
    )


def test_distinct_contents_count_that_were_decided_about_its_labels_since(
    log: VerdictLog, settings: Settings
) -> None:
    found = registry.Registry(versions={ARN: VERSION})
    log.append(
        [
            said("before", hours=-1),
            said("below"),
            said("again", content="c-below"),
            said("whole", None, "nothing"),
            said("unsure", verdict="unsure"),
            said("undone"),
            said("undo", verdict="withdrawn", replaces="undone", content="c-undone"),
            said("other", "Gambling"),
        ]
    )
    told = reminder.waiting(found, log, AdapterSettings(remind_after=3))
    assert told is not None
    assert (told.contents, told.is_due) == (2, False)
    assert "from 3 on" in told.text("moderation")
    assert reminder.waiting(registry.Registry(), log, AdapterSettings()) is None


def test_it_is_said_once_for_each_so_many(
    log: VerdictLog, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    assert reminder.remind(settings, log) is None
    registry.note(settings, VERSION)
    heard = []
    for number in range(7):
        log.append([said(f"{number}")])
        for _ in range(2):
            caplog.clear()
            assert reminder.remind(settings, log) is not None
            heard.append(len([one for one in caplog.records if "adapter train Violence" in one.message]))
    assert heard == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    registry.note(settings, Version(**{**vars(VERSION), "reminded": None}))
    assert registry.load(settings).versions[ARN].reminded == 6


def test_a_damaged_registry_does_not_stop_who_publishes_verdicts(
    log: VerdictLog, settings: Settings, s3_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    s3_objects.put(s3_client, f"{settings.work_uri}/adapters/registry.json", b"{torn")
    assert reminder.remind_if_known(settings, log) is None
    assert "registry.json is damaged" in caplog.text
