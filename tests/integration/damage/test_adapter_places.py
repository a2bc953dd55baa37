"""Every place that adapters write to, damaged in five ways: stopped, healed, or harmless."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local_aws.seaweedfs import Credentials, SeaweedFS
from moderation.adapters import champion, erasure, registry
from moderation.adapters.sets import store
from moderation.adapters.sets.decided import Decided
from moderation.adapters.sets.verdicts import gather
from moderation.adapters.shadow import budget, sample
from moderation.errors import NeedsAPersonError
from moderation.review.state.open import open_state
from moderation.storage import lease, s3_objects
from moderation.variables.adapters import AdapterSettings
from support import compared, planned_runs
from support.damages import DAMAGES, DELETED, EMPTIED, OF_ANOTHER, ONE_BIT, damaged, tried
from support.decisions import seen
from support.judged import NOW, publish_judged
from support.put_back import Install
from support.written_places import FATES, HARMLESS, HEALED, OF_ADAPTERS, STOPPED, Place

RULE = AdapterSettings(
    test_positives=1, test_negatives=1, near_bits=4, min_false_negatives=2, min_false_positives=2
)
QUICK = {
    ("registry of adapters", DELETED),
    ("registry of adapters", OF_ANOTHER),
    ("manifest of a training set", EMPTIED),
    ("images that have tested", DELETED),
    ("copy of an image for a training", ONE_BIT),
    ("manifest of a shadow", ONE_BIT),
    ("what a shadow may have paid", DELETED),
}
"""The damages that the short suite tries: one for each way of noticing."""
REMEDY = re.compile(r"\b(delete|restore|begin|make)\b")
CELLS = [(place, damage) for place in OF_ADAPTERS for damage in DAMAGES]


@dataclass
class World(Install):
    """One install with a champion, a set that spans two buckets, and a shadow that was begun."""

    rule: AdapterSettings = RULE
    decided: list[Decided] = field(default_factory=list)
    files_then: dict[str, bytes] = field(default_factory=dict)
    told_then: dict[str, Any] = field(default_factory=dict)

    def go_on(self) -> dict[str, Any]:
        """What people do next: look, train, go on with the shadow, erase, promote."""
        settings = self.settings
        chosen = champion.resolve(settings, champion.NAME, now=NOW).adapter
        stored = store.make(settings, "cards", self.decided, labels=["Gambling"], rule=self.rule)
        for part, uri in (("training", stored.training_uri), ("testing", stored.testing_uri)):
            assert s3_objects.read(self.s3, uri).body == stored.contents.manifest(part, stored.places)
        copies = {content: s3_objects.read(self.s3, place).body for content, place in stored.places.items()}
        shadow = sample.prepare(settings, compared.arn_of("other"), images=4, max_cost_usd=1)
        assert budget.may_ask(settings, shadow.shadow_id, 0)
        asked = s3_objects.read(self.s3, sample.manifest_uri(settings, shadow.shadow_id, 0)).body
        erasure.forget(settings, {"nobody"})
        registry.retire(settings, compared.arn_of("other"), person="ben", now=NOW)
        return {
            "champion": chosen,
            "set": stored,
            "frozen": {c: h for c, h in self._frozen().items() if c in self._contents()},
            "copies": copies,
            "shadow": (shadow.images, asked),
        }

    def _frozen(self) -> dict[str, int]:
        return store.Frozen(self.s3, self.settings, "cards").hashes

    def _contents(self) -> set[str]:
        return {entry.content for entry in self.decided}


def make_world(world: World, others: tuple[str, str]) -> World:
    settings, s3 = world.settings, world.s3
    publish_judged(settings, s3, world.bucket, red=6, images=9)
    state = open_state()
    world.decided = gather(settings, state.log)
    state.close()
    for other in others:
        world.decided.append(seen(s3, other, f"{world.bucket} {other}", "present"))
    for name in ("other", "good"):
        compared.note(
            settings, compared.arn_of(name), compared.comparison([f"s3://x/{n}" for n in range(30)])
        )
    registry.promote(settings, compared.arn_of("good"), person="ana", now=NOW)
    registry.roll_back(settings, person="ana", now=NOW)  # a shadow is drawn from the base model's answers
    shadow = sample.prepare(settings, compared.arn_of("other"), images=4, max_cost_usd=1)
    budget.may_ask(settings, shadow.shadow_id, 0)
    s3_objects.put(s3, f"{shadow.folder(settings)}/output/begun", b"")
    registry.promote(settings, compared.arn_of("good"), person="ana", now=NOW)
    registry.roll_back(settings, person="ana", now=NOW)
    store.make(settings, "cards", world.decided, labels=["Gambling"], rule=world.rule)
    with lease.hold(s3, f"{settings.work_uri}/locks/adapters.json", owner=world.bucket, ttl=0.2):
        world.files_then = world.files()
    world.told_then = world.go_on()
    return world


@pytest.fixture(scope="module")
def install(
    s3_server: SeaweedFS, credentials: Credentials, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], World]]:
    """Makes an install: ``a`` is damaged, ``b`` is another one. Each is made once."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_S3": s3_server.endpoint_url,
        }.items():
            patch.setenv(name, value)
        patch.setattr(lease, "DEFAULT_TTL", 1.0)
        patch.setattr(erasure, "_LOCK_SECONDS", 1.0)
        s3 = boto3.client(
            "s3", endpoint_url=s3_server.endpoint_url, config=Config(s3={"addressing_style": "path"})
        )

        @cache
        def made(name: str) -> World:
            folder: Path = tmp_path_factory.mktemp(name)
            patch.setenv("MODERATION_REVIEW_DB", str(folder / "review.db"))
            tests = {"a": 1, "b": 3}[name]
            buckets = [f"test-{uuid.uuid4().hex[:16]}" for _ in range(3)]
            for bucket in buckets:
                s3.create_bucket(Bucket=bucket)
            settings = planned_runs.make_settings(folder, buckets[0], tables="local")
            return make_world(
                World(
                    settings,
                    s3,
                    buckets[0],
                    folder,
                    replace(RULE, test_positives=tests, test_negatives=tests),
                ),
                (buckets[1], buckets[2]),
            )

        yield made
        s3.close()


