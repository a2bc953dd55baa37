"""How much memory the console takes at most, whatever is asked of it at once; for ``console.py``."""

from __future__ import annotations

import json
import re
import threading
import urllib.request
from pathlib import Path
from typing import Any

from moderation.console.application import WRITE_HEADER

_LOAD = re.compile(r"/jobs/(\d{8}T\d{6}Z-[0-9a-f]{12})")


def at_most(process: int) -> float:
    """Megabytes that a process took at once since :func:`afresh`, or ever."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def afresh(process: int) -> None:
    """Let :func:`at_most` forget what was."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


def measure(process: int, page: Any, base: str, large: str) -> dict[str, float]:
    """Megabytes at most while each goes on, by its name.

    :param page: that is logged in.
    :param large: the job whose images are to be verified.
    """
    told = {}
    for name, wanted in (
        ("its flagged images", {"kind": "job"}),
        ("all its images", {"kind": "filter", "query": "show=all"}),
    ):
        afresh(process)
        _queue(page, base, wanted | {"load_id": large, "name": name})
        told[f"… while a queue of {name} is made"] = at_most(process)
    others = [load for load in _loads(page, base) if load != large]
    afresh(process)
    _at_once(page, base, _nine(others, "numbers?load=" + others[0]))
    told["… nine requests at once: six indexes, numbers of a job"] = at_most(process)
    return told


def with_numbers(process: int, page: Any, base: str) -> float:
    """Megabytes at most while the numbers of all jobs are counted, and eight others ask."""
    _at_once(page, base, _nine(_loads(page, base)[20:], "numbers"))
    return at_most(process)


def _nine(loads: list[str], numbers: str) -> list[str]:
    answers = [f"jobs/{load}/images/9/answers" for load in loads[:2]]
    return [numbers, "", *(f"jobs/{load}" for load in loads[1:6]), *answers]


def _loads(page: Any, base: str) -> list[str]:
    return list(dict.fromkeys(_LOAD.findall(page.request.get(f"{base}/").text())))


def _queue(page: Any, base: str, wanted: dict[str, str]) -> None:
    headers = {WRITE_HEADER: "1", "Content-Type": "application/json"}
    answer = page.request.post(
        f"{base}/verify/new", data=json.dumps(wanted), headers=headers, timeout=600_000
    )
    assert answer.ok, answer.text()


def _at_once(page: Any, base: str, paths: list[str]) -> None:
    """Ask for all of them together; a browser would send six."""
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in page.context.cookies())
    faults: list[Exception] = []

    def ask(path: str) -> None:
        request = urllib.request.Request(f"{base}/{path}", headers={"Cookie": cookies})
        try:
            with urllib.request.urlopen(request, timeout=900) as answer:
                answer.read()
        except OSError as error:
            faults.append(error)

    threads = [threading.Thread(target=ask, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults
