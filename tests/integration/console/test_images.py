"""Images in the browser: made small, upright and safe, and said where there is none."""

from __future__ import annotations

import csv
import io
import re
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pyarrow as pa
import pytest
from PIL import Image

from moderation.console.alone import alone
from moderation.console.index import gone
from moderation.console.tiles.kept import TILE, Tiles
from moderation.publish.gone import mark
from moderation.settings import Settings
from moderation.sources.decoding.decoders import Decoders
from moderation.sources.gone import Looked
from moderation.storage import s3_objects
from moderation.storage.s3_objects import S3Unavailable
from support.console_load import ODD, PICTURES, TOKEN, Picture, listening_at, publish_pictures, served
from support.odd_s3 import MODIFIED, serving, whole
from support.pictures import jpeg
from support.planned_runs import make_settings
from support.rekognition_server import wait_until


def number_of(console, load_id, key):
    for show in ("all", "failed"):
        answer = console.get(f"/jobs/{load_id}/tiles?offset=0&limit=100&show={show}")
        assert answer.status_code == 200, answer.text
        for tile in answer.json()["tiles"]:
            if tile["name"] == key:
                return tile["n"]
    raise AssertionError(f"{key} has no tile")


@pytest.mark.parametrize(("size", "longest"), [("tile", 320), ("view", 1600)])
@pytest.mark.parametrize("key", ["a/gun.jpg", "b/turned.jpg", "b/clear.png", ODD])
def test_an_image_of_any_name_is_shown(console, load_id, key, size, longest):
    answer = console.get(f"/jobs/{load_id}/images/{number_of(console, load_id, key)}/{size}")
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as made:
        assert max(made.size) <= longest


@pytest.mark.parametrize(
    ("key", "why"), [("c/broken.jpg", "cut off|damaged"), ("c/too-long-a-key.jpg", "longer|no longer")]
)
def test_a_tile_says_why_there_is_no_image(console, load_id, key, why):
    answer = console.get(f"/jobs/{load_id}/images/{number_of(console, load_id, key)}/tile")
    assert answer.headers["content-type"] == "image/svg+xml"
    told = " ".join(re.findall(r">([^<]+)</tspan>", answer.text))
    assert re.search(why, told), told


def test_the_page_of_an_image_tells_its_labels_and_what_they_mean(console, load_id):
    page = console.get(f"/jobs/{load_id}/images/{number_of(console, load_id, 'a/gun.jpg')}").text
    assert "Weapon Violence" in page
    assert "A weapon is used against somebody or something." in page
    assert "in use from 50 % on" in page


def test_copies_of_the_content_are_named(console, load_id):
    page = console.get(f"/jobs/{load_id}/images/{number_of(console, load_id, 'a/plain.jpg')}").text
    assert "b/plain-again.jpg" in page


def test_neighbours_are_those_of_the_selection(console, load_id):
    n = number_of(console, load_id, "a/gun.jpg")
    way = console.get(f"/jobs/{load_id}/images/{n}/around?label=Violence").json()
    assert (way["place"], way["total"], way["before"]) == (1, 2, [])
    assert way["after"] == [number_of(console, load_id, "a/faint.jpg")]
    outside = console.get(f"/jobs/{load_id}/images/{n}/around?show=unflagged").json()
    assert outside["place"] is None


@pytest.mark.parametrize("n", ["99999", "-1", "4294967296"])
def test_a_number_that_no_image_has_is_said(console, load_id, n):
    assert console.get(f"/jobs/{load_id}/images/{n}/tile").status_code == 404


def test_every_answer_about_an_image_is_told_by_its_load(console, load_id):
    n = number_of(console, load_id, "a/gun.jpg")
    page = console.get(f"/jobs/{load_id}/images/{n}/answers").text
    assert load_id in page
    assert "Violence 94.5" in page


def test_the_original_is_what_was_moderated_and_cannot_run_in_the_page(console, load_id):
    answer = console.get(f"/jobs/{load_id}/images/{number_of(console, load_id, 'a/gun.jpg')}/original")
    assert answer.content == PICTURES["a/gun.jpg"].body
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["content-disposition"].startswith("attachment")


@pytest.fixture
def own(tmp_path, bucket, s3_client, aws_env):
    """A load of its own, whose images may be changed: settings, bucket, load id."""
    settings = make_settings(tmp_path, bucket, tables="local")
    pictures = {f"{name}.jpg": Picture(jpeg(200, 150, seed=number)) for number, name in enumerate("abc")}
    return settings, publish_pictures(settings, s3_client, bucket, pictures)


