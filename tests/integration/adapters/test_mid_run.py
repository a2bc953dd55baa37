"""A champion that expires between two manifests of a run, on the offline endpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition.launch import Rekognition
from local_aws.rekognition.settings import ServerSettings
from moderation import stages
from moderation.adapters import champion, mid_run, registry
from moderation.adapters.registry import Version
from moderation.analyse.detect.budget import FixedBudget
from moderation.analyse.detect.records import request_of
from moderation.analyse.detect.request import DetectOptions
from moderation.analyse.detect.run import run_manifest
from moderation.plan.store import load_plan
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings
from support import pictures, planned_runs
from support import rekognition_server as offline
from support.judged import NOW
from support.published_loads import expected

ARN = f"arn:aws:rekognition:us-east-1:{ServerSettings().account_id}:project/p/version/v/1700000000000"
IMAGES, A_MANIFEST = 4, 2


class World:
    """Four images, two a manifest, and an adapter that is in use."""

    def __init__(self, settings: Settings, server: Rekognition, rekognition: Any, folder: Path) -> None:
        self.settings, self.server, self.rekognition = settings, server, rekognition
        self.bucket, self.folder, self.nights = settings.work_uri.split("/")[2], folder, 0

    def becomes(self, status: str) -> None:
        """The adapter is of this state from now on."""
        offline.local(self.server, "/adapters", method="PUT", body={ARN: status})

    def night(self, *, after_the_first: Callable[[], None] = lambda: None) -> list[str]:
        """A run of the champion by single calls; gives why manifests were not asked about."""
        self.nights += 1
        uri = stages.discover(
            stages.Run("dag", f"night-{self.nights}", NOW + timedelta(days=self.nights)),
            source=f"s3://{self.bucket}/photos/",
            adapter=champion.NAME,
            backend="detect",
            rekognition=lambda: self.rekognition,
            settings=self.settings,
        )
        stages.job_arguments(uri, rekognition=self.rekognition, settings=self.settings)
        plan, left = load_plan(uri, settings=self.settings), []
        for number, manifest in enumerate(plan.manifests):
            why = mid_run.why_not(uri, manifest.uri, rekognition=self.rekognition, settings=self.settings)
            if why:
                left.append(why)
                continue
            run_manifest(
                request_of(plan, manifest),
                settings=self.settings,
                budget=FixedBudget(1000),
                options=DetectOptions(
                    spool_dir=self.folder / "spool",
                    max_in_flight=1,
                    stops_without_adapter=AdapterSettings.from_env().when_expired == "wait",
                ),
            )
            if number == 0:
                after_the_first()
        if plan.manifests:
            stages.publish(uri, [], describe_job=lambda _: {}, list_jobs=lambda _: (), settings=self.settings)
        return left

    def answered(self) -> dict[str, str | None]:
        """Which adapter answered each image, as readers see it; None for the base model."""
        rows = expected(self.settings)["images"].to_pylist()
        return {row["source_ref"]: row["adapter"] for row in rows if row["status"] == "moderated"}

    def paid(self) -> Counter[str]:
        """How often each image was billed."""
        return Counter(
            entry["source_ref"]
            for entry in offline.ledger(self.server)
            if entry["event"] == "detect_billed" and entry["source_ref"].startswith(f"s3://{self.bucket}/")
        )


@pytest.fixture
def world(  # noqa: PLR0917 - fixtures
    aws_env: pytest.MonkeyPatch,
    bucket: str,
    tmp_path: Path,
    s3_client: Any,
    rekognition_server: Rekognition,
    rekognition: Any,
) -> Iterator[World]:
    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", rekognition_server.endpoint_url)
    for number in range(IMAGES):
        body = pictures.jpeg(seed=number)
        s3_client.put_object(Bucket=bucket, Key=f"photos/{number}.jpg", Body=body)
    settings = replace(
        planned_runs.make_settings(tmp_path, bucket, tables="local"),
        manifest_images=A_MANIFEST,
        model_version="offline-hash-1",
    )
    gate = {"verdict": "passes", "reasons": []}
    version = Version(arn=ARN, project="p", labels=("Gambling",), set_uri=f"s3://{bucket}/set", gate=gate)
    registry.note(settings, version)
    registry.promote(settings, ARN, person="anna", now=NOW)
    world = World(settings, rekognition_server, rekognition, tmp_path)
    world.becomes("TRAINING_COMPLETED")
    yield world
    offline.local(rekognition_server, "/adapters", method="PUT", body={})


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["wait", pytest.param("base", marks=pytest.mark.long)])
def test_what_was_paid_is_published_as_what_it_is_and_nothing_is_asked_twice(
    setting: str, world: World, aws_env: pytest.MonkeyPatch
) -> None:
    aws_env.setenv("MODERATION_ADAPTER_WHEN_EXPIRED", setting)
    left = world.night(after_the_first=lambda: world.becomes("EXPIRED"))
    if setting == "wait":
        (why,) = left
        assert "is EXPIRED" in why
        assert "the rest waits for the next run" in why
        assert [*world.answered().values()] == [ARN] * A_MANIFEST
    else:
        assert not left
        assert Counter(world.answered().values()) == {ARN: A_MANIFEST, None: IMAGES - A_MANIFEST}
    assert world.paid() == dict.fromkeys(world.answered(), 1)

    registry.roll_back(world.settings, person="ben", now=NOW)
    world.night()
    assert Counter(world.answered().values()) == {ARN: A_MANIFEST, None: IMAGES - A_MANIFEST}
    assert len(world.paid()) == IMAGES
    assert set(world.paid().values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["wait", pytest.param("base", marks=pytest.mark.long)])
def test_of_a_manifest_in_which_it_expires_each_row_has_what_answered_it(
    setting: str, world: World, aws_env: pytest.MonkeyPatch
) -> None:
    aws_env.setenv("MODERATION_ADAPTER_WHEN_EXPIRED", setting)
    world.settings = replace(world.settings, manifest_images=IMAGES)
    expires = {"kind": "adapter_missing", "operation": "DetectModerationLabels", "skip": 1}
    with offline.faults(world.server, expires):
        world.night()
    paid_as_base = 1 if setting == "wait" else IMAGES - 1
    assert Counter(world.answered().values()) == {ARN: 1, None: paid_as_base}
    assert world.paid() == dict.fromkeys(world.answered(), 1), "what waits is not paid for"

    world.becomes("EXPIRED")
    registry.roll_back(world.settings, person="ben", now=NOW)
    world.night()
    assert Counter(world.answered().values()) == {ARN: 1, None: IMAGES - 1}
    assert [*world.paid().values()] == [1] * IMAGES
