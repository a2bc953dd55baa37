"""How long people wait for the console, and for Airflow meanwhile; and its memory over a long history.

``PYTHONPATH=include:plugins:tests:benchmarks/queries python benchmarks/console.py [--days 100]``

``--days`` loads of 100,000 images each (one is opened), and two loads of 120 JPEGs of 12 megapixels: how long
one takes to decode goes by its bytes. Each figure is the median of some tries, or the 95th percentile where
it says so; there is one try of cold tiles.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import console_in_airflow
import console_memory
import console_verify
import generate
import psutil
from botocore.config import Config
from PIL import Image

from local_aws import seaweedfs
from local_aws.seaweedfs import Credentials
from moderation.console.tiles.kept import TILE
from moderation.settings import Settings
from support import browser
from support.console_load import Picture, publish_pictures
from support.pictures import encode
from support.planned_runs import weapon_violence

IMAGES_A_LOAD = 100_000
PHOTOS = 120
TILES = 60
STEPS = 60
WINDOW = {"width": 1900, "height": 1300}
WEIGHTS = {"4.2 MB": 88, "2.9 MB": 75}
"""Bytes of each JPEG, by its quality; the first ones are used where it does not matter."""
NUMBERS = "numbers of all jobs, over the history"
BOUNDS: dict[str, float | None] = (
    {
        "job page over 100,000 images, warm": 1.0,
        "filter by a label": 0.2,
        "move of the slider": 0.2,
        **{f"60 tiles of 12 megapixels, {weight} each, cold": 2.5 for weight in WEIGHTS},
        "60 tiles, warm": 0.2,
        "next image, three ahead (95th percentile)": 0.05,
        "next image, cold, as its tile": 0.2,
        **{f"next image, {weight}, cold": 0.2 for weight in WEIGHTS},
        "jobs, over the history": None,
        "every answer about an image, over the history": None,
        NUMBERS: None,
    }
    | console_verify.BOUNDS
    | console_in_airflow.BOUNDS
)
"""Seconds, and keys; None where nothing is wanted."""


def photo(seed: int, quality: int) -> bytes:
    """A JPEG of 12 megapixels that compresses as photographs do."""
    small = Image.effect_noise((1000, 750), 60 + seed % 20).resize((4000, 3000), Image.Resampling.BICUBIC)
    grain = Image.effect_noise((4000, 3000), 12)
    return encode(Image.merge("RGB", (small, Image.blend(small, grain, 0.3), small)), "JPEG", quality=quality)


def prepare(folder: Path, days: int, s3: Any) -> tuple[Settings, str, dict[str, str]]:
    """A history and the loads of photos; settings, and the ids of the large load and, by weight, of these."""
    data = generate.Data(folder=folder, images=IMAGES_A_LOAD * days, days=days)
    connection = generate.connect(data)
    for day in range(days):
        generate.publish_day(connection, data, day)
    connection.close()
    generate.register(data)
    settings = Settings(
        tables_uri=data.settings.tables_uri, catalog_uri=data.settings.catalog_uri, work_uri="s3://work/work"
    )
    s3.create_bucket(Bucket="work")
    photos = {}
    for weight, quality in WEIGHTS.items():
        s3.create_bucket(Bucket=f"photos-{quality}")
        few = [photo(seed, quality) for seed in range(4)]
        # A comment makes each another content, and takes no time to make.
        pictures = {
            f"{number:03d}.jpg": Picture(
                few[number % 4] + number.to_bytes(2, "big"), tuple(weapon_violence(60 + number / 4))
            )
            for number in range(PHOTOS)
        }
        photos[weight] = publish_pictures(
            settings, s3, f"photos-{quality}", pictures, name=f"photos-{quality}"
        )
    return settings, data.load_id(days - 1), photos


_BEGAN = "const began = performance.now();"


def _look(condition: str) -> str:
    """A script's part that waits for a condition and then for its frame.

    It looks the less often the longer it waits, by a twentieth: who looks every two milliseconds for seconds
    takes a tenth of what the browser does meanwhile.
    """
    return (
        "const look = () => { "
        f"if ({condition}) requestAnimationFrame(() => done(performance.now() - began));"
        " else setTimeout(look, Math.min(16, 2 + (performance.now() - began) / 20)); }; look();"
    )


def until(page: Any, condition: str) -> float:
    """Seconds from now until the page has painted what makes the condition true."""
    return float(page.evaluate(f"() => new Promise((done) => {{ {_BEGAN} {_look(condition)} }})") / 1000)


def timed(page: Any, action: str, condition: str) -> float:
    """Seconds from an action inside the page until what it leads to is painted."""
    return float(
        page.evaluate(f"() => new Promise((done) => {{ {_BEGAN} {action}; {_look(condition)} }})") / 1000
    )


def measure(page: Any, base: str, large: str, weighed: dict[str, str]) -> dict[str, list[float]]:
    """The figures of `BOUNDS`, each with its tries."""
    elsewhere = {*console_verify.BOUNDS, *console_in_airflow.BOUNDS}
    found: dict[str, list[float]] = {name: [] for name in BOUNDS if name not in elsewhere}
    drawn = "document.querySelectorAll('.grid.placed .tile').length > 5"
    page.goto(f"{base}/jobs/{large}")  # makes the index
    until(page, drawn)
    for _ in range(5):
        began = time.perf_counter()
        page.goto(f"{base}/jobs/{large}")
        until(page, drawn)
        found["job page over 100,000 images, warm"].append(time.perf_counter() - began)
    for number in range(5):
        page.wait_for_timeout(1500)  # a person looks
        page.evaluate("() => { window.before = document.getElementById('state') }")
        other = f"document.getElementById('state') !== window.before && {drawn}"
        click = f"document.querySelectorAll('.tree a[data-go]')[{number}].click()"
        found["filter by a label"].append(timed(page, click, other))
    page.goto(f"{base}/jobs/{large}")
    until(page, drawn)
    for _ in range(5):
        counted = "document.getElementById('count-flagged').textContent"
        page.evaluate(f"() => {{ window.was = {counted} }}")
        key = "document.dispatchEvent(new KeyboardEvent('keydown', {key: '}'}))"
        found["move of the slider"].append(timed(page, key, f"{counted} !== window.was"))
        page.wait_for_timeout(600)
    images = "[...document.querySelectorAll('.tile img')]"
    # What says why there is no image is wider than any tile.
    shown = f"i.complete && 0 < i.naturalWidth && i.naturalWidth <= {TILE}"
    seen = f"{images}.filter((i) => {shown}).length >= {TILES}"
    for weight, photos in weighed.items():
        found[f"60 tiles of 12 megapixels, {weight} each, cold"].append(_cold_tiles(page, base, photos, seen))
    photos = next(iter(weighed.values()))
    for _ in range(3):
        page.goto(f"{base}/jobs/{photos}?order=name")
        page.evaluate("() => document.querySelectorAll('.tile img').forEach((i) => { i.src = '' })")
        redo = f"{images}.forEach((i) => {{ i.src = i.closest('a').href.split('?')[0] + '/tile' }})"
        found["60 tiles, warm"].append(timed(page, redo, seen))
    large_one = "document.getElementById('large')"
    whole = f"{large_one}?.complete && {large_one}.naturalWidth > 0"
    page.goto(f"{base}/jobs/{photos}")
    page.wait_for_selector(".tile")
    page.goto(page.get_attribute(".tile", "href").join([base, ""]))
    until(page, whole)
    for _ in range(STEPS):
        page.wait_for_timeout(900)  # a person looks
        page.evaluate("() => { window.old = document.getElementById('large') }")
        key = "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'j'}))"
        found["next image, three ahead (95th percentile)"].append(
            timed(page, key, f"document.getElementById('large') !== window.old && {whole}")
        )
    for weight, load in weighed.items():
        small, found[f"next image, {weight}, cold"] = _cold_next(page, base, load, whole)
        found["next image, cold, as its tile"] += small
    for _ in range(3):
        for name, address in (
            ("jobs, over the history", f"{base}/"),
            ("every answer about an image, over the history", f"{base}/jobs/{large}/images/7/answers"),
        ):
            began = time.perf_counter()
            page.goto(address)
            found[name].append(time.perf_counter() - began)
    return found | console_verify.measure(page, base, photos, timed, STEPS)


def _cold_tiles(page: Any, base: str, photos: str, seen: str) -> float:
    """Seconds to the tiles of a load that nobody has looked at before."""
    page.goto(f"{base}/jobs/{photos}?show=failed")  # makes the index, and no image
    began = time.perf_counter()
    # The event that a whole page is loaded waits for every tile that it has, some rows below the window too.
    page.goto(f"{base}/jobs/{photos}", wait_until="commit")
    page.wait_for_selector(".tile")
    until(page, seen)
    return time.perf_counter() - began


def _cold_next(page: Any, base: str, photos: str, whole: str) -> tuple[list[float], list[float]]:
    """Seconds to the next image where nothing was loaded ahead and nobody has looked at it before.

    :returns: until the tile of the grid stands for it, and until it is there itself.
    """
    small, large = [], []
    network = page.context.new_cdp_session(page)  # a route of Playwright's would go past the browser's cache
    network.send("Network.enable")
    other = "document.getElementById('large') !== window.old"
    for place in range(0, 40, 4):
        page.goto(f"{base}/jobs/{photos}?order=name")
        until(page, f"document.querySelectorAll('.tile img')[{place + 1}]?.naturalWidth")
        link = page.get_attribute(f".tile >> nth={place}", "href")
        network.send("Network.setBlockedURLs", {"urls": ["*/view*"]})  # what is loaded ahead
        page.goto(base + link, wait_until="networkidle")
        network.send("Network.setBlockedURLs", {"urls": []})
        page.evaluate("() => { window.old = document.getElementById('large') }")
        key = "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'j'}))"
        stands = f"{other} && (document.getElementById('large').style.background || {whole})"
        small.append(timed(page, f"window.pressed = began; {key}", stands))
        until(page, whole)
        # By the page's own clock: between two calls from here time passes, too.
        large.append(page.evaluate("() => performance.now() - window.pressed") / 1000)
    return small, large


def alone(large: str, photos: dict[str, str]) -> tuple[dict[str, list[float]], dict[str, float]]:
    """The figures of a console of its own, and megabytes.

    Numbers come last: they are counted for minutes over a long history.
    """
    with _console() as (process, page, base):
        found = measure(page, base, large, photos)
        taken = {"memory of the application, at most (bound 400)": console_memory.at_most(process)}
        decoders = psutil.Process(process).children()
        taken["its decoders"] = sum(child.memory_info().rss for child in decoders) / 1e6
        taken |= console_memory.measure(process, page, base, large)
        console_memory.afresh(process)
        found[NUMBERS].append(_numbers(page, base))
        taken["… while the numbers of all jobs are counted"] = console_memory.at_most(process)
    with _console() as (process, page, base):
        most = console_memory.with_numbers(process, page, base)
        taken["… these and eight other requests at once"] = most
    return found, taken


@contextmanager
def _console() -> Iterator[tuple[int, Any, str]]:
    """Its process, a page that is logged in, and its address."""
    command = [sys.executable, "-m", "moderation.cli", "console", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as console:
        try:
            link = console.stdout.readline().split()[-1]
            with browser.chromium() as chromium:
                page = browser.window(chromium, viewport=WINDOW).new_page()
                page.goto(link)
                yield console.pid, page, link.partition("/?")[0]
        finally:
            console.terminate()


def _numbers(page: Any, base: str) -> float:
    began = time.perf_counter()
    page.goto(f"{base}/numbers", timeout=1_000_000)
    return time.perf_counter() - began


def tell(found: dict[str, list[float]], taken: dict[str, float]) -> None:
    """Print a line for each figure, of time and of memory in megabytes."""
    for name, tries in found.items():
        nearest = (
            sorted(tries)[max(0, round(0.95 * len(tries)) - 1)]
            if "95th" in name
            else statistics.median(tries)
        )
        bound = BOUNDS[name]
        if "keys" in name:
            print(f"{name:<64}{nearest:8.3f}      bound {bound}")
        else:
            print(
                f"{name:<64}{nearest * 1000:8.0f} ms"
                + ("" if bound is None else f"   bound {bound * 1000:.0f} ms")
            )
    for name, megabytes in taken.items():
        print(f"{name:<64}{megabytes:8.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=100)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="console-") as temporary, ExitStack() as stack:
        folder = Path(temporary)
        credentials = Credentials("AKIACONSOLEBENCH0000", "no-secret-at-all-of-any-value")
        server = seaweedfs.start(folder / "s3", credentials)
        stack.callback(server.stop)
        keys = {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": server.endpoint_url,
        }
        os.environ |= keys
        s3 = boto3.client(
            "s3", endpoint_url=server.endpoint_url, config=Config(s3={"addressing_style": "path"})
        )
        settings, large, photos = prepare(folder / "data", args.days, s3)
        given = keys | {
            "MODERATION_WORK_URI": settings.work_uri,
            "MODERATION_TABLES_URI": settings.tables_uri,
            "MODERATION_CATALOG_URI": settings.catalog_uri,
            "MODERATION_CONSOLE_CACHE": str(folder / "cache"),
            "MODERATION_REVIEW_DB": str(folder / "review.db"),
        }
        os.environ |= given
        found, taken = alone(large, photos)
        tell(found, taken)
        (folder / "airflow").mkdir()
        unseen = {"MODERATION_CONSOLE_CACHE": str(folder / "another-cache")}
        with browser.chromium() as chromium:
            beside, taken = console_in_airflow.measure(
                folder / "airflow", chromium, given | unseen, large, dict.fromkeys(photos.values(), PHOTOS)
            )
        tell(beside, taken)


if __name__ == "__main__":
    main()