@pytest.mark.slow
def test_every_key_of_adapters_has_a_row_and_every_row_a_key(install: Callable[[str], World]) -> None:
    keys = [name for name in install("a").files_then if name.startswith("s3:work/adapters/")]
    keys = [name for name in keys if not name.endswith("/output/begun")]
    assert not [name for name in keys if not any(place.matches(name) for place in OF_ADAPTERS)]
    keys.append("s3:work/locks/adapters.json")
    assert not [place.name for place in OF_ADAPTERS if not any(map(place.matches, keys))]


@pytest.mark.parametrize(("place", "damage"), tried(CELLS, QUICK))
def test_damage_comes_to_what_the_table_says(
    install: Callable[[str], World], place: Place, damage: str
) -> None:
    world, promised = install("a"), FATES[place.name, damage]
    world.put_back(world.files_then)
    name = max(filter(place.matches, world.files_then))
    another = install("b").files_then if damage == OF_ANOTHER else {}
    theirs = another.get(max(filter(place.matches, another), default=""))
    body = damaged(damage, place.kind, world.files_then[name], theirs)
    assert body != world.files_then[name]
    world.write(name, body)
    if promised == STOPPED:
        with pytest.raises(NeedsAPersonError) as caught:
            world.go_on()
        assert name.partition(":")[2] in str(caught.value)
        assert REMEDY.search(str(caught.value))
        return
    assert world.go_on() == world.told_then
    assert promised == (HARMLESS if world.read(name) == body else HEALED)
