"""One bit within a row of the log: told by row and image, with a remedy that works on both databases."""

from __future__ import annotations

import re
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from moderation import stages
from moderation.cli.boundary import DONE, SOMETHING_FAILED
from moderation.cli.main import main
from moderation.maintenance.verify import verify
from moderation.publish.verdicts import mend, published_verdicts
from moderation.review.queue import QueueSpec
from moderation.review.state.database import Database, parse_url
from moderation.review.state.faults import StateUnusableError
from moderation.review.state.item_checksums import DRAW
from moderation.review.state.migrate import migrate
from moderation.review.state.open import State, open_state
from moderation.review.statistics.draws import drawn
from moderation.settings import Settings
from support import planned_runs
from support.said import START, items, said

CHANGES: dict[str, Any] = {
    "label": "Weaponr",
    "note": None,
    "reviewer": "anm",
    "verdict": "presenu",
    "content": "c3",
    "decided_at": START + timedelta(days=16),
    "confidence": 72.25,
    "blind": True,
    "erased": True,
    "inclusion_probability": 0.25,
    "queue_id": "",
}


def change(state: State, verdict_id: str, **values: Any) -> None:
    """Change a row behind the product's back."""
    names = ", ".join(f"{name} = :{name}" for name in values)
    with state.database.write() as connection:
        connection.execute(sa.text(f"UPDATE verdicts SET {names} WHERE verdict_id = '{verdict_id}'"), values)


def whole(number: int, **given: Any) -> Any:
    facts = {"verdict_id": f"v{number}", "content": f"c{number}", "note": "toy gun", "confidence": 71.25}
    facts |= {"inclusion_probability": 0.5, "queue_id": "q", "source_ref": f"s3://archive/{number}.jpg"}
    return said("present", **(facts | given))


@pytest.mark.parametrize("column", CHANGES)
def test_a_row_that_is_not_as_it_was_written_is_told_and_the_others_are_read(
    state: State, column: str
) -> None:
    state.log.append([whole(1), whole(2)])
    change(state, "v1", **{column: CHANGES[column]})
    for read in (lambda: state.log.since(0), state.log.unpublished, lambda: state.log.of_ids(["v1", "v2"])):
        with pytest.raises(StateUnusableError, match=r"row \d+ .*, 'v1' of '.*verdicts restore`"):
            read()
    assert state.log.of_contents(["c2"]) == [whole(2)]
    assert [row.verdict_id for row in state.log.damaged()] == ["v1"]


@pytest.mark.parametrize(
    "given",
    [
        {"confidence": -0.0, "threshold": float("nan")},
        {"confidence": 71, "min_confidence": 1e300, "inclusion_probability": 1},
        {"note": "été 🎉 \x1f", "size_bytes": 2**62, "blind": 1},
        {"decided_at": START + timedelta(microseconds=1), "seed": -1},
    ],
    ids=["no number", "whole numbers", "texts", "times"],
)
def test_what_the_databases_store_in_their_own_way_is_no_damage(state: State, given: dict[str, Any]) -> None:
    state.log.append([whole(1, **given)])
    assert len(state.log.since(0)) == 1
    assert state.log.damaged() == []
    assert state.log.append([whole(1, **given)]).known == 1


def test_rows_of_releases_that_know_no_checksum_or_another_one_are_taken_as_they_are(state: State) -> None:
    state.log.append([whole(1), whole(2), whole(3)])
    change(state, "v1", checksum=None, note="by an older release")
    change(state, "v2", checksum="b0123456789", note="by a later release")
    with state.database.write() as connection:  # as an older release erases
        connection.exec_driver_sql(
            "UPDATE verdicts SET content = NULL, source_ref = NULL, note = NULL, erased = true "
            "WHERE verdict_id = 'v3'"
        )
    assert [row.erased for _, row in state.log.since(0)] == [False, False, True]
    state.log.mark_published(state.log.unpublished())
    with state.database.read() as connection:
        left = connection.exec_driver_sql("SELECT checksum FROM verdicts WHERE erased").scalar_one()
    assert len(left) == 9, "what an erased note came to is not kept"


def test_an_older_state_gets_its_checksums_and_what_cannot_be_read_is_told(new_url: str) -> None:
    database = Database(parse_url(new_url))
    migrate(database, "0002")
    rows = [whole(number).as_row() | {"published": False} for number in range(3)]
    rows[1] |= {"verdict": "presenu"}
    names = ", ".join(rows[0])
    with database.write() as connection:
        marks = ", ".join(f":{name}" for name in rows[0])
        for row in rows:
            connection.execute(sa.text(f"INSERT INTO verdicts ({names}) VALUES ({marks})"), row)
    database.close()
    state = open_state(new_url)
    assert state.log.of_ids(["v0", "v2"]) == [whole(0), whole(2)]
    assert [row.verdict_id for row in state.log.damaged()] == ["v1"]
    change(state, "v2", note="boy gun")
    with pytest.raises(StateUnusableError, match="'v1'"):
        state.log.of_ids(["v2"])
    assert [row.verdict_id for row in state.log.damaged()] == ["v1", "v2"]
    state.close()


