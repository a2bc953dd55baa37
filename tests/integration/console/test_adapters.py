"""Adapters: everybody may look, users train, operators say which one is used; what was done has a name."""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from moderation.adapters import registry
from moderation.adapters.sets import store
from moderation.adapters.sets.verdicts import Answer, decide
from moderation.adapters.shadow import comparison
from moderation.cli.jobs import Rekognition
from moderation.console.alone import alone
from moderation.console.application import WRITE_HEADER, application
from moderation.console.pages.adapters import Learning
from moderation.console.pages.start import Started
from moderation.publish.standing import open_standing
from moderation.query.published_views import open_published
from moderation.reference.content import SUBJECT_SQL
from moderation.review.state.open import open_state
from moderation.schema import physical_schema
from moderation.tables.standing import SHADOW_ANSWERS
from moderation.variables.adapters import AdapterSettings
from support import browser, compared
from support.browser import wait_for, wait_for_page
from support.console_browser import one_look
from support.console_load import TOKEN, asked, listening_at
from support.console_review import asked_by, by_header
from support.judged import judged as judged_verdict
from support.judged import publish_judged
from support.planned_runs import make_settings

CARDS = tuple(f"s3://photos/card-{number}" for number in range(29))


@pytest.fixture
def world(console_world, aws_env, tmp_path, fake_rekognition, credentials) -> Any:
    """Settings with a registry of their own, and a Rekognition."""
    aws_env.setenv("AWS_ACCESS_KEY_ID", credentials.access_key)
    aws_env.setenv("AWS_SECRET_ACCESS_KEY", credentials.secret_key)
    settings, _, folder = console_world
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    own = replace(settings, work_uri=f"{settings.work_uri}/{uuid.uuid4().hex[:8]}")
    return SimpleNamespace(settings=own, cache=folder / "cache", fake=fake_rekognition, started=[])


@pytest.fixture
def client(world) -> Iterator[Any]:
    async def trainer(_request: Any, conf: dict[str, Any]) -> Started:
        world.started.append(conf)
        return Started(address="/runs/1", name="run-1")

    learning = Learning(ask=lambda: Rekognition(world.settings), trainer=trainer)
    app = application(lambda: world.settings, gate=by_header, learning=learning, cache=world.cache)
    with asked(app) as made:
        made.headers[WRITE_HEADER] = "1"
        yield made


@pytest.fixture
def adapter(world, load_id) -> str:
    """One that passes the gate; the first of its flipped images is in a job."""
    arn = compared.trained(world.fake, "good")
    settings = world.settings
    bucket = settings.input_uri.split("/")[2]
    compared.note(settings, arn, compared.comparison([f"s3://{bucket}/a/plain.jpg", *CARDS]))
    return arn


@pytest.fixture
def judged(world, s3_client, bucket, tmp_path) -> Any:
    """Settings of tables of their own: people found *Gambling* in fifty images in which the model did not."""
    settings = replace(
        make_settings(tmp_path, bucket, tables="local"), work_uri=world.settings.work_uri, region="us-east-1"
    )
    publish_judged(settings, s3_client, bucket, red=50, images=52)
    world.settings = settings
    world.cache = tmp_path / "cache"
    return settings


def test_the_page_of_an_adapter_tells_counts_interval_and_flipped_images(client, adapter, load_id):
    page = client.get("/adapters/one", params={"arn": adapter}).text
    assert "The gate passes" in page
    assert "30 of 30" in page
    assert "88.6% – 100.0%" in page
    assert "$1.50 for 5,400 billed seconds" in page
    assert f"/jobs/{load_id}/images/" in page
    assert page.count('class="tile"') == 30
    assert page.count("in no job any more") == 29
    assert page.count("<polyline") == 4


@pytest.mark.slow
def test_an_adapter_whose_verdicts_were_taken_back_says_so_and_waits_for_another_comparison(
    judged, client, world
):
    arn = compared.trained(world.fake, "good")
    compared.note(judged, arn, compared.comparison(CARDS))
    rule = AdapterSettings(min_false_negatives=4, test_positives=5, test_negatives=1, near_bits=0)
    state = open_state()
    rows = {str(row.content): row for _, row in state.log.since(0)}
    entries = decide(rows.values(), {content: Answer() for content in rows})
    stored = store.make(judged, "cards", entries, labels=["Gambling"], rule=rule)
    registry.note(judged, replace(registry.load(judged).versions[arn], set_uri=stored.uri))
    page = client.get("/adapters/one", params={"arn": arn}).text
    assert "taken back since" not in page
    assert "Compare with the base model" not in page
    first = rows[next(one.content for one in stored.contents.part("testing") if one.names)]
    change = {"verdict": "withdrawn", "replaces": first.verdict_id}
    state.log.append([replace(first, verdict_id=uuid.uuid4().hex, **change)])
    state.close()
    page = client.get("/adapters/one", params={"arn": arn}).text
    assert "the verdicts on 1 of the" in page
    assert "adapter train Gambling --project cards" in page
    assert "Compare with the base model" in page
    refused = client.post("/adapters/promote", json={"arn": arn})
    assert refused.status_code == 409
    assert "Compare it again" in refused.json()["error"]
    assert registry.load(judged).champion is None


