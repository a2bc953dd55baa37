"""The page *Jobs* tells how far runs under way are, by itself, whichever backend answers them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.config import Config

from moderation.analyse.detect import checkpoint
from moderation.console.alone import alone
from moderation.console.index import under_way
from moderation.plan import claims
from moderation.plan.plan import Plan
from moderation.plan.store import load_plan
from moderation.settings import Settings
from moderation.storage import s3_objects
from support import browser
from support.browser import wait_for
from support.console_load import TOKEN, publish_pictures, served
from support.planned_runs import Run, make_settings

HOSTILE = "<b>bold</b> \x1b[2J'=cmd"


@dataclass
class World:
    """One run under way of two manifests, with three and two images."""

    settings: Settings
    s3: Any
    plan: Plan

    def leave(self, manifest: int, name: str, body: bytes = b"{}") -> None:
        """What a task leaves of a manifest."""
        found = self.plan.manifests[manifest]
        key = f"{found.output_prefix}job-1/{name}"
        self.s3.put_object(Bucket=found.output_bucket, Key=key, Body=body)

    def answer_part(self, manifest: int, records: int) -> None:
        found = self.plan.manifests[manifest]
        folder = f"s3://{found.output_bucket}/{found.output_prefix}job-1/checkpoint"
        record = checkpoint.encode({"line": 1})
        checkpoint.store_part(self.s3, folder, "job-1", [record] * records)

    def end(self) -> None:
        """Publish something else and give the claim free, as a run that ends does."""
        claims.drop(self.s3, self.settings, self.plan)


@pytest.fixture
def world(aws_env: Any, bucket: str, s3_client: Any, tmp_path: Any, monkeypatch: Any) -> World:
    monkeypatch.setattr(under_way, "_FRESH_SECONDS", 0.0)
    settings = replace(make_settings(tmp_path, bucket, tables="local"), input_uri=f"s3://{bucket}/input")
    run = Run(settings, s3_client, name="run-under-way")
    run.manifest([f"s3://{bucket}/{name}" for name in "abc"])
    run.manifest([f"s3://{bucket}/{name}" for name in "de"])
    plan = run.store()
    manifests = tuple(
        replace(manifest, output_bucket=bucket, output_prefix=f"work/output/{manifest.manifest_id}/")
        for manifest in plan.manifests
    )
    totals = replace(plan.totals, to_analyse=5)
    plan = replace(plan, manifests=manifests, totals=totals, source=HOSTILE)
    s3_objects.put(s3_client, plan.uri, plan.to_json())
    plan = load_plan(plan.uri, s3=s3_client)
    claims.write(s3_client, settings, plan)
    return World(settings, s3_client, plan)


@pytest.fixture
def console(world: World, tmp_path: Any) -> Iterator[Any]:
    with served(world.settings, tmp_path / "cache") as client:
        yield client


def test_a_card_says_what_the_run_was_asked(console: Any, world: World) -> None:
    (run,) = console.get("/under-way").json()["runs"]
    assert run["name"] == f"job · {world.plan.run_key}"
    assert run["about"].startswith("bulk, model 7.0 or newer, base model, at most $")
    page = console.get("/").text
    assert run["name"] in page
    assert run["about"] in page


def told(console: Any) -> tuple[str, int, int]:
    answer = console.get("/under-way")
    assert answer.status_code == 200
    assert answer.json()["trouble"] == ""
    (run,) = answer.json()["runs"]
    assert (run["images"], run["manifests"]) == (5, 2)
    return run["state"], run["answered"], run["ended"]


def test_what_is_answered_is_told_while_it_comes_in(console, world):
    assert told(console) == ("planned, nothing answered yet", 0, 0)
    world.answer_part(0, 1)
    assert told(console) == ("being analysed", 1, 0)
    world.answer_part(0, 1)
    assert told(console) == ("being analysed", 2, 0)
    world.leave(0, "manifest-summary.json")
    assert told(console) == ("being analysed", 3, 1)
    world.leave(1, "results.jsonl")
    assert told(console) == ("being analysed", 3, 1)
    world.leave(1, "manifest-summary.json")
    assert told(console) == ("answered, not yet published", 5, 2)
    world.end()
    assert console.get("/under-way").json() == {"runs": [], "trouble": ""}


@pytest.mark.parametrize("body", [b"", b"no record", b"00000000 {}\n", b"\xff" * 99])
def test_a_damaged_part_is_no_answer_and_no_trouble(console, world, body):
    world.leave(0, "checkpoint/part-0.ckpt", body)
    assert told(console) == ("planned, nothing answered yet", 0, 0)


def test_more_answers_than_images_are_not_told(console, world):
    world.answer_part(1, 9)
    assert told(console)[1] == 2


def test_a_plan_that_is_gone_or_damaged_hides_no_other(console, world):
    for load_id, body in (("20260101T000000Z-000000000001", None), ("20260101T000000Z-000000000002", b"{}")):
        uri = world.plan.uri.replace("plan-001", f"plan-{load_id}")
        other = replace(world.plan, load_id=load_id, uri=uri)
        claims.write(world.s3, world.settings, other)
        if body is not None:
            s3_objects.put(world.s3, uri, body)
    assert told(console)[0] == "planned, nothing answered yet"


def test_names_from_outside_are_text(console, world):
    page = console.get("/").text
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold" in page
    assert "\x1b" not in page
    assert "\x1b" not in console.get("/under-way").json()["runs"][0]["source"]


def test_while_s3_is_gone_the_page_and_its_poll_say_so_and_recover(console, world, monkeypatch):
    with socket.socket() as nobody, monkeypatch.context() as patch:
        nobody.bind(("127.0.0.1", 0))
        gone = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{nobody.getsockname()[1]}",
            config=Config(retries={"total_max_attempts": 1}),
        )
        told(console)
        patch.setattr(console.app.state.shared.under_way, "_s3", gone)
        assert "cannot be looked up now" in console.get("/under-way").json()["trouble"]
        page = console.get("/", headers={"Accept": "text/html"})
        gone.close()
        assert page.status_code == 200
        assert "cannot be looked up now" in page.text
        assert "Nothing has been moderated yet" not in page.text
    assert told(console)[0] == "planned, nothing answered yet"


@browser.needed
def test_progress_and_the_end_of_a_run_come_without_a_reload(world, tmp_path):
    app = alone(world.settings, token=TOKEN, cache=tmp_path / "cache")
    with socket.socket() as listening, browser.chromium() as chromium:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        page = chromium.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://127.0.0.1:{listening.getsockname()[1]}/?token={TOKEN}")
        page.evaluate("window.same = true")
        world.answer_part(0, 2)
        wait_for(page, "document.querySelector('[data-answered]')?.textContent === '2'")
        assert not browser.findings(page)
        load_id = publish_pictures(world.settings, world.s3, world.settings.work_uri.split("/")[2])
        world.end()
        wait_for(page, f"document.getElementById('published').textContent.includes('{load_id}')")
        wait_for(page, "document.getElementById('under-way').hidden && window.same")
        server.should_exit = True
        thread.join()
    assert not errors
