"""Raw answers are those that were read first, or nothing is made of them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from moderation.cli.boundary import DONE
from moderation.cli.main import main
from moderation.errors import NeedsAPersonError
from moderation.maintenance.rebuild import rebuild
from moderation.publish import commit, raw_answers
from moderation.publish.raw_answers import AnswersChangedError
from moderation.settings import Settings
from moderation.storage import s3_objects
from support.killed import killed_at
from support.planned_runs import Run, answer, line, weapon_violence


def paid(settings: Settings, s3: Any, name: str = "run-a") -> Run:
    """A run of which the answers are there."""
    run = Run(settings, s3, name=name)
    refs = [f"s3://archive/{number}.jpg" for number in range(3)]
    run.manifest(refs, b"\n".join(line(ref, answer(weapon_violence(61.5))) for ref in refs))
    plan = run.store()
    for record in run.records:
        s3_objects.put(s3, plan.analysis_record_uri(record.manifest_id), record.to_json())
    return run


def changed(s3: Any, uri: str) -> bytes:
    """Another confidence in the same place, which no count tells; returns what was there."""
    body = s3_objects.read(s3, uri).body
    assert b"61.5" in body
    s3_objects.put(s3, uri, body.replace(b"61.5", b"61.4"))
    return body


def test_a_publish_that_is_repeated_stops_where_answers_were_changed_and_goes_on_with_the_right_ones(
    local_settings: Settings, s3_client: Any
) -> None:
    run = paid(local_settings, s3_client)
    plan, uri = run.store(), str(run.records[0].results_uri)
    with killed_at("built", commit):
        commit.publish(local_settings, plan, run.records)
    whole = changed(s3_client, uri)
    with pytest.raises(AnswersChangedError, match=rf"{uri} was changed .* bring back") as caught:
        commit.publish(local_settings, plan, run.records)
    assert isinstance(caught.value, NeedsAPersonError)
    s3_objects.put(s3_client, uri, whole)
    assert commit.publish(local_settings, plan, run.records).row["moderated"] == 3


def test_a_rebuild_stops_where_answers_were_changed_until_a_person_says_they_are_right(
    local_settings: Settings, s3_client: Any
) -> None:
    run = paid(local_settings, s3_client)
    plan, uri = run.store(), str(run.records[0].results_uri)
    commit.publish(local_settings, plan, run.records)
    changed(s3_client, uri)
    with pytest.raises(AnswersChangedError, match=raw_answers.uri_of(plan)):
        rebuild(local_settings)
    s3_objects.delete(s3_client, raw_answers.uri_of(plan))
    assert len(rebuild(local_settings)) == 1
    assert s3_objects.exists(s3_client, raw_answers.uri_of(plan))


def test_answers_of_a_job_that_ended_later_are_others(local_settings: Settings, s3_client: Any) -> None:
    run = paid(local_settings, s3_client)
    plan, (record,) = run.store(), run.records
    first = raw_answers.read_raw_answers(s3_client, plan)
    first.check(record, "0" * 32)
    first.keep()
    again = raw_answers.read_raw_answers(s3_client, plan)
    with pytest.raises(AnswersChangedError):
        again.check(record, "1" * 32)
    again.check(replace(record, completed_at=datetime(2027, 1, 1, tzinfo=UTC)), "1" * 32)
    again.keep()
    assert raw_answers.read_raw_answers(s3_client, plan).known[str(record.results_uri)][0] == "1" * 32


OTHERS = line("s3://archive/of-another-job.jpg", answer(weapon_violence(61.5)))


DAMAGES = {
    "emptied": (lambda lines: b"", "3 images of jobs that succeeded have neither"),
    "cut within a line": (
        lambda lines: b"\n".join(lines)[:-20],
        "1 images of jobs that succeeded have neither",
    ),
    "a line gone": (lambda lines: b"\n".join([lines[0], lines[2]]), r"1 images of .*results\.jsonl: 1\."),
    "two lines in one": (lambda lines: b"\n".join([lines[0][:50] + lines[1], lines[2]]), "2 images of jobs"),
    "of another job": (
        lambda lines: b"\n".join([*lines, OTHERS]),
        "UnexpectedResult: the image was not asked",
    ),
    "another twice": (
        lambda lines: b"\n".join([*lines, lines[0].replace(b"61.5", b"62.5")]),
        "DuplicateResult",
    ),
}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        pytest.param(*case, id=name, marks=() if name == "cut within a line" else pytest.mark.long)
        for name, case in DAMAGES.items()
    ],
)
def test_answers_that_are_not_whole_when_they_are_first_read_stop_until_the_whole_file_is_back(
    local_settings: Settings, s3_client: Any, damage: Any, told: str
) -> None:
    run = paid(local_settings, s3_client)
    plan, uri = run.store(), str(run.records[0].results_uri)
    whole = s3_objects.read(s3_client, uri).body
    s3_objects.put(s3_client, uri, damage(whole.splitlines()))
    with pytest.raises(commit.ReconciliationError, match=told) as caught:
        commit.publish(local_settings, plan, run.records, stop_on_mismatch=True)
    assert uri in str(caught.value)
    s3_objects.put(s3_client, uri, whole)
    load = commit.publish(local_settings, plan, run.records, stop_on_mismatch=True)
    assert (load.row["moderated"], load.row["billed"]) == (3, 3)


def test_what_rekognition_left_out_itself_is_owed_once_a_person_says_that_it_did(
    local_settings: Settings, s3_client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = paid(local_settings, s3_client)
    plan, uri = run.store(), str(run.records[0].results_uri)
    lines = s3_objects.read(s3_client, uri).body.splitlines()
    s3_objects.put(s3_client, uri, b"\n".join(lines[:2]))
    with pytest.raises(commit.ReconciliationError) as caught:
        commit.publish(local_settings, plan, run.records, stop_on_mismatch=True)
    (words,) = re.findall("`moderation (publish .*?)`", str(caught.value))
    assert main(words.split(), settings=local_settings) == DONE
    assert "2 moderated, 0 failed, 1 not attempted" in capsys.readouterr().out
