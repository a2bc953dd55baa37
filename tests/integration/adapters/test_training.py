"""A training on the offline endpoint, from verdicts to the gate."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local_aws.seaweedfs import Credentials
from moderation import stages
from moderation.adapters import champion, gate, registry, training
from moderation.adapters.sets import store
from moderation.adapters.sets.verdicts import Answer, decide
from moderation.analyse.detect.budget import FixedBudget
from moderation.analyse.detect.records import request_of
from moderation.analyse.detect.request import DetectOptions
from moderation.analyse.detect.run import run_manifest
from moderation.plan.store import load_plan
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings
from support import planned_runs
from support import rekognition_server as offline
from support.judged import NOW, judged
from support.killed import Killed
from support.published_loads import expected

RULE = AdapterSettings(test_positives=20, test_negatives=20, near_bits=4)


@pytest.fixture
def settings(aws_env: pytest.MonkeyPatch, bucket: str, tmp_path: Path) -> Settings:
    return planned_runs.make_settings(tmp_path, bucket, tables="local")


def run_of_champion(settings: Settings, rekognition: Any, source: str, folder: Path) -> list[dict[str, Any]]:
    """The rows of `images` of a run by single calls with whatever is the champion."""
    run = stages.Run("dag", "night", NOW)
    uri = stages.discover(
        run,
        source=source,
        adapter=champion.NAME,
        backend="detect",
        rekognition=lambda: rekognition,
        settings=settings,
    )
    stages.job_arguments(uri, rekognition=rekognition, settings=settings)
    plan = load_plan(uri, settings=settings)
    for manifest in plan.manifests:
        run_manifest(
            request_of(plan, manifest),
            settings=settings,
            budget=FixedBudget(1000),
            options=DetectOptions(spool_dir=folder / "spool"),
        )
    stages.publish(uri, [], describe_job=lambda _: {}, list_jobs=lambda _: (), settings=settings)
    rows: list[dict[str, Any]] = expected(settings)["images"].to_pylist()
    return rows


def begun_by_several(settings: Settings, rekognition: Any, stored: store.StoredSet) -> str:
    """One who dies as soon as the training is paid for, and then three at once; the version that all have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "note_begun", dies)
        with pytest.raises(Killed):
            training.begin(settings, rekognition, stored, person="anna")
    assert not registry.load(settings).versions
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(training.begin, settings, rekognition, stored, person=f"p{n}") for n in range(3)]
        (arn,) = {one.result() for one in asked}
    assert str(registry.load(settings).versions[arn].asked_by) in {"p0", "p1", "p2"}
    return arn


def dies(*_: Any, **__: Any) -> None:
    raise Killed


@pytest.mark.slow
def test_verdicts_become_an_adapter_that_is_compared_and_promoted_by_somebody(  # noqa: PLR0917 - fixtures
    settings: Settings,
    start_rekognition: Any,
    credentials: Credentials,
    s3_client: Any,
    bucket: str,
    aws_env: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    server = start_rekognition(settings=offline.quick(moderator="support.quiet_moderator:QuietModerator"))
    rows = [judged(s3_client, bucket, number, red=number < 75) for number in range(150)]
    decided = decide(rows, {str(row.content): Answer() for row in rows})
    stored = store.make(settings, "cards", decided, labels=["Gambling"], rule=RULE)
    with offline.client(server, credentials) as rekognition:
        arn = begun_by_several(settings, rekognition, stored)
        trained = [entry for entry in offline.ledger(server) if entry["event"] == "training_started"]
        assert len(trained) == 1

        def over() -> bool:
            try:
                training.finish(settings, rekognition, arn, rule=RULE)
            except training.TrainingGoesOnError:
                return False
            return True

        offline.wait_until(over, what="the end of the training")
        version, compared, verdict = training.finish(settings, rekognition, arn, rule=RULE)
        assert champion.check(settings, rekognition, arn) == "TRAINING_COMPLETED"
    assert compared.images == len(stored.contents.part("testing"))
    assert compared.disagreements == ()
    assert (verdict.verdict, verdict.reasons) == (gate.PASSES, ())
    assert version.base_model_version
    assert version.billable_seconds is not None
    assert version.cost_usd is not None
    assert registry.load(settings).versions[arn] == version
    assert registry.promote(settings, arn, person="anna", now=NOW).champion == arn

    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", server.endpoint_url)
    s3_client.put_object(Bucket=bucket, Key="photos/broken.png", Body=b"no image")
    with offline.client(server, credentials) as rekognition:
        rows_of_run = run_of_champion(settings, rekognition, f"s3://{bucket}/photos/", tmp_path)
    told = Counter((row["status"], row["adapter"], row["base_model_version"]) for row in rows_of_run)
    assert told == {("moderated", arn, version.base_model_version): 150, ("failed", None, None): 1}
