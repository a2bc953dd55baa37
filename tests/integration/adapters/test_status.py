"""An adapter that is not where it is asked for is refused at every door, before anything is paid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition.launch import Rekognition
from local_aws.rekognition.settings import ServerSettings
from moderation import stages
from moderation.adapters import registry
from moderation.adapters.registry import Version
from moderation.adapters.status import AdapterUnusableError
from moderation.cli.main import main
from moderation.settings import Settings
from support import pictures, planned_runs
from support import rekognition_server as offline
from support.judged import NOW

OURS = ServerSettings().account_id


def arn(*, region: str = "us-east-1", account: str = OURS) -> str:
    return f"arn:aws:rekognition:{region}:{account}:project/cards/version/v1/1700000000000"


@pytest.fixture
def settings(
    aws_env: pytest.MonkeyPatch,
    bucket: str,
    tmp_path: Path,
    rekognition_server: Rekognition,
    rekognition: Any,
) -> Iterator[Settings]:
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", rekognition_server.endpoint_url)
    # The account's own project, by which it knows which account it is.
    name = f"own-{bucket}"
    made = rekognition.create_project(ProjectName=name, Feature="CONTENT_MODERATION", AutoUpdate="ENABLED")
    yield planned_runs.make_settings(tmp_path, bucket, tables="local")
    rekognition.delete_project(ProjectArn=made["ProjectArn"])


@pytest.mark.parametrize(
    ("elsewhere", "told"),
    [
        pytest.param(
            arn(region="eu-west-1"),
            "of the region eu-west-1, and Rekognition is asked in us-east-1",
            id="region",
        ),
        pytest.param(
            arn(account="999999999999"), f"of the account 999999999999, and {OURS} is asked", id="account"
        ),
        pytest.param(arn(), f"there is no adapter {arn()} in this account and region;", id="missing"),
    ],
)
def test_an_adapter_that_is_elsewhere_is_named_with_a_remedy_and_nothing_is_paid(  # noqa: PLR0917 - fixtures
    elsewhere: str,
    told: str,
    settings: Settings,
    rekognition_server: Rekognition,
    rekognition: Any,
    s3_client: Any,
    bucket: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    s3_client.put_object(Bucket=bucket, Key="photos/a.jpg", Body=pictures.jpeg(seed=1))
    passes = {"verdict": "passes", "reasons": []}
    registry.note(
        settings,
        Version(
            arn=elsewhere, project="cards", labels=("Gambling",), set_uri=f"s3://{bucket}/set", gate=passes
        ),
    )
    for words in (
        ["adapter", "promote", elsewhere, "--person", "anna"],
        ["adapter", "evaluate", elsewhere],
        ["adapter", "shadow", elsewhere, "--images", "10", "--max-cost-usd", "1"],
        ["detect", f"s3://{bucket}/photos/a.jpg", "--adapter", elsewhere],
    ):
        assert main(words, settings=settings) == 2, words
        assert told in (said := capsys.readouterr().err), words
        assert "train" in said or "leave the adapter out" in said
    uri = stages.discover(
        stages.Run("dag", "night", NOW),
        source=f"s3://{bucket}/photos/",
        adapter=elsewhere,
        backend="detect",
        rekognition=lambda: rekognition,
        settings=settings,
    )
    with pytest.raises(AdapterUnusableError, match=told):
        stages.job_arguments(uri, rekognition=rekognition, settings=settings)
    assert registry.load(settings).champion is None
    assert not [entry for entry in offline.ledger(rekognition_server) if bucket in str(entry)]
