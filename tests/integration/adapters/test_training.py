"""A training on the offline endpoint, from verdicts to the gate."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.seaweedfs import Credentials
from moderation.adapters import champion, gate, registry, training
from moderation.adapters.sets import store
from moderation.adapters.sets.verdicts import Answer, decide
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings
from support import rekognition_server as offline
from support.judged import NOW, judged

RULE = AdapterSettings(test_positives=20, test_negatives=20, near_bits=4)


@pytest.fixture
def settings(aws_env: pytest.MonkeyPatch, bucket: str) -> Settings:
    return Settings(work_uri=f"s3://{bucket}/work", region="us-east-1", inspect_threads=8)


def test_verdicts_become_an_adapter_that_is_compared_and_promoted_by_somebody(
    settings: Settings,
    start_rekognition: Any,
    credentials: Credentials,
    s3_client: Any,
    bucket: str,
) -> None:
    server = start_rekognition(settings=offline.quick(moderator="support.quiet_moderator:QuietModerator"))
    rows = [judged(s3_client, bucket, number, red=number < 75) for number in range(150)]
    decided = decide(rows, {str(row.content): Answer() for row in rows})
    stored = store.make(settings, "cards", decided, labels=["Gambling"], rule=RULE)
    with offline.client(server, credentials) as rekognition:
        arn = training.begin(settings, rekognition, stored)
        assert training.begin(settings, rekognition, stored) == arn

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
