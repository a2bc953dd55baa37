"""A published load with real images behind its rows, and the console over it."""

from __future__ import annotations

import html
import re
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Starlette would rather have another HTTP client.
    warnings.simplefilter("ignore", UserWarning)
    from fastapi.testclient import TestClient

from moderation.console.alone import alone
from moderation.console.application import WRITE_HEADER
from moderation.publish.commit import publish
from moderation.settings import Settings
from support.pictures import jpeg, rotated_jpeg, transparent_png, truncated_jpeg
from support.planned_runs import Run, answer, content_types, label, line, weapon_violence

TOKEN = "a-token-of-no-value"
ODD = "a \"b\" <i>c</i> & '=cmd' ümläut-日本.jpg"


@dataclass(frozen=True)
class Picture:
    """An image of the load: its bytes, and what was answered about it; no answer makes it fail."""

    body: bytes
    labels: tuple[dict[str, Any], ...] | None = ()
    kinds: Mapping[str, float] | None = None
    code: str | None = None


SAME = jpeg(400, 300, seed=3)
PICTURES: dict[str, Picture] = {
    "a/gun.jpg": Picture(jpeg(400, 300, seed=1), tuple(weapon_violence(94.5))),
    "a/faint.jpg": Picture(jpeg(400, 300, seed=2), tuple(weapon_violence(52.25))),
    "a/plain.jpg": Picture(SAME),
    "b/plain-again.jpg": Picture(SAME),
    "b/turned.jpg": Picture(rotated_jpeg(), (label("Gambling", "", 1, 71.0),), {"Illustrated": 88.0}),
    "b/clear.png": Picture(transparent_png(), (), {"Animated": 63.0}),
    ODD: Picture(jpeg(320, 240, seed=5), (label("<script>alert(1)</script>", "", 1, 60.0),)),
    "=2+2.jpg": Picture(jpeg(320, 240, seed=6), (label("Alcohol", "", 1, 55.0),)),
    "c/broken.jpg": Picture(truncated_jpeg(), None, code="InvalidImageFormatException"),
}
FLAGGED = 5
"""Images of these with a label."""


def publish_pictures(
    settings: Settings, s3: Any, bucket: str, pictures: Mapping[str, Picture] = PICTURES, name: str = "run-a"
) -> str:
    """Store the images, publish a load of them, and return its id."""
    run = Run(settings, s3, name=name)
    for key, picture in pictures.items():
        etag = s3.put_object(Bucket=bucket, Key=key, Body=picture.body)["ETag"].strip('"')
        ref = f"s3://{bucket}/{key}"
        if picture.labels is None:
            error = {"source-ref": ref, "code": picture.code, "message": "It cannot be decoded."}
            run.manifest([ref], b"", summary={"errors": [error]}, etag=etag)
        else:
            body = answer(picture.labels, ContentTypes=content_types(**(picture.kinds or {})))
            run.manifest([ref], line(ref, body), etag=etag)
    run.reject([f"s3://{bucket}/c/too-long-a-key.jpg"], "KeyTooLong")
    return publish(settings, run.store(), run.records).load_id


@contextmanager
def listening_at(app: FastAPI) -> Iterator[str]:
    """The address where a real server answers with the console."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def addresses(page: str) -> set[str]:
    """Every address on a page, also those that its scripts go by."""
    found = re.findall(r'(?:href|src|action|data-[a-z-]+)="([^"#]+)"', page)
    return {html.unescape(one) for one in found if one.startswith(("/", "http", "."))}


def walk_below(client: TestClient, prefix: str, start: str) -> set[str]:
    """Follow addresses of every kind from a page, and redirects: none leads out of the prefix, none is dead.

    :returns: the paths that were looked at.
    """
    seen: set[str] = set()
    kinds: set[str] = set()
    waiting = [start]
    while waiting:
        address = waiting.pop()
        assert address.startswith(f"{prefix}/"), address
        path = address.partition("?")[0]
        # Another selection of the same page has the same kinds of links, and so has another image of a job.
        kind = re.sub(r"/images/[1-9]\d*", "/images/1", path)
        if kind in kinds or "NAME" in path:
            continue
        kinds.add(kind)
        seen.add(path)
        answer = client.get(address, headers={"Accept": "text/html"})
        if answer.is_redirect:
            waiting.append(answer.headers["location"])
            continue
        # A form's address lacks what is asked for, a script's is for writing; a refused file has no original.
        fine = {200, 400, 405} | ({404} if path.endswith("/original") else set())
        assert answer.status_code in fine, (address, answer.status_code)
        if answer.headers["content-type"].startswith("text/html"):
            waiting += addresses(answer.text)
    return seen


@contextmanager
def served(
    settings: Settings, cache: Path, *, login: bool = True, root_path: str = ""
) -> Iterator[TestClient]:
    """The console of one person as a client asks it, logged in or not."""
    with asked(alone(settings, token=TOKEN, cache=cache), root_path=root_path) as client:
        if login:
            client.get(f"/?token={TOKEN}")
            client.headers[WRITE_HEADER] = "1"
        yield client


def asked(app: FastAPI, *, root_path: str = "") -> TestClient:
    """A client of an application, which begins and ends with its block."""
    return TestClient(app, base_url="http://127.0.0.1:8585", follow_redirects=False, root_path=root_path)
