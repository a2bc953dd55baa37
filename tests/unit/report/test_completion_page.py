"""The completion report's page: the same facts as the JSON, bounded, and no text that can act."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from moderation.reference import error_codes
from moderation.report import completion_page

HOSTILE = "<img src=x onerror=alert(1)>\"'&{{ 7*7 }}</style></title><script>alert(2)</script>\x1b[2J\u202e"
SHA = "ab" * 32


class Seen(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words += " ".join(data.split()) + " "


def failure(number: int, text: str | None = None) -> dict[str, Any]:
    return {
        "source_ref": text or f"s3://archive/{number}.jpg",
        "status": "failed",
        "error_code": text or ("Throttling" if number % 2 else "InvalidImageFormat"),
        "error_message": text or "no luck",
        "manifest_id": text or "m00001-0123456789ab",
        "line_number": number + 1,
    }


def left_out(objects: int, text: str | None = None) -> dict[str, Any]:
    """More of them than are listed, and one in two unread."""
    return {
        "rules": {text or "*.txt": objects + 7},
        "unread": objects // 2,
        "objects": [
            {
                "source_ref": text or f"s3://archive/{number}.txt",
                "size": 4,
                "rule": text or "*.txt",
                "content": "text" if number % 2 else None,
            }
            for number in range(min(objects, 1_000))
        ],
        "omitted": max(7, objects + 7 - 1_000),
        "list": text or "s3://work/left-out-0123456789ab.parquet",
        "problem": text,
    }


def report(failed: int, *, listed: int | None = None, text: str | None = None) -> dict[str, Any]:
    listed = failed if listed is None else listed
    job = {
        "manifest_id": text or "m00001-0123456789ab",
        "job_id": text or "job-1",
        "backend": "bulk",
        "status": text or "SUCCEEDED",
        "failure_code": text,
        "failure_message": text,
        "images": 100,
        "billed": 90,
        "cost_usd": 0.09,
    }
    return {
        "run_key": text or "run",
        "plan": text or "s3://work/plan.json",
        "load_id": text or "20261124T020000Z-4f1c0a9b77de",
        "outcome": text or "published",
        "source": text or "s3://archive/",
        "backend": "bulk",
        "backend_reason": text,
        "adapter": text,
        "min_confidence": 50.0,
        "written_at": "2026-11-24T17:00:00+00:00",
        "plan_totals": {},
        "expected_cost_usd": 12.5,
        "expected_seconds": {"bulk": 77.0, "detect": None},
        "left_out": left_out(listed, text),
        "counts": {
            "inputs": 90 + failed, "moderated": 90, "failed": failed, "not_attempted": 0, "superseded": 0,
            "billed": 90, "anomalies": 0, "owed": failed // 2,
        },
        "is_reconciled": True,
        "cost_usd": 0.09,
        "published_at": "2026-11-24T17:00:00+00:00",
        "failures": [failure(number, text) for number in range(listed)],
        "failures_omitted": failed - listed,
        "jobs": [job],
        "files": [{"kind": "results", "uri": text or "s3://work/results.jsonl", "bytes": 7, "sha256": SHA}],
    }  # fmt: skip


def page(given: dict[str, Any]) -> str:
    return completion_page.render(given, json_name="report.json", redo_command="moderation redo L")


def test_it_tells_counts_failures_with_line_and_remedy_checksums_and_both_costs() -> None:
    words = Seen(page(report(3))).words
    words = " ".join(words.split())
    for said in (
        "93 inputs = 90 moderated + 3 failed + 0 not attempted",
        "s3://archive/1.jpg",
        "m00001-0123456789ab",
        error_codes.remedy("InvalidImageFormat"),
        "Once mended, also what was refused for its own sake: moderation redo L --permanent",
        "Run again, or lower the calls a second.",
        SHA,
        "$0.0900",
        "90 billed; expected at most $12.50",
        "moderation redo L",
        "All 3.",
    ):
        assert said in words, said


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [("THROTTLED", None, "THROTTLED"), (None, "Too many.", "Too many."), ("A", "b.", "A: b.")],
)
def test_a_failed_job_is_told_by_its_code_its_message_or_both(
    code: str | None, message: str | None, said: str
) -> None:
    given = report(3)
    given["jobs"][0] |= {"status": "FAILED", "failure_code": code, "failure_message": message}
    assert f" FAILED {said} 100 " in " ".join(Seen(page(given)).words.split())


@pytest.mark.parametrize(
    ("failed", "said"), [(3, "another run can bring them"), (0, "nothing is left to ask")]
)
def test_only_what_is_owed_is_said_to_come_with_another_run(failed: int, said: str) -> None:
    assert f" Still owed {failed // 2} {said} " in " ".join(Seen(page(report(failed))).words.split())


def test_what_is_refused_for_its_own_sake_is_not_offered_as_a_plain_redo() -> None:
    given = report(2)
    given["failures"] = [given["failures"][0]]
    words = Seen(page(given)).words
    assert "nothing else" not in words
    assert "--permanent" in words
    given["failures"] = [failure(1)]
    words = Seen(page(given)).words
    assert "nothing else" in words
    assert "--permanent" not in words


def test_inputs_that_do_not_add_up_are_told() -> None:
    assert "93 inputs ≠ 90 moderated" in Seen(page(report(3) | {"is_reconciled": False})).words


def test_a_million_failures_leave_a_page_of_bounded_size() -> None:
    text = page(report(1_000_000, listed=100_000))
    assert len(text) < 500_000
    assert text.count("s3://archive/") < completion_page.MOST_FAILURES + completion_page.MOST_LEFT_OUT + 5
    assert "The first 500; 999,500 more are in the table" in Seen(text).words


def test_what_was_left_out_is_told_with_its_rule_and_the_place_of_the_whole_list() -> None:
    words = Seen(page(report(3))).words
    assert "Left out: no images" in words
    assert "1 by their names alone: their bytes were not read" in words
    assert "s3://work/left-out-0123456789ab.parquet" in words
    assert "s3://archive/0.txt *.txt not read" in " ".join(words.split())
    assert "7 more are in the whole list" in words


def test_where_nothing_was_left_out_nothing_is_said_of_it() -> None:
    nothing = {"rules": {}, "unread": 0, "objects": [], "omitted": 0, "list": None, "problem": None}
    assert "Left out" not in Seen(page(report(3) | {"left_out": nothing})).words


def test_many_manifests_and_files_leave_a_page_of_bounded_size() -> None:
    given = report(1)
    given["jobs"], given["files"] = given["jobs"] * 1000, given["files"] * 4000
    text = page(given)
    assert len(text) < 500_000
    words = Seen(text).words
    assert "900 more are in the table" in words
    assert "3,800 more are in" in words


def test_hostile_names_are_text_and_nothing_else() -> None:
    seen = Seen(page(report(5, text=HOSTILE)))
    assert {"img", "script"}.isdisjoint(seen.tags)
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert {value for name, value in seen.attributes if name in {"href", "src"}} == {"report.json", "data:,"}
    assert "<img src=x onerror=alert(1)>" in seen.words
    assert "{{ 7*7 }}" in seen.words
    assert "\x1b" not in seen.words
    assert "\u202e" not in seen.words


def test_names_of_a_kilobyte_do_not_break_its_bound() -> None:
    assert len(page(report(1000, text="x" * 1024))) < 1_500_000


@pytest.mark.parametrize("text", [None, HOSTILE])
def test_a_run_that_published_nothing_has_a_page_too(text: str | None) -> None:
    names = (
        "listed",
        "to_analyse",
        "already_moderated",
        "rejected",
        "claimed_elsewhere",
        "ignored",
        "postponed",
    )
    given = {
        name: value
        for name, value in report(0, text=text).items()
        if name not in {"counts", "is_reconciled", "cost_usd", "published_at", "failures", "jobs", "files"}
    }
    given |= {"load_id": None, "plan_totals": dict.fromkeys(names, 4), "outcome": text or "dry run"}
    seen = Seen(page(given))
    assert "To analyse" in seen.words
    assert {"img", "script"}.isdisjoint(seen.tags)
