"""Every place that the product writes to, damaged in five ways: stopped, healed, or harmless."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
import vl_convert
from botocore.config import Config

from local_aws.rekognition.launch import Rekognition
from local_aws.seaweedfs import Credentials, SeaweedFS
from moderation.errors import NeedsAPersonError
from moderation.maintenance.erasure.search import names_any
from moderation.publish import standing
from moderation.schema import TABLES
from moderation.settings import Settings
from moderation.storage import lease
from moderation.tables.published import read_loads
from moderation.warehouses.folder import FolderMirror
from support.damages import OF_ANOTHER, damaged, tried
from support.written_places import CELLS, EITHER, FATES, HARMLESS, HEALED, PLACES, QUICK, STOPPED, Place
from support.written_world import World, make_world

FLIPS = 8
"""Bits of a place that the long suite tries, beside the one in the middle of its newest file."""

WAITED_FOR = {"raw answers", "lock of planning"}
"""A bit of raw answers that nobody has read counts as an answer; a lock is waited for until it runs out."""

REMEDY = re.compile(
    r"\b(run|delete|rebuild|clear|restore|bring|look|check|move|plan|pass|set|start|correct|load)\b",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def install(
    s3_server: SeaweedFS,
    credentials: Credentials,
    rekognition_server: Rekognition,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], World]]:
    """Makes an install that has run: ``a`` is damaged, ``b`` is another one. Each is made once."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_S3": s3_server.endpoint_url,
            "AWS_ENDPOINT_URL_REKOGNITION": rekognition_server.endpoint_url,
            "MODERATION_MODEL": "offline-hash-1",
        }.items():
            patch.setenv(name, value)
        # A lock that tells nothing runs out after this; drawings are not looked at.
        patch.setattr(lease, "DEFAULT_TTL", 1.0)
        patch.setattr(standing, "_LOCK_SECONDS", 1.0)
        patch.setattr(vl_convert, "vegalite_to_svg", lambda *_, **__: '<svg viewBox="0 0 1 1"/>')
        s3 = boto3.client(
            "s3", endpoint_url=s3_server.endpoint_url, config=Config(s3={"addressing_style": "path"})
        )

        @cache
        def made(name: str) -> World:
            folder = tmp_path_factory.mktemp(name)
            bucket = f"test-{uuid.uuid4().hex[:16]}"
            s3.create_bucket(Bucket=bucket)
            images = {"a": ("d", "e", "f", "g"), "b": ("h", "i", "j")}[name]
            world = World(_settings(bucket, folder), s3, bucket, folder, rekognition_server)
            return make_world(world, images)

        yield made
        s3.close()


def _settings(bucket: str, folder: Path) -> Settings:
    return Settings(
        work_uri=f"s3://{bucket}/work",
        input_uri=f"s3://{bucket}/input",
        tables_uri=str(folder / "tables"),
        catalog_uri=f"sqlite:///{folder}/catalog.db",
        warehouse_path=folder / "warehouse.duckdb",
        parquet_mirror=folder / "parquet",
        report_dir=folder / "report",
        model_version="offline-hash-1",
        detect_tps=1000.0,
    )


def _target(world: World, place: Place) -> str | None:
    """The newest file of a place."""
    return max((name for name in world.moments[place.moment].files if place.matches(name)), default=None)


@pytest.mark.slow
def test_every_file_and_key_that_a_run_leaves_has_a_row(install: Callable[[str], World]) -> None:
    world = install("a")
    inputs = "s3:photos/"
    unknown = {
        name
        for name in world.written
        if not name.startswith(inputs) and not any(place.matches(name) for place in PLACES)
    }
    assert not unknown, "add a row to tests/support/written_places.py"


@pytest.mark.slow
def test_every_row_is_of_a_file_that_came_to_be(install: Callable[[str], World]) -> None:
    world = install("a")
    assert not [place.name for place in PLACES if _target(world, place) is None]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("place", "damage"), tried(CELLS, QUICK))