@pytest.fixture
def settings(tmp_path: Path, bucket: str, aws_env: pytest.MonkeyPatch, state_url: str) -> Settings:
    aws_env.setenv("MODERATION_REVIEW_DB", state_url)
    return planned_runs.make_settings(tmp_path, bucket, tables="local")


ITEM_CHANGES: dict[str, Any] = {
    "content": "c2",
    "source_ref": "s3://archive/2.jpg",
    "label": "Weaponr",
    "copies": 3,
    "line_number": 5,
    "confidence": 72.25,
    "purpose": "ratd",
    "state": "opeo",
    "added_at": START,
    "design": "simpld",
    "stratum": "lov",
    "inclusion_probability": 0.25,
    "seed": 2,
    "load_id": "x",
    "checksum": "a0123456789abcdef",
}


def filled(state: State) -> str:
    """A queue of three items that were drawn together."""
    queue = state.queues.create(QueueSpec(kind="job", name="x")).queue_id
    drawn_so = {"design": "simple", "stratum": "low", "inclusion_probability": 0.5, "seed": 1, "load_id": "l"}
    facts = {"label": "Weapons", "purpose": "rate", "confidence": 71, "line_number": 1}
    state.queues.add_items(queue, items(3, **(drawn_so | facts)))
    return queue


def turn(state: State, table: str, where: str, /, **values: Any) -> None:
    names = ", ".join(f"{name} = :{name}" for name in values)
    with state.database.write() as connection:
        connection.execute(sa.text(f"UPDATE {table} SET {names} WHERE {where}"), values)


@pytest.mark.parametrize("column", ITEM_CHANGES)
def test_an_item_that_is_not_as_it_was_written_is_neither_handed_out_nor_counted_in_a_rate(
    state: State, column: str
) -> None:
    queue = filled(state)
    (whole_one,) = state.queues.next(queue, "ann")
    (ids,) = [[item.item_id for item in state.queues.next(queue, "bob", 2)]]
    state.queues.release(ids, "bob")
    turn(state, "items", "content = 'c1'", **{column: ITEM_CHANGES[column]})
    reads = [lambda: state.queues.items(ids)]
    reads += [lambda: state.queues.next(queue, "cid", 3)] if column != "state" else []
    reads += [lambda: drawn(state)] if column in (*DRAW, "checksum") else []
    for read in reads:
        with pytest.raises(StateUnusableError, match=r"row \w+ of the items, .*verdicts restore`"):
            read()
    assert state.queues.items([whole_one.item_id]) == [whole_one]
    assert len(state.log.damaged()) == 1


def test_what_a_queue_was_made_with_is_held_against_its_checksum_and_may_be_changed_by_people(
    state: State,
) -> None:
    queue = filled(state)
    state.queues.restrict(queue, ["ann"])
    state.queues.pause(queue)
    assert state.queues.resume(queue).is_for("ann")
    assert state.log.damaged() == []
    spec = state.queues.get(queue).spec.to_json().replace('"blind":false', '"blind":true')
    turn(state, "queues", "true", spec=spec)
    for read in (state.queues.all, lambda: drawn(state), lambda: state.queues.next(queue, "ann")):
        with pytest.raises(StateUnusableError, match=r"row \S+ of the queues, .* of 'x'"):
            read()


