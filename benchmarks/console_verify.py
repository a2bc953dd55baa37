"""How long a reviewer waits for the next image, and how many keys a decision takes; for ``console.py``."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable
from typing import Any

from moderation.console.application import WRITE_HEADER
from support.browser import wait_for

Timed = Callable[[Any, str, str], float]

BOUNDS = {
    "verify: key press to the next image painted (95th percentile)": 0.05,
    "verify: keys a decision in focus, 5 % wrong": 1.1,
    "verify: keys a decision in the grid, 5 % wrong": 0.15,
}
"""Seconds; keys."""

_WRONG_EACH = 20
"""One image of so many is wrong."""

_LARGE = "document.getElementById('large')"


def measure(page: Any, base: str, load_id: str, timed: Timed, steps: int) -> dict[str, list[float]]:
    """The figures of `BOUNDS`, each with its tries.

    :param load_id: of the load whose flagged images are verified; it has at least ``steps``.
    :param timed: seconds from an action inside the page until a condition is painted.
    """
    next_image, in_focus, in_grid = BOUNDS
    waits, keys = _focus(page, _queue(page, base, load_id, "focus"), timed, steps)
    return {next_image: waits, in_focus: [keys], in_grid: [_grid(page, _queue(page, base, load_id, "grid"))]}


def _queue(page: Any, base: str, load_id: str, mode: str) -> str:
    headers = {WRITE_HEADER: "1", "Content-Type": "application/json"}
    wanted = {"kind": "band", "label": "Weapon Violence", "low": 50, "high": 100}
    wanted |= {"load_id": load_id, "name": uuid.uuid4().hex}
    answer = page.request.post(f"{base}/verify/new", data=json.dumps(wanted), headers=headers)
    return f"{base}/verify/queues/{answer.json()['queue']}?mode={mode}"


def _focus(page: Any, address: str, timed: Timed, steps: int) -> tuple[list[float], float]:
    """Seconds from each key that decides until the next image is there whole; keys a decision."""
    page.goto(address)
    wait_for(page, f"{_LARGE}?.complete && {_LARGE}.naturalWidth > 0")
    waits = []
    for number in range(1, steps + 1):
        page.wait_for_timeout(900)  # a person looks
        key = "x" if number % _WRONG_EACH == 0 else "a"
        press = f"document.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))"
        page.evaluate(f"() => {{ window.old = {_LARGE} }}")
        painted = f"{_LARGE} !== window.old && {_LARGE}?.complete && {_LARGE}.naturalWidth > 0"
        waits.append(timed(page, press, painted))
    return waits, steps / _done(page)


def _grid(page: Any, address: str) -> float:
    """Keys a decision over one page of the grid, by real key presses."""
    page.goto(address)
    page.wait_for_selector(".pick")
    page.wait_for_timeout(1_000)
    spots = page.evaluate("() => [...document.querySelectorAll('.pick .spot')].map((one) => one.textContent)")
    pressed = 0
    for spot in spots[: math.ceil(len(spots) / _WRONG_EACH)]:
        for key in spot:
            page.keyboard.press(key)
            pressed += 1
    page.keyboard.press("Enter")
    wait_for(page, f"Number(document.getElementById('done').textContent) >= {len(spots)}")
    return (pressed + 1) / _done(page)


def _done(page: Any) -> int:
    return int(page.inner_text("#done"))
