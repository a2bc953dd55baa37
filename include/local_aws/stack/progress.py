"""What a person sees while a run is under way."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TextIO

STAGES = (
    "discover", "plan", "approve", "analyse", "single_calls", "detect", "publish", "load", "report",
)  # fmt: skip
_DONE = {"success", "skipped"}


class Planned(NamedTuple):
    """What a plan asks for.

    :param jobs: bulk jobs.
    :param by_jobs: images in them.
    :param by_calls: images that are asked one by one, as far as that is known.
    """

    jobs: int
    by_jobs: int
    by_calls: int


class Step(NamedTuple):
    """Where a run is.

    :param text: one line, ``stage: what it does``.
    :param share: how much of the stage is done, 0 to 1; None where that is not known.
    """

    text: str
    share: float | None = None


class Progress:
    """Shows where a run is: rewritten in place on a terminal, elsewhere a line a change.

    A change is another stage, and within one each tenth of its images.

    :param stream: where to print; standard error by default, so that the summary alone is on standard output.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._started = time.monotonic()
        self._last = ""
        self._tenths = -1

    def show(self, text: str, share: float | None = None) -> None:
        """Show ``text`` with the time since the start; the same text again updates the time only.

        :param share: as of `Step`.
        """
        line = f"[{time.monotonic() - self._started:5.1f} s] {text}"
        same_stage = text.partition(":")[0] == self._last.partition(":")[0]
        if self._live:
            start = "\r\x1b[K" if same_stage else "\n" if self._last else ""
            self._stream.write(f"{start}{line}")
        elif self._is_change(text, share, same_stage=same_stage):
            self._stream.write(f"{line}\n")
        self._last = text
        self._stream.flush()

    def _is_change(self, text: str, share: float | None, *, same_stage: bool) -> bool:
        before = self._tenths if same_stage else -1
        self._tenths = before if share is None else int(10 * share)
        return text != self._last if share is None or not same_stage else self._tenths > before

    def close(self) -> None:
        """End the line that is being rewritten."""
        if self._live and self._last:
            self._stream.write("\n")
            self._stream.flush()
        self._last = ""


def describe(
    task_states: Mapping[str, list[str]],
    jobs: Iterable[Mapping[str, Any]],
    planned: Planned | None,
    calls: int = 0,
) -> Step:
    """Say in one line at which stage a run is and how many images are done.

    :param task_states: states of the task instances by task id.
    :param jobs: this run's jobs as the offline endpoint tells them.
    :param planned: None while there is no plan.
    :param calls: images of this run that were answered one by one.
    """
    stage = next(
        (s for s in STAGES if any(state not in _DONE for state in task_states.get(s, ["none"]))), STAGES[-1]
    )
    if stage == "analyse" and planned is not None and not planned.jobs:
        stage = "single_calls"
    if stage == "detect":
        # Until its instances are made nobody knows whether there are any.
        if set(task_states.get("detect", ["none"])) == {"none"} or planned is None:
            return Step(f"single_calls: {_STAGE_TEXT['single_calls']}")
        return _counted("detect", calls, planned.by_calls, "answered, one call each")
    if stage != "analyse" or planned is None:
        return Step(f"{stage}: {_STAGE_TEXT[stage]}")
    jobs = list(jobs)
    done = sum(int(job["done"]) for job in jobs)
    finished = sum(job["status"] == "SUCCEEDED" for job in jobs)
    return _counted("analyse", done, planned.by_jobs, f"{finished} of {planned.jobs} jobs finished", sep=", ")


def _counted(stage: str, done: int, total: int, rest: str, *, sep: str = " ") -> Step:
    of = f" of {total:,}" if total else ""  # a total that could not be read is not shown as none
    return Step(f"{stage}: {done:,}{of} images{sep}{rest}", min(1.0, done / total) if total else None)


_STAGE_TEXT = {
    "discover": "uploading and listing the images",
    "plan": "pricing what is new and choosing the backend",
    "approve": "comparing the price with the limit",
    "analyse": "starting the jobs",
    "single_calls": "looking for what bulk jobs do not take",
    "publish": "flattening the answers into Parquet",
    "load": "loading the warehouse",
    "report": "writing the report",
}
