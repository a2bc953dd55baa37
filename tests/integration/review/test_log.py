from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from moderation.review.log import Appended
from moderation.review.state.open import open_state
from moderation.review.verdict import VerdictError
from support.said import START, said


def test_what_was_said_is_there_as_it_was_said(state):
    rows = [said("present", confidence=87.123456789, note="Bär\n😀", line_number=7), said("nothing", None)]

    assert state.log.append(rows) == Appended(new=2, known=0)

    assert sorted(state.log.of_contents(["c1"]), key=rows.index) == rows


def test_sent_twice_it_counts_once(state):
    first, second = said("present"), said("absent", minute=1)
    state.log.append([first])

    assert state.log.append([first, second, second]) == Appended(new=1, known=2)
    assert state.log.count() == 2


def test_an_id_that_means_two_things_is_refused_with_all_that_came_along(state):
    known = said("present")
    state.log.append([known])

    with pytest.raises(VerdictError, match=f"{known.verdict_id} was sent before"):
        state.log.append([said("present"), said("absent", verdict_id=known.verdict_id)])
    with pytest.raises(VerdictError, match="was sent before"):
        state.log.append([said("present", verdict_id="x"), said("absent", verdict_id="x")])

    assert state.log.count() == 1


def test_nobody_withdraws_what_another_person_said(state):
    known = said("present")
    state.log.append([known])

    with pytest.raises(VerdictError, match="of another person"):
        state.log.append([said("withdrawn", replaces=known.verdict_id, reviewer="bob")])


def test_the_last_of_a_person_come_first(state):
    rows = [said("present", minute=number, content=f"c{number}") for number in range(5)]
    state.log.append([*rows, said("present", reviewer="bob", minute=9)])

    assert state.log.by_reviewer("ann", 3) == rows[:1:-1]
    assert state.log.by_reviewer("ann", before=rows[2].decided_at) == rows[1::-1]


def test_the_last_of_a_person_in_a_queue_are_found_behind_all_that_they_said_elsewhere(state):
    here = [said("present", minute=number, queue_id="job-1") for number in range(2)]
    elsewhere = [said("present", minute=9 + number, queue_id="job-2") for number in range(3)]
    state.log.append([*here, *elsewhere])

    assert state.log.by_reviewer("ann", 1, queue_id="job-1") == here[1:]


def test_what_is_published_is_not_published_again_unless_it_was_erased(state):
    rows = [said("present", content=f"c{number}", minute=number) for number in range(3)]
    state.log.append(rows)
    assert set(state.log.unpublished()) == set(rows)
    assert state.log.waiting() == (3, rows[0].decided_at)

    state.log.mark_published(state.log.unpublished())
    assert state.log.waiting() == (0, None)

    state.log.erase(contents=["c1"])
    assert [row.verdict_id for row in state.log.unpublished()] == [rows[1].verdict_id]


def test_what_was_erased_while_it_was_published_is_published_again(state):
    state.log.append([said("present")])
    taken = state.log.unpublished()
    state.log.erase(contents=["c1"])

    state.log.mark_published(taken)

    [again] = state.log.unpublished()
    assert again.erased
    state.log.mark_published([again])
    assert state.log.unpublished() == []


def test_an_erasure_leaves_a_count_and_nothing_that_names_the_image(state, state_url):
    state.log.append(
        [
            said(
                "present",
                **{"note": "secret note", "etag": "secret etag", "size_bytes": 3},
                **{"source_ref": "s3://secret/1", "load_id": "secret", "manifest_id": "secret"},
                **{"line_number": 4, "item_id": "secret"},
            ),
            said("absent", reviewer="bob", source_ref="s3://secret/copy"),
            said("present", content="other"),
        ]
    )

    assert state.log.erase(source_refs=["s3://secret/copy"]) == 2

    left = [row for _, row in state.log.since(0)]
    assert [row.erased for row in left].count(True) == 2
    assert "secret" not in str([row.as_row() for row in left if row.erased])
    assert [row.content for row in left if not row.erased] == ["other"]
    assert state.queues.disputes() == []
    assert state.log.erase(source_refs=["s3://secret/copy"]) == 0


def test_an_erased_key_is_in_no_page_of_the_file(tmp_path):
    path = tmp_path / "review.db"
    state = open_state(str(path))
    state.log.append([said("present", source_ref="s3://secret/very-secret.jpg", note="very-secret")])
    assert any(b"very-secret" in file.read_bytes() for file in tmp_path.iterdir())
    (tmp_path / "review.db.before-0002").write_bytes(b"very-secret")

    state.log.erase(source_refs=["s3://secret/very-secret.jpg"])

    assert b"very-secret" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    state.close()


def test_severe_is_hidden_at_once_and_counted_as_nobodys_exposure(state):
    state.log.append([said("present", content=name) for name in ("a", "b", "b")])
    state.log.append(
        [said("present", content="c", minute=24 * 60), said("absent", content="d", reviewer="bob")]
    )
    assert state.log.exposures("ann", START.date()) == 2

    state.log.append([said("severe", None, content="a", minute=1)])

    assert state.log.severe() == {"a"}
    assert state.log.exposures("ann", START.date()) == 1

    state.log.append([said("not_severe", None, content="a", reviewer="op", minute=2)])

    assert state.log.exposures("ann", START.date()) == 2


def test_two_who_disagree_at_the_same_moment_are_seen_to_disagree(state):
    def say(number: int) -> None:
        who, verdict = ("ann", "present") if number % 2 else ("bob", "absent")
        state.log.append([said(verdict, content=f"c{number // 2}", reviewer=who)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(say, range(40)))

    waiting = {(item.content, item.label) for item in state.queues.disputes()}
    assert {(f"c{number}", "Weapons") for number in range(20)} <= waiting
    assert len(waiting) == len(state.queues.disputes())


ENVIRON = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
_WRITER = """
import sys
from moderation.review.state.open import open_state
from support.said import said
state = open_state(sys.argv[1])
print("open", flush=True)
for number in range(100_000):
    rows = [said("present", content=f"c{number}-{part}", verdict_id=f"{number}-{part}") for part in range(3)]
    state.log.append(rows)
    print(number, flush=True)
"""


def test_kill_9_loses_nothing_that_was_acknowledged_and_leaves_nothing_half(state_url):
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, state_url], stdout=subprocess.PIPE, text=True, env=ENVIRON
    )
    assert process.stdout is not None
    for _ in range(6):
        process.stdout.readline()
    process.kill()
    told = [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    process.stdout.close()
    process.wait()
    acknowledged = int(told[-1]) if told else 4

    state = open_state(state_url)
    stored = {row.verdict_id for _, row in state.log.since(0, limit=1_000_000)}
    state.close()

    assert {f"{number}-{part}" for number in range(acknowledged + 1) for part in range(3)} <= stored
    assert len(stored) % 3 == 0