def test_items_and_queues_of_an_older_state_get_their_checksums(new_url: str) -> None:
    database = Database(parse_url(new_url))
    migrate(database, "0003")
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO queues VALUES ('q', 'job', 'x', '{\"kind\": \"job\", \"name\": \"x\"}', false, "
            "'2026-11-22 09:30:00.000000', 2)"
        )
        for number, added in ((1, "2026-11-22 09:30:00.000000"), (2, "2026-11-22 09:30:00.000001")):
            connection.exec_driver_sql(
                "INSERT INTO items (item_id, queue_id, position, content, copies, label, state, added_at, "
                f"confidence) VALUES ('i{number}', 'q', {number}, 'c', 1, '', 'open', '{added}', 50)"
            )
    database.close()
    state = open_state(new_url)
    assert [item.position for item in state.queues.items(["i1", "i2"])] == [1, 2]
    with state.database.read() as connection:
        query = "SELECT count(*) FROM items, queues WHERE items.checksum > 'a' AND queues.checksum > 'a'"
        assert connection.exec_driver_sql(query).scalar_one() == 2
    assert state.log.damaged() == []
    state.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("verdicts", {"note": "toy guo"}),
        pytest.param("verdicts", {"confidence": 71.75}, marks=pytest.mark.long),
        pytest.param("items", {"source_ref": "s3://archive/9.jpg"}, marks=pytest.mark.long),
        ("items", {"inclusion_probability": -0.5}),
        pytest.param("items", {"copies": 65}, marks=pytest.mark.long),
        pytest.param("queues", {"name": "y"}, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_a_row_with_one_bit_turned_is_put_right_though_it_was_never_published(
    state: State, table: str, values: dict[str, Any]
) -> None:
    filled(state)
    state.log.append([whole(1)])
    find = sa.text(f"SELECT * FROM {table} ORDER BY 1")
    with state.database.read() as connection:
        before = connection.execute(find).all()
    turn(state, table, {"items": "content = 'c1'"}.get(table, "true"), **values)
    found = state.log.damaged()
    assert len(found) == 1
    assert state.log.put_right(found) == []
    with state.database.read() as connection:
        assert connection.execute(find).all() == before


@pytest.mark.slow
def test_what_nothing_puts_right_is_taken_out_and_the_rest_is_worked_on(state: State) -> None:
    queue, other = filled(state), filled(state)
    turn(state, "items", f"content = 'c1' AND queue_id = '{queue}'", label="something else")
    turn(state, "queues", f"queue_id = '{other}'", spec="no JSON")
    left = state.log.put_right(state.log.damaged())
    assert {row.kind.table.name for row in left} == {"items", "queues"}
    state.log.set_aside(left)
    assert state.log.damaged() == []
    assert [found.queue_id for found in state.queues.all()] == [queue]
    assert [item.content for item in state.queues.next(queue, "ann", 9)] == ["c0", "c2"]


@pytest.mark.slow
def test_what_the_message_says_brings_back_what_was_published_and_opens_the_rest_again(
    settings: Settings, state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = state.queues.create(QueueSpec(kind="job", name="x")).queue_id
    state.queues.add_items(queue, items(1))
    (item,) = state.queues.next(queue, "ann")
    state.log.append([whole(1), whole(2), whole(3)])
    stages.publish_verdicts(state, settings=settings)
    state.log.erase(contents=["c3"])
    state.queues.submit([whole(4, content="c0", item_id=item.item_id)], [item.item_id])
    for number in (1, 3, 4):
        change(state, f"v{number}", reviewer="anm")
    assert sum("'v" in text for text in verify(settings).damaged) == 3
    with pytest.raises(StateUnusableError) as caught:
        stages.publish_verdicts(state, settings=settings)
    words = re.findall("`moderation (.*?)`", str(caught.value))[0].split()

    assert main(words, settings=settings) == SOMETHING_FAILED
    told = capsys.readouterr()
    assert "2 rows that were damaged say again what they did" in told.out
    assert "'v4' of 's3://archive/4.jpg': damaged, and nothing tells what it said" in told.err
    assert state.log.of_ids(["v1"]) == [whole(1)]
    (erased,) = state.log.of_ids(["v3"])
    assert (erased.erased, erased.reviewer, erased.content) == (True, "ann", None)

    aside = str(tmp_path / "damaged.jsonl")
    words = [aside if word == "damaged.jsonl" else word for word in _last_command(told.err)]
    assert main(words, settings=settings) == DONE
    assert '"anm"' in Path(aside).read_text()
    assert state.queues.progress(queue).open == 1
    assert [row.verdict_id for _, row in state.log.since(0)] == ["v1", "v2", "v3"]
    assert state.queues.next(queue, "ann")[0].item_id == item.item_id
    assert stages.publish_verdicts(state, settings=settings).rewritten == 1
    assert verify(settings).damaged == []
    assert mend(settings, state.log) == (0, [])


def _last_command(told: str) -> list[str]:
    return re.findall("`moderation (.*?)`", told)[-1].split()


def test_a_row_that_counts_as_published_and_never_was_is_published(settings: Settings, state: State) -> None:
    state.log.append([whole(1)])
    stages.publish_verdicts(state, settings=settings)
    state.log.append([whole(2)])
    change(state, "v2", published=True)
    assert stages.publish_verdicts(state, settings=settings).rows == 1
    assert {row.verdict_id for part in published_verdicts(settings) for row in part} == {"v1", "v2"}


def test_an_index_that_is_damaged_is_made_anew_and_finds_every_row(
    made_sqlite: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "review.db"
    path.write_bytes(made_sqlite.read_bytes())
    state = open_state(str(path))
    rows = [whole(number, content=f"content {number}") for number in range(3)]
    state.log.append(rows)
    state.close()
    with sqlite3.connect(path) as connection:
        find = "SELECT rootpage FROM sqlite_master WHERE name = 'verdicts_of_content'"
        (page,) = connection.execute(find).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    body = bytearray(path.read_bytes())
    at = body.index(b"content 1", (page - 1) * size, page * size)
    body[at] ^= 1
    path.write_bytes(body)

    state = open_state(str(path))
    assert state.log.of_contents(["content 1"]) == [rows[1]]
    assert "were made anew" in caplog.text
    state.close()