@pytest.mark.parametrize(
    ("role", "paths", "may"),
    [
        ("viewer", ("train", "compare", "promote", "roll-back", "retire"), False),
        ("user", ("promote", "roll-back", "retire"), False),
        ("op", ("promote",), True),
    ],
)
def test_who_may_what(client, adapter, role, paths, may):
    with asked_by(client, "ben", role) as other:
        assert other.get("/adapters/one", params={"arn": adapter}).status_code == 200
        for path in paths:
            wanted = {"labels": ["Gambling"], "max_cost_usd": 2} if path == "train" else {"arn": adapter}
            told = other.post(f"/adapters/{path}", json=wanted).status_code
            assert told == (200 if may else 403), path
        page = other.get("/adapters/one", params={"arn": adapter}).text
    assert ("promoted" in page) is may


@pytest.mark.slow
def test_what_was_done_stands_there_with_the_person(client, adapter, world):
    with asked_by(client, "carla", "op") as carla:
        assert carla.post("/adapters/promote", json={"arn": adapter, "older_share": 10}).status_code == 200
        (event,) = registry.load(world.settings).events
        assert (event.person, event.action, event.older_share) == ("carla", "promoted", 0.1)
        told = carla.post("/adapters/roll-back", json={"arn": adapter, "reason": "<i>too many</i>"})
        assert told.json() == {"champion": None}
        assert carla.post("/adapters/roll-back", json={"arn": adapter}).status_code == 409
        page = carla.get("/adapters/one", params={"arn": adapter}).text
    assert "In production" in page
    assert "carla" in page
    assert "&lt;i&gt;too many&lt;/i&gt;" in page


def test_what_the_gate_asks_about_is_promoted_knowingly_or_not_at_all(client, world):
    arn = compared.trained(world.fake, "few")
    compared.note(world.settings, arn, compared.comparison(CARDS[:10]), gate_unshown="ask")
    answered = client.post("/adapters/promote", json={"arn": arn})
    assert "10 of 20 test images" in answered.json()["error"]
    assert registry.load(world.settings).champion is None
    assert "I have seen what the gate asks about" in client.get("/adapters/one", params={"arn": arn}).text
    assert client.post("/adapters/promote", json={"arn": arn, "knowingly": True}).json() == {"champion": arn}


def test_an_adapter_that_does_not_answer_is_not_promoted(client, adapter, world):
    compared.trained(world.fake, "good", "EXPIRED")
    answered = client.post("/adapters/promote", json={"arn": adapter})
    assert answered.status_code == 409
    assert "EXPIRED" in answered.json()["error"]
    assert registry.load(world.settings).champion is None


def test_how_far_a_training_is_stands_there_in_words_of_aws_when_it_failed(client, world):
    arn = compared.trained(world.fake, "bad", "TRAINING_FAILED")
    compared.note(world.settings, arn, None)
    registry.note_first(
        world.settings, replace(registry.load(world.settings).known(arn), asked_by="<i>ana</i>")
    )
    registry.note_first(world.settings, replace(registry.load(world.settings).known(arn), asked_by="ben"))
    for page in (client.get("/adapters").text, client.get("/adapters/one", params={"arn": arn}).text):
        assert "Wepons is unknown" in page
        assert "&lt;i&gt;ana&lt;/i&gt;" in page
        assert "2023-11-14 22:13" in page
        assert '<span class="state failed">' in page
    told = client.get("/adapters/far", params={"arn": [arn, "arn:unknown"]}).json()
    assert list(told) == [arn]
    assert told[arn]["status"] == "TRAINING_FAILED"


def test_a_label_with_enough_errors_is_trained_in_the_name_of_who_asks_and_no_other(judged, client, world):
    page = client.get("/adapters").text
    assert "Gambling</label>" in page
    wanted = {"labels": ["Gambling"], "project": "cards", "max_cost_usd": 2}
    assert client.post("/adapters/train", json=wanted).json()["name"] == "run-1"
    assert world.started == [wanted]
    for wrong in ({"labels": ["Weapons"]}, {"project": "a b"}, {"max_cost_usd": 0.5}):
        assert client.post("/adapters/train", json=wanted | wrong).status_code == 400, wrong
    assert len(world.started) == 1