class Held(Decoders):
    """Decoders that answer only when they may; they tell how many images they were given."""

    def __init__(self) -> None:
        super().__init__(2)
        self.may = threading.Event()
        self.given: list[int] = []

    def shrink(self, parts: Iterable[bytes], longest: int) -> bytes:
        self.given.append(longest)
        assert self.may.wait(60)
        return super().shrink(parts, longest)


@pytest.fixture
def held(monkeypatch):
    found = Held()
    monkeypatch.setattr("moderation.console.shared.Decoders", lambda: found)
    yield found
    found.may.set()


@pytest.fixture
def browsing(own, held, tmp_path):
    """A client of a real server, below the images of the load; what it asks for is held."""
    settings, load_id = own
    with (
        listening_at(alone(settings, token=TOKEN, cache=tmp_path / "cache")) as address,
        httpx.Client(base_url=f"{address}/jobs/{load_id}/images/", timeout=60) as client,
    ):
        client.get(f"{address}/?token={TOKEN}", follow_redirects=True)
        yield client


def test_images_that_are_being_made_hold_up_no_other_page_and_few_originals_are_in_memory(held, browsing):
    with ThreadPoolExecutor(60) as people:
        asked = [people.submit(browsing.get, f"{number % 3}/view") for number in range(60)]
        wait_until(lambda: len(held.given) == 2 * held.number)
        assert browsing.get("0").status_code == 200
        assert len(held.given) == 2 * held.number
        held.may.set()
        assert {made.result().status_code for made in asked} == {200}


@pytest.mark.slow
def test_an_image_is_not_made_for_somebody_who_went_on_meanwhile(held, browsing):
    with ThreadPoolExecutor(2 * held.number) as people:
        first = [people.submit(browsing.get, f"0/{size}") for size in ("tile", "view") * held.number]
        wait_until(lambda: len(held.given) == 2 * held.number)
        with pytest.raises(httpx.ReadTimeout):
            browsing.get("1/tile", timeout=1)
        held.may.set()
        assert {made.result().status_code for made in first} == {200}
    assert browsing.get("2/tile").status_code == 200
    assert len(held.given) == 2 * held.number + 1


def test_an_image_that_was_replaced_or_deleted_is_not_shown_as_what_was_moderated(
    own, tmp_path, s3_client, bucket
):
    settings, load_id = own
    s3_client.put_object(Bucket=bucket, Key="a.jpg", Body=jpeg(200, 150, seed=99))
    s3_client.delete_object(Bucket=bucket, Key="b.jpg")
    with served(settings, tmp_path / "cache") as console:
        said = {
            key: console.get(f"/jobs/{load_id}/images/{number_of(console, load_id, key)}/tile")
            for key in ("a.jpg", "b.jpg", "c.jpg")
        }
    assert "replaced" in said["a.jpg"].text
    assert "no longer" in said["b.jpg"].text
    assert said["c.jpg"].headers["content-type"] == "image/jpeg"


def test_what_was_seen_once_is_shown_without_s3_and_the_rest_says_so_until_it_is_back(
    own, tmp_path, aws_env, s3_server
):
    settings, load_id = own
    aws_env.setenv("AWS_MAX_ATTEMPTS", "1")
    with served(settings, tmp_path / "cache") as console:
        first, second = (number_of(console, load_id, key) for key in ("a.jpg", "b.jpg"))
        assert console.get(f"/jobs/{load_id}/images/{first}/tile").status_code == 200
    aws_env.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with served(settings, tmp_path / "cache") as console:
        assert console.get(f"/jobs/{load_id}/images/{first}/tile").status_code == 200
        gone = console.get(f"/jobs/{load_id}/images/{second}/tile")
        assert gone.status_code == 503
        assert "passes by itself" in gone.json()["error"]
        assert "cannot list" in console.get("/").text
    aws_env.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint_url)
    with served(settings, tmp_path / "cache") as console:
        assert console.get(f"/jobs/{load_id}/images/{second}/tile").status_code == 200


def test_small_images_are_private_and_give_way_above_their_share(own, tmp_path, aws_env):
    settings, load_id = own
    with served(settings, tmp_path / "cache") as console:
        for n in range(3):
            console.get(f"/jobs/{load_id}/images/{n}/tile")
        tiles = console.app.state.shared.tiles
        kept = sorted((tmp_path / "cache" / "images").glob("??/*.jpg"))
        assert len(kept) == 3
        assert {file.stat().st_mode & 0o077 for file in kept} == {0}
        tiles._max_bytes = kept[0].stat().st_size
        tiles.sweep()
        assert len(list((tmp_path / "cache" / "images").glob("??/*.jpg"))) <= 1


