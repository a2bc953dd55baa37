from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition.faults import JOB_KINDS, REQUEST_KINDS, FaultBook, FaultRule
from local_aws.rekognition.jobs.result_faults import damaged

START, GET = "StartMediaAnalysisJob", "GetMediaAnalysisJob"


def rule(**fields: Any) -> FaultRule:
    return FaultRule.from_dict(fields)


def strikes(book: FaultBook, times: int, operation: str = GET) -> list[bool]:
    return [bool(book.strike(operation).rules) for _ in range(times)]


def test_a_rule_lets_some_calls_through_first_and_ends_after_its_count() -> None:
    book = FaultBook([rule(kind="throttle", skip=2, count=3)])
    assert strikes(book, 8) == [False, False, True, True, True, False, False, False]


def test_the_same_seed_strikes_the_same_calls() -> None:
    first, again, other = (
        strikes(FaultBook([rule(kind="throttle", probability=0.3, seed=seed)]), 500) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert 100 < sum(first) < 200


def test_a_rule_concerns_its_operation_only() -> None:
    book = FaultBook([rule(kind="slow", operation=GET, seconds=1)])
    assert strikes(book, 1, START) == [False]
    assert strikes(book, 1, GET) == [True]


def test_a_rule_concerns_its_job_only() -> None:
    book = FaultBook([rule(kind="job_failed", job_name="mine")])
    assert not book.strike(START, "other", jobs=True).rules
    assert book.strike(START, "mine", jobs=True).rules


def test_job_rules_and_request_rules_are_kept_apart() -> None:
    book = FaultBook([rule(kind="throttle"), rule(kind="results_missing")])
    assert [found.kind for found in book.strike(START).rules] == ["throttle"]
    assert [found.kind for found in book.strike(START, jobs=True).rules] == ["results_missing"]


def test_the_book_tells_what_each_rule_has_seen_and_struck() -> None:
    book = FaultBook([rule(kind="throttle", count=1)])
    strikes(book, 3)
    assert [(item["seen"], item["struck"]) for item in book.describe()] == [(3, 1)]
    book.add([rule(kind="drop")])
    assert [item["kind"] for item in book.describe()] == ["throttle", "drop"]
    book.replace([])
    assert book.describe() == []


@pytest.mark.parametrize("kind", [*REQUEST_KINDS, *JOB_KINDS])
def test_every_kind_can_be_written_down_and_read_back(kind: str) -> None:
    made = rule(kind=kind, code="ThrottlingException", seconds=2.0)
    assert FaultRule.from_dict(made.to_dict()) == made


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "needs a kind"),
        ({"kind": "nonsense"}, "no fault kind 'nonsense'"),
        ({"kind": "throttle", "operatoin": "x"}, "no field operatoin"),
        ({"kind": "throttle", "operation": "Nonsense"}, "no operation 'Nonsense'"),
        ({"kind": "throttle", "probability": 2}, "between 0 and 1"),
        ({"kind": "throttle", "probability": "x"}, "wrong type"),
        ({"kind": "results_missing", "fraction": -1}, "between 0 and 1"),
        ({"kind": "throttle", "skip": -1}, "not negative"),
        ({"kind": "slow", "seconds": -1}, "not negative"),
        ({"kind": "job_failed", "failure_code": "OOPS"}, "no failure code 'OOPS'"),
        ({"kind": "error"}, "needs a code"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_name(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        FaultRule.from_dict(fields)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results.jsonl"
    path.write_text("".join(f'{{"line":{n}}}\n' for n in range(100)))
    return path


def test_results_without_a_rule_are_the_file_itself(results: Path) -> None:
    assert damaged(results, [rule(kind="job_slow", seconds=1)]) == results


def test_damage_leaves_the_true_file_alone_and_repeats_itself(results: Path) -> None:
    before = results.read_bytes()
    rules = [rule(kind="results_missing", fraction=0.5, seed=3)]
    once, twice = damaged(results, rules).read_bytes(), damaged(results, rules).read_bytes()
    assert once == twice != before
    assert results.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("results_missing", lambda old, new: set(new) < set(old)),
        ("results_duplicated", lambda old, new: set(new) == set(old) and len(new) > len(old)),
        ("results_reordered", lambda old, new: sorted(new) == sorted(old) and new != old),
        ("results_malformed", lambda old, new: len(new) == len(old) and 0 < len(set(new) - set(old)) <= 3),
        ("results_truncated", lambda old, new: new[:-1] == old[:-1] and old[-1].startswith(new[-1])),
    ],
)
def test_each_damage_does_what_its_name_says(results: Path, kind: str, check: Any) -> None:
    old = results.read_text().splitlines(keepends=True)
    new = damaged(results, [rule(kind=kind, fraction=0.3)]).read_text().splitlines(keepends=True)
    assert new != old
    assert check(old, new)


def test_an_empty_results_file_can_be_damaged_too(tmp_path: Path) -> None:
    empty = tmp_path / "results.jsonl"
    empty.touch()
    rules = [rule(kind=kind) for kind in JOB_KINDS if kind.startswith("results_")]
    assert damaged(empty, rules).read_bytes() == b""


def test_a_storm_begins_with_the_first_call_and_ends_when_its_time_is_up() -> None:
    now = 100.0
    book = FaultBook([rule(kind="throttle", for_seconds=60.0)], clock=lambda: now)
    now = 500.0
    assert strikes(book, 2) == [True, True]
    now = 559.9
    assert strikes(book, 1) == [True]
    now = 560.0
    assert strikes(book, 2) == [False, False]