def test_damage_comes_to_what_the_table_says(
    install: Callable[[str], World], place: Place, damage: str
) -> None:
    world, promised = install("a"), FATES[place.name, damage]
    moment, name = world.moments[place.moment], _target(world, place)
    assert name is not None
    another = install("b").moments[place.moment].files if damage == OF_ANOTHER else {}
    theirs = max((key for key in another if place.matches(key)), default="")
    world.restore(place.moment)
    body = damaged(damage, place.kind, moment.files[name], another.get(theirs))
    world.write(name, body)
    before = world.paid()
    seen, why = _what_comes_of_it(world, place, name, body)
    assert promised in {seen, EITHER}, why
    # What the kill itself cost, for a call was under way, is no fault of the damage.
    assert not (world.paid() - before) - moment.owed
    if seen == STOPPED:
        assert REMEDY.search(why), why
        assert any(part in why for part in _names(name)), why


@pytest.mark.long
def test_of_an_erased_image_no_file_of_a_whole_install_holds_the_key(install: Callable[[str], World]) -> None:
    world, names = install("a"), ["a", "d"]
    world.restore("verdicts published")
    keys = [f"photos/{name}.jpg".encode() for name in names]

    def holding() -> list[str]:
        return [name for name, body in world.files().items() if names_any(body, keys)]

    before = holding()
    for kind in ("runs/", "/output/", "tables/", "parquet/", "ledger/"):  # DuckDB packs its own file
        assert any(kind in name for name in before), kind
    for name in names:
        world.erase(name)
    assert holding() == []
    shown = str(world.answers())
    assert "photos/copy.jpg" in shown, "a copy keeps the answer of the image that was sent for it"
    assert not any(key.decode() in shown for key in keys)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "place", [pytest.param(place, id=place.name) for place in PLACES if place.name not in WAITED_FOR]
)
def test_whatever_bit_of_whichever_file_it_is_no_answer_changes_in_silence(
    install: Callable[[str], World], place: Place
) -> None:
    world, chance = install("a"), random.Random(place.name)
    moment = world.moments[place.moment]
    files = sorted(name for name, body in moment.files.items() if body and place.matches(name))
    for _ in range(FLIPS):
        name = chance.choice(files)
        body = bytearray(moment.files[name])
        bit = chance.randrange(len(body) * 8)
        body[bit // 8] ^= 1 << bit % 8
        world.restore(place.moment)
        world.write(name, bytes(body))
        before = world.paid()
        if place.name.startswith("mirror") and _is_told_by_verify(world, name):
            continue  # other tools read these files, and no load reads those of all loads before it
        seen, why = _what_comes_of_it(world, place, name, bytes(body))
        assert not (world.paid() - before) - moment.owed, (name, bit)
        assert seen != STOPPED or REMEDY.search(why), (name, bit, why)


def _is_told_by_verify(world: World, name: str) -> bool:
    loads = read_loads(world.settings).to_pylist()
    return world.folder / name.removeprefix("disk:") in set(FolderMirror(world.settings).damaged(loads))


def _what_comes_of_it(world: World, place: Place, name: str, body: bytes | None) -> tuple[str, str]:
    try:
        found = world.go_on(world.moments[place.moment].run, place.then)
    except NeedsAPersonError as error:
        return STOPPED, str(error)
    more = {"console": world.looked, "review": world.said, "verdicts": world.shown}
    more["gone"] = world.missed
    more["archive"] = world.reconciled
    assert found == world.answered | {key: more[key] for key in more.keys() & found.keys()}
    return (HARMLESS if world.read(name) == body else HEALED), ""


def _names(name: str) -> list[Any]:
    """What a text may call a file: by its path or name, or by its manifest, load or table."""
    path = name.partition(":")[2]
    # One catalog file leads to the next: the text names the table at which the damage was met, or the loads
    # that it leads to no more.
    met_at = [f"of {table} " for table in TABLES] + [f"table {table} " for table in TABLES]
    met_at.append("published loads; 2026")
    return [
        path,
        "load 2026",
        *(["/work/erased/"] if "/erased/" in path else []),
        *(met_at if "/metadata/" in path else []),
        *(
            part
            for part in re.split(r"[/.]", path)
            if re.search(r"\d{3}|images|catalog|warehouse|review", part)
        ),
    ]
