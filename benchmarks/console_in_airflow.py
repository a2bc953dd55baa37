"""What Airflow's own pages, and the memory of their server, have of the console; for ``console.py``."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import console_memory
import psutil

from moderation_console import URL_PREFIX
from support import airflow_stack
from support.airflow_home import REPOSITORY
from support.browser import window

DAG = "moderate_images"
BOUNDS: dict[str, float | None] = {
    "a request of Airflow's own pages meanwhile (95th percentile)": 0.5,
    "the same, with nothing beside it (95th percentile)": None,
    "a page of Airflow opens meanwhile": None,
    "the same, with nothing beside it": None,
}
"""Seconds; none where nothing is wanted, as it is Airflow's own affair."""

PAGES = {
    "/dags": f"a[href$='/dags/{DAG}']",
    f"/dags/{DAG}": "h2",
    f"/dags/{DAG}/runs": "text=No Dag Runs found",
}
"""What Airflow has for people who work with runs, and what stands there when a page is there.

No run was made here; a table stands on the last page only while its runs are asked for.
"""

_AT_ONCE = 6
"""Requests that a browser has under way."""

_ROUNDS = 5
_WAITS = """() => performance.getEntries()
    .filter((e) => ["navigation", "fetch", "xmlhttprequest"].includes(e.initiatorType) && e.responseEnd > 0)
    .map((e) => (e.responseEnd - e.requestStart) / 1000)"""


def measure(
    folder: Path, chromium: Any, given: Mapping[str, str], large: str, photos: Mapping[str, int]
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """The figures of `BOUNDS`, each with its tries: alone, and while new images are made; and megabytes.

    :param folder: an empty one, for Airflow.
    :param given: variables that lead Airflow's processes to the tables.
    :param large: the load whose images are to be verified.
    :param photos: ids of loads whose images nobody has looked at, and how many each has.
    """
    (folder / "dags").symlink_to(REPOSITORY / "dags")
    with airflow_stack.running(folder, dict(given)) as airflow:
        airflow.api.wait_for_dag(DAG, lambda: None)
        url = airflow.stack.airflow_url()
        token = _token(url, airflow.stack.secrets.airflow_password)
        context = window(chromium, viewport={"width": 1900, "height": 1300})
        context.add_cookies([{"name": "_token", "value": token, "url": url}])
        page = context.new_page()
        _visit(page, url)  # fills the browser's cache
        server = _serving(airflow.stack.registry.entries()["api-server"].pid)
        alone = [_visit(page, url) for _ in range(_ROUNDS)]
        taken = {"Airflow's web server, at most, before the console is asked": console_memory.at_most(server)}
        images = [
            f"{url}{URL_PREFIX}/jobs/{load}/images/{n}/{size}"
            for size in ("tile", "view")
            for load, many in photos.items()
            for n in range(many)
        ]
        with _asked(images, token) as under_way:
            beside = [_visit(page, url) for _ in range(_ROUNDS) if under_way()]
        taken["… while images are made"] = console_memory.at_most(server)
        taken |= console_memory.measure(server, page, url + URL_PREFIX, large)
        console_memory.afresh(server)
        answer = page.request.get(f"{url}{URL_PREFIX}/numbers", timeout=1_000_000)
        assert answer.ok, answer.text()
        taken["… while the numbers of all jobs are counted"] = console_memory.at_most(server)
        context.close()
    found = (
        [[one for _, waits in rounds for one in waits], [one for opened, _ in rounds for one in opened]]
        for rounds in (beside, alone)
    )
    (waits, opened), (waits_alone, opened_alone) = found
    return dict(zip(BOUNDS, (waits, waits_alone, opened, opened_alone), strict=True)), taken


def _serving(leader: int) -> int:
    """Of a process and its children the one with most memory: it has all of the application."""
    first = psutil.Process(leader)
    return int(max([first, *first.children(recursive=True)], key=lambda one: one.memory_info().rss).pid)


def _token(url: str, password: str) -> str:
    body = json.dumps({"username": "admin", "password": password}).encode()
    request = urllib.request.Request(f"{url}/auth/token", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return str(json.load(answer)["access_token"])


def _visit(page: Any, url: str) -> tuple[list[float], list[float]]:
    """Seconds until each of `PAGES` is there, and those of each request to the server that they made."""
    opened, waits = [], []
    for path, there in PAGES.items():
        began = time.perf_counter()
        page.goto(url + path, wait_until="commit")
        page.wait_for_selector(there)
        opened.append(time.perf_counter() - began)
        waits += page.evaluate(_WAITS)
    return opened, waits


@contextmanager
def _asked(addresses: list[str], token: str) -> Iterator[Any]:
    """Ask for one after another, some at once, as the grid of a job does, until the block ends.

    Gives a function that tells whether there are any left.
    """
    left = iter(addresses)
    lock = threading.Lock()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            with lock:
                address = next(left, None)
            if address is None:
                over.set()
                return
            request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
            with urllib.request.urlopen(request) as answer:
                if answer.headers["Content-Type"] != "image/jpeg":
                    raise RuntimeError(f"{address} is no image: {answer.read()!r}")
                answer.read()

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        running = [threads.submit(ask) for _ in range(_AT_ONCE)]
        try:
            yield lambda: not over.is_set()
        finally:
            over.set()
    for one in running:
        one.result()
