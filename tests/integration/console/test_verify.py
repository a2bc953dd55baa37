"""Verdicts over HTTP: what is sent is kept once, each role does its own, what is severe is hidden."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from moderation.console import application
from moderation.console.application import WRITE_HEADER
from moderation.review.queue import Progress, QueueSpec
from support.console_load import PICTURES, publish_pictures, served
from support.console_review import asked_by, make_queue
from support.planned_runs import make_settings, weapon_violence
from support.said import items, said

KINDS = {
    "job": ({}, 5),
    "band": ({"label": "Weapon Violence", "low": 50, "high": 80}, 1),
    "random_unflagged": ({"size": 2}, 2),
    "stratified": ({"size": 4}, 4),
    "filter": ({"query": "show=unflagged"}, 2),
    "golden": ({}, 7),
}


def answer(item: dict[str, Any], verdict: str = "present", **changes: Any) -> dict[str, Any]:
    label = changes.pop("label", None) or item["labels"][0]["name"]
    row = {"id": uuid.uuid4().hex, "subject": "label", "label": label, "verdict": verdict}
    sent = {
        "id": uuid.uuid4().hex,
        "item": item["item"],
        "queue": item["queue"],
        "load": item["load"],
        "n": item["n"],
    }
    return sent | {"state": "done", "at": 0, "rows": [row]} | changes


def items_of(client: Any, queue: str, n: int = 20) -> list[dict[str, Any]]:
    return client.post(f"/verify/queues/{queue}/next", json={"n": n, "holding": []}).json()["items"]


def send(client: Any, *answers: dict[str, Any]) -> dict[str, Any]:
    return client.post("/verify/answers", json={"answers": list(answers)}).json()


def shares_of(client: Any, loads: Sequence[str]) -> dict[str, str]:
    return client.get("/verified", params={"load": list(loads)}).json()


@pytest.fixture
def twice_published(s3_client, bucket, tmp_path, monkeypatch):
    """Two loads, the second of copies, and a console over them in which nothing was said."""
    monkeypatch.setenv("MODERATION_REVIEW_DB", str(tmp_path / "said.db"))
    settings = replace(make_settings(tmp_path, bucket, tables="local"), input_uri=f"s3://{bucket}/input")
    copies = {f"copies/{key}": picture for key, picture in PICTURES.items()}
    loads = [
        publish_pictures(settings, s3_client, bucket, pictures, name)
        for name, pictures in (("run-a", PICTURES), ("run-b", copies))
    ]
    with served(settings, tmp_path / "cache") as console:
        yield settings, loads, console


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_queue_is_made_from_the_form_and_begins(reviewed, load_id, kind):
    options, contents = KINDS[kind]
    made = make_queue(reviewed, load_id, kind, **options)
    assert made["items"] == contents
    assert len(items_of(reviewed, made["queue"])) == contents
    assert reviewed.get(made["address"]).status_code == 200


def test_benign_images_are_mixed_into_a_selection_too(reviewed, load_id):
    made = make_queue(reviewed, load_id, "filter", query="q=gun", benign_share=100)
    chosen = make_queue(reviewed, load_id, "filter", query="q=gun")
    items = reviewed.app.state.shared.review.queues.next(made["queue"], "you", 99)
    assert len(items) == made["items"]
    assert made["items"] - chosen["items"] == sum(item.purpose == "benign" for item in items) > 0


def test_a_queue_that_finds_nothing_says_so_and_is_not_listed(reviewed, load_id):
    name = uuid.uuid4().hex
    wanted = {"kind": "filter", "load_id": load_id, "query": "q=nowhere", "name": name}
    told = reviewed.post("/verify/new", json=wanted)
    assert (told.status_code, "No image is like that" in told.json()["error"]) == (400, True)
    assert name not in reviewed.get("/verify").text


def test_a_queue_of_a_selection_and_the_jobs_page_need_not_wait_for_each_other(
    console_world, load_id, tmp_path
):
    """Both need the index of the job, which nobody has made yet."""
    settings = replace(console_world[0])
    with served(settings, tmp_path / "cache") as console, ThreadPoolExecutor(2) as pool:
        wanted = {"kind": "filter", "load_id": load_id, "query": "show=all", "name": uuid.uuid4().hex}
        both = [
            pool.submit(console.post, "/verify/new", json=wanted),
            pool.submit(console.get, f"/jobs/{load_id}"),
        ]
        assert [one.result(60).status_code for one in both] == [200, 200]


def test_a_queue_whose_job_is_gone_opens_and_ends(reviewed):
    assert reviewed.get("/verify").status_code == 200
    queues = reviewed.app.state.shared.review.queues
    gone = "20250101T000000Z-000000000000"
    queue = queues.create(QueueSpec(kind="job", name="x", load_id=gone)).queue_id
    queues.add_items(queue, items(2, load_id=gone, manifest_id="m", line_number=1))
    assert reviewed.get(f"/verify/queues/{queue}").status_code == 200
    told = reviewed.post(f"/verify/queues/{queue}/next", json={"n": 9, "holding": []}).json()
    assert (told["items"], told["paused"][:22]) == ([], "2 images are left out:")
    assert queues.progress(queue) == Progress(unseen=2)
    assert reviewed.get(f"/verify/queues/{queue}/summary").status_code == 200


def test_what_is_sent_twice_counts_once(reviewed, load_id):
    queue = make_queue(reviewed, load_id, "job")["queue"]
    sent = answer(items_of(reviewed, queue)[0])
    log = reviewed.app.state.shared.review.log
    for _ in range(2):
        assert send(reviewed, sent) == {"taken": [sent["id"]], "refused": []}
    (kept,) = log.of_ids([sent["rows"][0]["id"]])
    assert (kept.reviewer, kept.queue_id, kept.load_id) == ("you", queue, load_id)
    assert kept.threshold is not None
    assert reviewed.app.state.shared.review.queues.progress(queue).done == 1


def test_one_bad_answer_is_named_and_the_rest_is_kept(reviewed, load_id):
    first, second, third = items_of(reviewed, make_queue(reviewed, load_id, "job")["queue"])[:3]
    good, bad, unknown = answer(first), answer(second, "severe"), answer(third)
    unknown["rows"][0]["label"] = "No such label"
    gone = answer(third) | {"item": "none"}
    told = send(reviewed, bad, good, unknown, gone)
    assert told["taken"] == [good["id"]]
    assert [one["id"] for one in told["refused"]] == [bad["id"], unknown["id"], gone["id"]]
    assert all(one["why"] for one in told["refused"])


def test_what_is_taken_back_waits_again_for_the_same_person(reviewed, load_id):
    queue = make_queue(reviewed, load_id, "job")["queue"]
    item = items_of(reviewed, queue)[0]
    sent = answer(item)
    back = answer(item, "withdrawn", state="open")
    back["rows"][0]["replaces"] = sent["rows"][0]["id"]
    assert send(reviewed, sent, back)["refused"] == []
    assert reviewed.app.state.shared.review.queues.progress(queue).done == 0
    assert item["item"] in [one["item"] for one in items_of(reviewed, queue)]


def test_no_image_is_with_two_people(reviewed, load_id):
    queue = make_queue(reviewed, load_id, "job")["queue"]
    with asked_by(reviewed, "ben", "user") as ben:
        mine = {one["item"] for one in items_of(reviewed, queue, 3)}
        his = {one["item"] for one in items_of(ben, queue)}
        assert (len(mine), len(his), mine & his) == (3, 2, set())
        reviewed.post(f"/verify/queues/{queue}/release", json={"items": sorted(mine)})
        assert {one["item"] for one in items_of(ben, queue)} == mine | his


def test_a_blind_queue_tells_nothing_of_the_answer(reviewed, load_id):
    queue = make_queue(reviewed, load_id, "job", blind=True)["queue"]
    item = items_of(reviewed, queue)[0]
    assert (item["labels"], item["kind"], item["confidence"]) == ([], None, None)
    sent = answer(item | {"labels": [{"name": "Weapons"}]}, "absent")
    assert send(reviewed, sent)["refused"] == []
    (kept,) = reviewed.app.state.shared.review.log.of_ids([sent["rows"][0]["id"]])
    assert (kept.blind, kept.load_id, kept.confidence) == (True, None, None)


def test_what_is_severe_is_hidden_at_once_though_it_was_looked_up_meanwhile(reviewed, monkeypatch):
    reviewed.get("/verify")
    shared = reviewed.app.state.shared
    looked_up = type(shared.review.log).severe

    def slowly(log):
        found = looked_up(log)
        if not found:
            log.append([said("severe", None)])
            shared.severe_changed()
        return found

    monkeypatch.setattr(type(shared.review.log), "severe", slowly)
    shared.severe_changed()
    assert shared.severe() == frozenset()
    assert shared.severe() == {"c1"}


def test_what_is_severe_is_hidden_at_once_from_all_but_operators(reviewed, load_id):
    item = items_of(reviewed, make_queue(reviewed, load_id, "job")["queue"])[0]
    with asked_by(reviewed, "ben", "user") as ben:
        assert ben.get(item["tile"]).headers["content-type"] == "image/jpeg"
        sent = answer(item)
        sent["rows"][0] |= {"subject": "image", "label": None, "verdict": "severe"}
        assert send(ben, sent)["refused"] == []
        assert "severe" in ben.get(item["view"]).text
        assert "data-hidden" in ben.get(item["page"]).text
        assert "data-hidden" not in reviewed.get(item["page"]).text
        assert ben.get(f"/jobs/{load_id}/images/{item['n']}/original").status_code == 403
        assert reviewed.get(item["view"]).headers["content-type"] == "image/jpeg"
        assert "severe" in reviewed.get(item["tile"]).text
        name = item["name"]
        assert name not in reviewed.get(f"/jobs/{load_id}/export.csv").text
        assert ben.get(item["page"]).status_code == 200
        lifted = answer(item)
        lifted["rows"][0] |= {"subject": "image", "label": None, "verdict": "not_severe"}
        assert "only operators" in send(ben, lifted)["refused"][0]["why"]
        assert send(reviewed, lifted)["refused"] == []
        assert ben.get(item["view"]).headers["content-type"] == "image/jpeg"


MAY = {
    ("GET", "/verify"): "viewer",
    ("GET", "/numbers"): "viewer",
    ("GET", "/verify/queues/{queue}/summary"): "viewer",
    ("GET", "/verify/queues/{queue}"): "user",
    ("GET", "/verify/new"): "user",
    ("POST", "/verify/queues/{queue}/next"): "user",
    ("POST", "/verify/queues/{queue}/release"): "user",
    ("POST", "/verify/queues/{queue}/again"): "user",
    ("POST", "/verify/answers"): "user",
    ("POST", "/verify/new"): "user",
    ("POST", "/verify/queues/{queue}/pause"): "op",
    ("POST", "/verify/queues/{queue}/people"): "op",
    ("POST", "/verify/disputes"): "op",
}
BODIES = {
    "next": {"n": 1},
    "release": {"items": []},
    "answers": {"answers": []},
    "new": {"kind": "job"},
    "pause": {"to": "resume"},
    "people": {"people": []},
}
ROLES = ("viewer", "user", "op")


@pytest.mark.slow
def test_each_role_does_what_is_its_own(reviewed, load_id):
    queue = make_queue(reviewed, load_id, "job")["queue"]
    for number, role in enumerate(ROLES):
        with asked_by(reviewed, role, role) as client:
            for (method, path), least in MAY.items():
                body = BODIES.get(path.rpartition("/")[2], {}) if method == "POST" else None
                status = client.request(method, path.format(queue=queue), json=body).status_code
                assert (status == 403) is (number < ROLES.index(least)), (role, method, path, status)


def test_every_write_needs_more_than_the_cookie(reviewed):
    del reviewed.headers[WRITE_HEADER]
    for method, path in MAY:
        if method == "POST":
            assert reviewed.post(path.format(queue="x"), json={}).status_code == 403, path


def test_a_queue_for_some_is_closed_to_others_and_a_paused_one_hands_nothing_out(reviewed, load_id):
    queue = make_queue(reviewed, load_id, "job")["queue"]
    with asked_by(reviewed, "ben", "user") as ben:
        reviewed.post(f"/verify/queues/{queue}/people", json={"people": ["anna"]})
        assert ben.post(f"/verify/queues/{queue}/next", json={"n": 1}).status_code == 403
        reviewed.post(f"/verify/queues/{queue}/people", json={"people": []})
        reviewed.post(f"/verify/queues/{queue}/pause", json={"to": "pause"})
        told = ben.post(f"/verify/queues/{queue}/next", json={"n": 1}).json()
        assert (told["items"], told["paused"]) == ([], "This queue is paused.")


@pytest.mark.parametrize("blind", [False, True])
def test_people_who_disagree_meet_in_the_queue_of_disputes(reviewed, load_id, blind):
    queue = make_queue(reviewed, load_id, "job", second_share=100, blind=blind)["queue"]
    first = items_of(reviewed, queue, 1)[0]
    assert bool(first["labels"]) is not blind
    name = weapon_violence(90.0)[-1]["Name"]
    send(reviewed, answer(first, "present", label=name))
    with asked_by(reviewed, "ben", "user") as ben:
        same = next(one for one in items_of(ben, queue) if one["n"] == first["n"])
        assert same["opinions"] == []
        other = answer(same, "absent", label=name)
        other["rows"][0]["note"] = "a toy"
        send(ben, other)
        assert ben.get("/verify/queues/dispute").status_code == 403
    address = reviewed.post("/verify/disputes", json={}).json()["address"]
    assert reviewed.get(address).status_code == 200
    disputed = next(one for one in items_of(reviewed, "dispute") if one["label"] == name)
    assert disputed["n"] == first["n"]
    assert disputed["labels"]
    assert disputed["opinions"] == [
        {"who": "you", "said": "present", "note": None},
        {"who": "ben", "said": "absent", "note": "a toy"},
    ]
    assert send(reviewed, answer(disputed, label=name))["refused"] == []
    assert items_of(reviewed, "dispute") == []


@pytest.mark.slow
def test_an_item_whose_answer_is_gone_is_shown_by_the_latest_about_the_content(reviewed, load_id):
    queue = make_queue(reviewed, load_id, "job")["queue"]
    queues = reviewed.app.state.shared.review.queues
    whole = queues.items([one["item"] for one in items_of(reviewed, queue)])
    lost = queues.create(QueueSpec(kind="job", name="of a log that was restored"))
    queues.add_items(
        lost.queue_id,
        [
            *(replace(whole[0], item_id="", content=f"k-{n:040d}", load_id=None) for n in range(30)),
            replace(whole[0], item_id="", load_id=None, manifest_id=None, line_number=None),
            replace(whole[1], item_id="", load_id="20200101T000000Z-000000000000"),
        ],
    )
    told = reviewed.post(f"/verify/queues/{lost.queue_id}/next", json={"n": 2, "holding": []}).json()
    assert {one["load"] for one in told["items"]} == {load_id}
    assert {one["name"] for one in told["items"]} == {one.source_ref.split("/", 3)[3] for one in whole[:2]}
    assert told["paused"].startswith("30 images are left out")
    assert send(reviewed, *map(answer, told["items"]))["refused"] == []
    assert not queues.held(lost.queue_id, "you")
    assert queues.progress(lost.queue_id) == Progress(done=2, unseen=30)
    assert "in no published load any more" in reviewed.get(f"/verify/queues/{lost.queue_id}/summary").text


def test_a_queue_ends_without_images_that_are_gone_and_goes_on_when_they_are_back(
    reviewed, load_id, s3_client
):
    made = make_queue(reviewed, load_id, "job")
    first, second = items_of(reviewed, made["queue"], 2)
    shared = reviewed.app.state.shared
    row = shared.found(load_id).image(first["n"])
    place = {"Bucket": row["bucket"], "Key": row["key"]}
    body = s3_client.get_object(**place)["Body"].read()
    shared.tiles.forget(row)
    s3_client.delete_object(**place)
    try:
        # What the server itself can show is skipped by this person, and by nobody else.
        unseen = [answer(one, "skipped", state="skipped", unseen=True) for one in (first, second)]
        for one in unseen:
            one["rows"][0] |= {"subject": "image", "label": None}
        assert send(reviewed, *unseen)["refused"] == []
        assert shared.review.queues.progress(made["queue"]) == Progress(open=4, unseen=1)
        summary = reviewed.get(f"/verify/queues/{made['queue']}/summary").text
        assert "1 cannot be seen" in summary
        assert first["page"] in summary.replace("&amp;", "&")
        assert "1 cannot be seen" in reviewed.get("/verify").text
    finally:
        s3_client.put_object(**place, Body=body, ContentType="image/jpeg")
    with asked_by(reviewed, "ben", "user") as ben:
        assert ben.post(f"/verify/queues/{made['queue']}/again", json={}).json() == {"items": 1}
        assert {one["item"] for one in items_of(ben, made["queue"])} >= {first["item"], second["item"]}


def test_a_queue_of_which_only_skipped_images_wait_says_so_and_offers_them_to_who_skipped_them(
    reviewed, load_id
):
    queue = make_queue(reviewed, load_id, "job")["queue"]
    items = items_of(reviewed, queue)
    skips = [answer(one, "skipped", state="skipped") for one in items[:2]]
    for one in skips:
        one["rows"][0] |= {"subject": "image", "label": None}
    assert send(reviewed, *skips, *map(answer, items[2:]))["refused"] == []
    at, work = f"/verify/queues/{queue}", f"/verify/queues/{queue}?mode=focus"

    told = reviewed.post(f"{at}/next", json={"n": 4, "holding": []}).json()
    assert (told["items"], told["left"]) == ([], {"some": False, "skipped": 2, "others": 0})
    every = reviewed.get("/verify").text
    assert "2 skipped" in every
    assert "nothing waits for you" in every
    assert work not in every
    summary = reviewed.get(f"{at}/summary").text
    assert "2 of these were skipped" in summary
    assert "2 that you skipped" in summary
    assert f"<dt>Images decided</dt><dd>{len(items) - 2}</dd>" in summary
    assert work not in summary
    with asked_by(reviewed, "ben", "user") as ben:
        assert work in ben.get("/verify").text
        assert "that you skipped" not in ben.get(f"{at}/summary").text
        assert ben.post(f"{at}/again", json={"what": "skipped"}).json() == {"items": 0}

    assert reviewed.post(f"{at}/again", json={"what": "skipped"}).json() == {"items": 2}
    assert {one["item"] for one in items_of(reviewed, queue)} == {one["item"] for one in items[:2]}


def test_the_share_that_is_verified_stands_on_the_job(reviewed, load_id):
    item = items_of(reviewed, make_queue(reviewed, load_id, "job")["queue"])[0]
    send(reviewed, answer(item))
    assert "1 of 7 different images" in reviewed.get(f"/jobs/{load_id}").text


@pytest.mark.slow
def test_what_is_said_of_an_image_counts_in_each_job_with_its_content(twice_published):
    _, loads, console = twice_published
    first, second = loads
    item, other = items_of(console, make_queue(console, first, "job")["queue"])[:2]
    sent = answer(item)
    send(console, sent, answer(other, "skipped", state="skipped"))

    assert shares_of(console, loads) == dict.fromkeys(loads, "1 (14.3%)")
    assert "1 of 7 different images" in console.get(f"/jobs/{second}").text
    taken_back = answer(item, "withdrawn", state="open")
    taken_back["rows"][0]["replaces"] = sent["rows"][0]["id"]
    assert send(console, taken_back)["refused"] == []
    assert shares_of(console, loads) == dict.fromkeys(loads, "0")
    send(console, answer(other, "absent"))
    assert shares_of(console, loads) == dict.fromkeys(loads, "1 (14.3%)")


@pytest.mark.slow
def test_the_share_is_right_whatever_became_of_what_is_kept_of_it(twice_published, tmp_path):
    settings, loads, console = twice_published
    send(console, answer(items_of(console, make_queue(console, loads[0], "job")["queue"])[0]))
    told = dict.fromkeys(loads, "1 (14.3%)")
    with served(settings, tmp_path / "other") as other:
        assert shares_of(other, loads) == told
    kept = sorted((tmp_path / "other" / "loads").glob("*.contents"))
    whole = [file.read_bytes() for file in kept]
    assert len(kept) == len(loads)
    for damaged in (b"", whole[0][:60], whole[0][:40] + bytes([whole[0][40] ^ 1]) + whole[0][41:]):
        for file in kept:
            file.write_bytes(damaged)
        with served(settings, tmp_path / "other") as other:
            assert shares_of(other, loads) == told
        assert [file.read_bytes() for file in kept] == whole
    for file in kept:
        table = pq.read_table(file).replace_schema_metadata({b"images": b"99"})
        pq.write_table(table.slice(1), file)
    with served(settings, tmp_path / "other") as other:
        assert shares_of(other, loads) == told


def test_who_stops_publishes_what_was_said(reviewed, load_id):
    item = items_of(reviewed, make_queue(reviewed, load_id, "job")["queue"])[0]
    send(reviewed, answer(item))
    published: list[int] = []
    application._publish(
        reviewed.app.state.shared, lambda _, state: published.append(len(state.log.unpublished()))
    )
    assert published == [1]


def test_a_monitor_is_told_how_much_waits_without_names(reviewed, load_id):
    assert reviewed.get("/health").json() == {
        **{"review": "reachable", "backlog": 0, "oldest_seconds": 0, "unpublished": 0},
        "unpublished_seconds": 0,
    }
    queue = make_queue(reviewed, load_id, "job")
    reviewed.app.state.shared.review.log.append([said("present")])
    told = reviewed.get("/health").json()
    assert told["backlog"] == queue["items"] == 5
    assert told["unpublished"] == 1
    assert told["unpublished_seconds"] > 0
    assert "s3://" not in str(told)
