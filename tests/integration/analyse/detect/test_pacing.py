"""The rate against a server that keeps its quota: filled, shared, never exceeded, regained after a storm.

What is measured by the clock of this machine is for the long suite; the short one has it in virtual time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from local_aws.rekognition.launch import Rekognition
from moderation.analyse.detect.budget import SharedBudget
from moderation.analyse.detect.request import DetectOutcome, DetectRequest
from moderation.analyse.detect.run import rates_folder, run_manifest
from support.detect import Workbench
from support.rekognition_server import faults, ledger, quick

TPS = 20
WINDOW = 5.0


@pytest.fixture
def strict(start_rekognition: Callable[..., Rekognition], workbench: Callable[..., Workbench]) -> Workbench:
    """The tools around a server that refuses more than `TPS` calls a second."""
    limits = {"calls_per_second": {"*": None, "DetectModerationLabels": TPS}}
    return workbench(start_rekognition(settings=quick(limits=limits)))


def run_shared(bench: Workbench, request: DetectRequest, quota: float = TPS) -> DetectOutcome:
    """As a task of its own: with a place in the shared rate."""
    return run_manifest(
        request,
        settings=replace(bench.settings, detect_tps=quota),
        s3=bench.s3,
        budget=SharedBudget(bench.s3, rates_folder(bench.settings), quota, beat_seconds=0.5),
        options=bench.options(max_in_flight=2 * TPS),
    )


def best_window(bench: Workbench) -> float:
    """The most images a second the server was paid for over any `WINDOW` seconds, by its own clock."""
    times = sorted(entry["at"] for entry in ledger(bench.server) if entry["event"] == "detect_billed")
    counts = [sum(start <= at < start + WINDOW for at in times) for start in times]
    return max(counts) / WINDOW


@pytest.mark.long
def test_one_task_alone_fills_the_quota_and_is_never_throttled(strict: Workbench) -> None:
    outcome = run_shared(strict, strict.request(strict.upload(8 * TPS)))
    assert (outcome.billed, outcome.throttles, outcome.retries) == (8 * TPS, 0, 0)
    assert best_window(strict) >= 0.98 * TPS


@pytest.mark.long
def test_three_tasks_fill_the_quota_together_and_are_never_throttled(strict: Workbench) -> None:
    requests = [strict.request(strict.upload(4 * TPS, prefix=f"part{n}"), name=f"part{n}") for n in range(3)]
    with ThreadPoolExecutor(3) as tasks:
        outcomes = list(tasks.map(lambda request: run_shared(strict, request), requests))
    assert [outcome.billed for outcome in outcomes] == [4 * TPS] * 3
    assert sum(outcome.throttles for outcome in outcomes) == 0
    assert best_window(strict) >= 0.98 * TPS
    assert set(strict.paid().values()) == {1}


@pytest.mark.slow
def test_a_quota_lower_than_believed_is_found_by_backing_off(strict: Workbench) -> None:
    """The account has a third of what the settings say: everything is answered all the same."""
    outcome = run_shared(strict, strict.request(strict.upload(6 * TPS)), quota=3 * TPS)
    assert (outcome.billed, outcome.failed) == (6 * TPS, 0)
    assert 0 < outcome.throttles < outcome.billed
    assert set(strict.paid().values()) == {1}


@pytest.mark.slow
def test_a_throttle_storm_costs_no_image_and_no_second_payment(strict: Workbench) -> None:
    request = strict.request(strict.upload(4 * TPS))
    storm = {"kind": "throttle", "operation": "DetectModerationLabels", "probability": 0.3, "seed": 9}
    with faults(strict.server, storm):
        outcome = run_shared(strict, request)
    assert (outcome.billed, outcome.failed) == (4 * TPS, 0)
    assert outcome.throttles > 0
    assert set(strict.paid().values()) == {1}


@pytest.mark.long
def test_a_storm_of_a_minute_over_three_tasks_loses_nothing_and_leaves_most_of_the_rate(
    strict: Workbench,
) -> None:
    seconds = 110
    requests = [
        strict.request(strict.upload(seconds * TPS // 3, prefix=f"part{n}"), name=f"part{n}")
        for n in range(3)
    ]
    storm = {"kind": "throttle", "operation": "DetectModerationLabels", "probability": 0.3, "seed": 9}
    with ThreadPoolExecutor(3) as tasks:
        running = [tasks.submit(run_shared, strict, request) for request in requests]
        time.sleep(15)
        begun = time.time()
        with faults(strict.server, storm):
            time.sleep(60)
        ended = time.time()
        outcomes = [task.result(timeout=300) for task in running]
    assert [(outcome.billed, outcome.failed) for outcome in outcomes] == [(seconds * TPS // 3, 0)] * 3
    assert set(strict.paid().values()) == {1}
    at = [entry["at"] for entry in ledger(strict.server) if entry["event"] == "detect_billed"]
    assert sum(begun < moment < ended for moment in at) >= 60 * TPS * 0.35
