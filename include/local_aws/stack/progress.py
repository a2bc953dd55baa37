"""What a person sees while a run is under way."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

STAGES = (
    "discover", "plan", "approve", "analyse", "single_calls", "detect", "publish", "load", "report",
)  # fmt: skip
_DONE = {"success", "skipped"}


class Progress:
    """Prints a line a stage; on a terminal the current line is rewritten in place.

    :param stream: where to print; standard error by default, so that the summary alone is on standard output.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._started = time.monotonic()
        self._last = ""

    def show(self, text: str) -> None:
        """Show ``text`` with the time since the start; the same text again updates the time only."""
        line = f"[{time.monotonic() - self._started:5.1f} s] {text}"
        if self._live:
            same_stage = text.partition(":")[0] == self._last.partition(":")[0]
            start = "\r\x1b[K" if same_stage else "\n" if self._last else ""
            self._stream.write(f"{start}{line}")
        elif text != self._last:
            self._stream.write(f"{line}\n")
        self._last = text
        self._stream.flush()

    def close(self) -> None:
        """End the line that is being rewritten."""
        if self._live and self._last:
            self._stream.write("\n")
            self._stream.flush()
        self._last = ""


def describe(
    task_states: Mapping[str, list[str]],
    jobs: Iterable[Mapping[str, Any]],
    manifests: int | None,
    calls: int = 0,
) -> str:
    """Say in one line at which stage a run is and how many images are done.

    :param task_states: states of the task instances by task id.
    :param jobs: this run's jobs as the offline endpoint tells them.
    :param manifests: how many jobs the plan asks for; None while there is no plan.
    :param calls: images of this run that were answered one by one.
    """
    stage = next(
        (s for s in STAGES if any(state not in _DONE for state in task_states.get(s, ["none"]))), STAGES[-1]
    )
    if stage == "detect":
        return f"detect: {calls:,} images answered, one call each"
    if stage != "analyse":
        return f"{stage}: {_STAGE_TEXT[stage]}"
    jobs = list(jobs)
    done = sum(int(job["done"]) for job in jobs)
    total = sum(int(job["total"]) for job in jobs)
    finished = sum(job["status"] == "SUCCEEDED" for job in jobs)
    return f"analyse: {done:,} of {total:,} images, {finished} of {manifests or len(jobs)} jobs finished"


_STAGE_TEXT = {
    "discover": "uploading and listing the images",
    "plan": "pricing what is new and choosing the backend",
    "approve": "comparing the price with the limit",
    "single_calls": "looking for what bulk jobs do not take",
    "publish": "flattening the answers into Parquet",
    "load": "loading the warehouse",
    "report": "writing the report",
}
