"""What Rekognition's own ledger says was paid, and what of it was paid more than once."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Entry = Mapping[str, Any]
_GENERATION = re.compile(r"-g(\d+)-[0-9a-f]+$")


@dataclass(frozen=True)
class Payments:
    """The verdict on a run.

    :param twice: payments that nothing explains.
    :param in_flight: single calls paid again because the first answer was lost on its way.
    :param problems: what was paid twice, in words.
    """

    twice: int
    in_flight: int
    problems: tuple[str, ...] = ()


def judge(
    entries: Iterable[Entry], statuses: Mapping[str, str], *, lost_calls: int, repeats: bool
) -> Payments:
    """Look at everything that was started and billed.

    :param statuses: of each job, by its id.
    :param lost_calls: at most so many answers to single calls were lost after they were paid.
    :param repeats: images were paid again on purpose, because their answers were lost for good.
    """
    entries = list(entries)
    calls = Counter(entry["source_ref"] for entry in entries if entry["event"] == "detect_billed")
    again = sum(count - 1 for count in calls.values())
    problems = [*_submissions(entries, statuses), *_lines(entries)]
    if not repeats:
        problems += _images(entries, statuses, calls)
    if again > lost_calls:
        problems += [f"{again} single calls were repeated, {lost_calls} can be explained"] * (
            again - lost_calls
        )
    return Payments(len(problems), min(again, lost_calls), tuple(problems))


def billed(entries: Iterable[Entry]) -> set[str]:
    """The images that were paid for, by any backend."""
    return {entry["source_ref"] for entry in entries if entry["event"] in {"image_billed", "detect_billed"}}


def _submissions(entries: Iterable[Entry], statuses: Mapping[str, str]) -> list[str]:
    """One job a manifest and generation, and a new generation only after a job that FAILED."""
    started: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for entry in entries:
        if entry["event"] == "job_started":
            found = _GENERATION.search(entry["job_name"])
            assert found, f"{entry['job_name']} names no generation"
            started[entry["source_ref"]].append((int(found[1]), entry["job_id"]))
    problems = []
    for manifest, jobs in started.items():
        ordered = sorted(jobs)
        if [number for number, _ in ordered] != list(range(1, len(ordered) + 1)):
            problems.append(f"{manifest} was submitted as generations {[number for number, _ in ordered]}")
        problems += [
            f"{manifest}: generation {number + 1} was started after one that is {statuses[job]}"
            for number, job in ordered[:-1]
            if statuses[job] != "FAILED"
        ]
    return problems


def _lines(entries: Iterable[Entry]) -> list[str]:
    """No line of a job is billed twice."""
    lines = Counter(
        (entry["job_id"], entry["line_number"]) for entry in entries if entry["event"] == "image_billed"
    )
    return [f"line {line} of job {job} was billed {n} times" for (job, line), n in lines.items() if n > 1]


def _images(entries: Iterable[Entry], statuses: Mapping[str, str], calls: Mapping[str, int]) -> list[str]:
    """No image is billed in two jobs that gave answers, or in a job and a single call."""
    jobs = Counter(
        entry["source_ref"]
        for entry in entries
        if entry["event"] == "image_billed" and statuses[entry["job_id"]] != "FAILED"
    )
    return [
        f"{image} was paid in {count} jobs and {calls.get(image, 0)} calls"
        for image, count in jobs.items()
        if count + bool(calls.get(image)) > 1
    ]