def test_a_small_image_that_is_damaged_or_of_another_name_is_made_anew(own, tmp_path):
    settings, load_id = own
    with served(settings, tmp_path / "cache") as console:
        address = f"/jobs/{load_id}/images/0/tile"
        shown = console.get(address).content
        (kept,) = (tmp_path / "cache" / "images").glob("??/*.jpg")
        whole = kept.read_bytes()
        console.get(f"/jobs/{load_id}/images/1/tile")
        (other,) = set((tmp_path / "cache" / "images").glob("??/*.jpg")) - {kept}
        for damaged in (
            whole[:400] + bytes([whole[400] ^ 1]) + whole[401:],
            whole[:-1] + bytes([whole[-1] ^ 1]),
            whole[: len(whole) // 2],
            shown,  # as earlier releases kept it
            b"",
            other.read_bytes(),
        ):
            kept.write_bytes(damaged)
            assert console.get(address).content == shown
            assert kept.read_bytes() == whole


def test_an_image_that_is_gone_at_its_source_says_so_until_a_listing_shows_it_again(
    own, tmp_path, s3_client, bucket, aws_env
):
    settings, load_id = own
    aws_env.setattr(gone, "_FRESH_SECONDS", 0.0)
    s3_client.delete_object(Bucket=bucket, Key="b.jpg")
    refs, none = pa.array([f"s3://{bucket}/b.jpg", f"s3://{bucket}/elsewhere.jpg"]), pa.array([], pa.string())
    looked = Looked(source="s", at=datetime(2026, 11, 28, 2, tzinfo=UTC), missing=refs, back=none, still=0)
    with served(settings, tmp_path / "cache") as console:
        n = number_of(console, load_id, "b.jpg")
        page, image = f"/jobs/{load_id}", f"/jobs/{load_id}/images/{n}"
        assert "Gone at" not in console.get(image).text
        mark(settings, looked)
        wait_until(lambda: "<b>Gone at its source</b>" in console.get(image).text)
        assert '<time datetime="2026-11-28T02:00:00+00:00">' in console.get(image).text
        assert "the listing of 2026-11-28" in " ".join(
            re.findall(r">([^<]+)</tspan>", console.get(f"{image}/tile").text)
        )
        assert "Gone at its source" not in console.get(f"/jobs/{load_id}/images/{n - 1}").text
        assert 'With an answer</a> <span class="n">1<' in console.get(page).text
        only = console.get(f"{page}/tiles?offset=0&limit=9&show=all&gone=1").json()
        assert [(tile["name"], tile["gone"]) for tile in only["tiles"]] == [("b.jpg", True)]
        rows = list(csv.DictReader(io.StringIO(console.get(f"{page}/export.csv?show=all").text)))
        assert {row["key"]: row["gone_at"][:16] for row in rows} == {
            "a.jpg": "",
            "b.jpg": "2026-11-28 02:00",
            "c.jpg": "",
        }
        mark(settings, replace(looked, missing=none, back=refs))
        wait_until(lambda: "Gone at" not in console.get(image).text)
        assert console.get(f"{page}/tiles?offset=0&limit=9&show=all&gone=1").json()["total"] == 0


@pytest.mark.parametrize("part", ["?part=side", "/images/0?part=panel"])
def test_a_part_of_a_page_waits_for_no_look_at_what_is_gone(own, tmp_path, monkeypatch, part):
    settings, load_id = own
    release, ended = threading.Event(), []

    def look(*_asked):
        ended.append(release.wait(60))
        raise OSError("the tables are away")

    with served(settings, tmp_path / "cache") as console:
        assert console.get(f"/jobs/{load_id}").status_code == 200
        monkeypatch.setattr(gone, "_FRESH_SECONDS", 0.0)
        monkeypatch.setattr(gone, "_PATIENCE_SECONDS", 60.0)
        monkeypatch.setattr(gone.Gone, "_read", look)
        assert console.get(f"/jobs/{load_id}{part}").status_code == 200
        assert not ended
        release.set()


def test_an_image_that_s3_sends_half_of_is_tried_again_and_not_taken_for_a_damaged_one(tmp_path, aws_env):
    body = jpeg(200, 150)
    half = whole("200 OK", MODIFIED + b'ETag: "abc"\r\n', body[:-900], length=str(len(body)))
    row = {
        "bucket": "b",
        "key": "half.jpg",
        "source_ref": "s3://b/half.jpg",
        "etag": "abc",
        "size_bytes": len(body),
    }
    decoders = Decoders(1)
    with serving({"half.jpg": half}) as address, closing(decoders):
        aws_env.setenv("AWS_ENDPOINT_URL_S3", address)
        tiles = Tiles(s3_objects.client(Settings()), tmp_path, decoders, max_bytes=1_000_000)
        with pytest.raises(S3Unavailable):
            tiles.shown(row, TILE)
        assert tiles.kept(row, TILE) is None