def test_a_button_makes_the_queue_of_what_a_label_lacks(judged, client, s3_client, bucket):
    unsure = replace(judged_verdict(s3_client, bucket, 7, red=True), verdict="unsure", verdict_id="f" * 32)
    state = open_state()
    state.log.append([unsure])
    state.close()
    page = client.get("/adapters").text
    assert "49 of 50 false negatives" in page
    assert "1 image needs a decision about it</button>" in page
    assert 'data-lack="false-negatives" data-label="Gambling"' in page
    wanted = {"labels": ["Gambling"], "lack": "decisions"}
    told = client.post("/adapters/queue", json=wanted).json()
    assert (told["waiting"], told["new"]) == (1, 1)
    assert "To be decided about Gambling" in client.get(told["address"]).text
    assert "What a training lacks" in client.get("/verify").text
    refused = client.post("/adapters/queue", json=wanted | {"lack": "false-positives"})
    assert (refused.status_code, refused.json()["error"]) == (400, "There is nothing to look at.")
    assert client.post("/adapters/queue", json=wanted | {"labels": ["Wepons"]}).status_code == 400
    with asked_by(client, "ben", "viewer") as other:
        assert other.post("/adapters/queue", json=wanted).status_code == 403
        assert "data-lack" not in other.get("/adapters").text


def test_an_analysis_is_offered_the_champion_and_the_known_adapters(client, adapter, world):
    page = client.get("/start").text
    assert '<option value="champion">' in page
    assert f'<option value="{adapter}">' in page
    base = client.get("/start/price?images=1000").json()
    assert client.get("/start/price?images=1000&adapter=champion").json() == base
    client.post("/adapters/promote", json={"arn": adapter})
    assert client.get("/start/price?images=1000&adapter=champion").json()["cost_usd"] > base["cost_usd"]


@browser.needed
@pytest.mark.parametrize("look", one_look())
def test_an_adapter_is_promoted_and_rolled_back_by_keyboard_alone(chromium, world, adapter, look):
    app = alone(world.settings, token=TOKEN, ask=lambda: Rekognition(world.settings), cache=world.cache)
    context = browser.window(chromium, **look)
    with listening_at(app) as address:
        page = context.new_page()
        page.goto(f"{address}/adapters?token={TOKEN}")
        assert browser.findings(page) == []
        page.focus("tbody th a")
        page.keyboard.press("Enter")
        page.focus("[data-dialog=promote]")
        page.keyboard.press("Enter")
        wait_for(page, "document.getElementById('older').textContent.includes('answered before')")
        assert browser.findings(page) == []
        page.keyboard.press("Enter")
        wait_for_page(page, "[data-dialog=roll-back]")
        page.focus("[data-dialog=roll-back]")
        page.keyboard.press("Enter")
        page.keyboard.type("too many")
        page.keyboard.press("Enter")
        wait_for_page(page, "[data-dialog=promote]")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
    said = [(event.person, event.action, event.reason) for event in registry.load(world.settings).events]
    assert said == [("you", "promoted", ""), ("you", "rolled back", "too many")]


def test_alone_the_command_is_told(judged, world):
    with asked(alone(judged, token=TOKEN, cache=world.cache)) as client:
        client.get(f"/?token={TOKEN}")
        wanted = {"labels": ["Gambling"], "max_cost_usd": 2}
        told = client.post("/adapters/train", json=wanted, headers={WRITE_HEADER: "1"}).json()
    assert shlex.split(told["command"])[-7:] == [
        *("train", "Gambling", "--project", "moderation", "--max-cost-usd", "2", "--wait"),
    ]


@pytest.mark.slow
def test_a_shadow_tells_where_it_differs_and_leads_to_those_images(client, judged, world):
    arn = compared.trained(world.fake, "good")
    compared.note(judged, arn, compared.comparison(CARDS))
    begun = datetime(2026, 11, 23, tzinfo=UTC)
    about = {"begun_at": begun, "dt": begun.date(), "shadow_id": "s1", "challenger": arn}
    with open_published(judged) as connection:
        images = connection.execute(
            f"SELECT {SUBJECT_SQL}, load_id, manifest_id, line_number FROM images ORDER BY 4 LIMIT 4"
        ).fetchall()
    names = ("content", "load_id", "manifest_id", "line_number")
    rows = [
        about
        | dict(zip(names, image, strict=True))
        | {"answer_id": f"{image[0]}:{label}", "label": label}
        | told
        for number, image in enumerate(images)
        for label, told in ((None, {}), ("Gambling", {"challenger_confidence": 90.0 - 30 * number}))
    ]
    with open_standing(judged, SHADOW_ANSWERS) as table:
        table.append(pa.Table.from_pylist(rows, physical_schema(SHADOW_ANSWERS)), key="answer_id")
    state = open_state()
    try:
        comparison.differing_queue(judged, state.queues, "s1")
    finally:
        state.close()
    page = client.get("/adapters/one", params={"arn": arn}).text
    assert "In the shadow" in page
    assert "4 images beside" in page
    assert "2 are told alike" in page
    (address,) = re.findall(r'href="([^"]*filter-shadow-s1[^"]*)"', page)
    assert client.get(address).status_code == 200
    with asked_by(client, "ben", "viewer") as other:
        assert "filter-shadow-s1" not in other.get("/adapters/one", params={"arn": arn}).text
