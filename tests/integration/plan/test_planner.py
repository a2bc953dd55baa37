from __future__ import annotations

import gzip
import json
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from moderation import stages
from moderation.plan import claims, draft, ledger, planner
from moderation.plan.manifests import ManifestError
from moderation.plan.plan import INPUTS_SCHEMA, Plan, PlanError, run_key
from moderation.plan.planner import make_plan
from moderation.plan.price import Spending
from moderation.plan.request import PlanRequest, asked_or_default
from moderation.plan.store import (
    close,
    find_open_plan,
    is_closed,
    load_plan,
    open_left_out,
    read_inputs,
    read_manifest,
)
from moderation.reference import limits
from moderation.report.run_report import nothing_new
from moderation.settings import Settings
from moderation.storage import lease, s3_objects
from moderation.storage.state import SealBroken, seal, unseal
from moderation.variables import names
from support import pictures

NOON = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
ADAPTER = "arn:aws:rekognition:us-east-1:123456789012:project/p/version/v/1700000000000"


class Tables:
    """Stands for the published tables: what was published, as the ledger reads it."""

    def __init__(self):
        self.rows = []

    def __call__(self, settings, columns, *, between=None, names=None):
        assert tuple(columns) == ledger.COLUMNS
        fields = [(name, pa.string()) for name in ledger.COLUMNS[:-1]] + [("min_confidence", pa.float64())]
        return pa.Table.from_pylist(self.rows, schema=pa.schema(fields))

    def publish(self, plan, settings, **changes):
        for row in read_inputs(plan, settings=settings).to_pylist():
            self.rows.append(
                {
                    "source_ref": row["source_ref"],
                    "etag": row["etag"],
                    "status": "failed" if row["error_code"] else "moderated",
                    "error_code": row["error_code"],
                    "model_version": None if row["error_code"] else plan.model_version,
                    "adapter": plan.adapter,
                    "min_confidence": plan.min_confidence,
                    **changes,
                }
            )
        planner.mark_published(plan, settings=settings)


@pytest.fixture
def tables():
    return Tables()


@pytest.fixture
def make(settings, bucket, tables):
    """Plan a run over the bucket's photos/."""

    def make(run="run-1", *, settings=settings, dry_run=False, source=f"s3://{bucket}/photos", **options):
        request = PlanRequest(run_key=run_key("dag", run), source=source, logical_time=NOON, **options)
        return make_plan(settings, request, published=tables, dry_run=dry_run)

    return make


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(lease, "_POLL_SECONDS", 0.02)


def refs(plan, settings):
    return read_inputs(plan, settings=settings)["source_ref"].to_pylist()


@pytest.mark.parametrize(
    ("inspect", "sent", "left_out"),
    [
        (True, ["anna.c", "b.jpg"], {"*.sidecar": ("c.sidecar", "text"), "*.txt": ("d.txt", "text")}),
        (
            False,
            ["b.jpg"],
            {"*.c": ("anna.c", None), "*.sidecar": ("c.sidecar", None), "*.txt": ("d.txt", None)},
        ),
    ],
)
def test_what_is_left_out_is_listed_with_the_rule_that_people_set(
    put, make, settings, *, bucket, s3_client, inspect, sent, left_out
):
    put("photos/anna.c", "photos/b.jpg")
    put("photos/c.sidecar", "photos/d.txt", body=b"text")
    rules = replace(settings, no_image_names=names.parse("default *.sidecar"))

    plan = make(settings=rules, inspect=inspect)

    assert refs(plan, settings) == [f"s3://{bucket}/photos/{name}" for name in sent]
    assert plan.left_out == dict.fromkeys(left_out, 1)
    with open_left_out(plan, s3=s3_client) as batches:
        rows = [row for batch in batches for row in batch.to_pylist()]
    assert {row["rule"]: (row["source_ref"], row["content"]) for row in rows} == {
        rule: (f"s3://{bucket}/photos/{name}", content) for rule, (name, content) in left_out.items()
    }
    assert load_plan(plan.uri, settings=settings) == plan


def test_a_plan_accounts_for_everything_that_was_listed(put, make, settings, bucket):
    put("photos/b.jpg", "photos/a.jpg", "photos/new\nline.jpg", "photos/\U0001f600 #%+'\".jpg")
    put("photos/text.jpg", "photos/notes.txt", body=b"text")
    put("photos/bomb.png", body=pictures.png_header(24_000, 25_000))
    put("photos/marker/", body=b"")

    plan = make(min_confidence=60, max_lines=3)

    assert asdict(plan.totals) == {
        "listed": 8,
        "ignored": 2,
        "already_moderated": 0,
        "claimed_elsewhere": 0,
        "postponed": 0,
        "rejected": 2,
        "to_analyse": 4,
        "refused_before": {},
        "copies": 0,
        "contents": 4,
        "gone": 0,
    }
    assert [manifest.lines for manifest in plan.manifests] == [2, 2]
    assert (plan.expected_cost_usd, plan.expected_seconds["detect"]) == (0.004, 0.08)
    assert (plan.dt, plan.min_confidence, plan.backend, plan.plan_number) == ("2026-05-04", 60.0, "bulk", 1)
    inputs = read_inputs(plan, settings=settings)
    assert inputs.schema.equals(INPUTS_SCHEMA)
    rows = inputs.to_pylist()
    assert [(row["manifest"], row["line_number"]) for row in rows] == [
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 2),
        (None, None),
        (None, None),
    ]
    assert [row["error_code"] for row in rows[4:]] == ["InvalidParameter", "InvalidImageFormat"]
    for index, manifest in enumerate(plan.manifests):
        planned = [row["source_ref"] for row in rows if row["manifest"] == index]
        assert read_manifest(plan, manifest.manifest_id, settings=settings) == planned
        assert manifest.uri == f"{plan.folder_uri}/manifests/{manifest.manifest_id}.jsonl"
    assert f"s3://{bucket}/photos/new\nline.jpg" in refs(plan, settings)
    assert load_plan(plan.uri, settings=settings) == plan


def test_names_obey_awss_patterns_whatever_the_run_is_called(put, make):
    put("photos/a.jpg")
    (manifest,) = make(
        "scheduled__2026-05-04T00:00:00+00:00 \u00e9/../" + "x" * 300, job_name="N" * 24
    ).manifests

    assert re.fullmatch(r"[a-zA-Z0-9_.\-]{1,64}", manifest.job_name)
    assert re.fullmatch(r"\S{1,800}", manifest.output_prefix)
    assert manifest.manifest_id in manifest.output_prefix


def test_run_keys_are_path_safe_and_never_equal_for_different_runs():
    keys = {
        run_key(*names)
        for names in [
            ("d", "a:b"),
            ("d", "a+b"),
            ("d", "a b"),
            ("d a", "b"),
            ("", ""),
            ("d", "\u00e9"),
            ("d", "A:B"),
        ]
    }

    assert len(keys) == 7
    assert all(re.fullmatch(r"[a-z0-9-]{12,80}", key) for key in keys)


def test_a_retry_of_the_run_goes_on_with_its_plan(put, make, settings):
    put("photos/a.jpg")
    plan = make()
    put("photos/later.jpg")

    assert make() == plan
    assert find_open_plan(settings, plan.run_key) == plan


def test_once_published_the_run_plans_anew_and_only_what_is_new(put, make, settings, tables):
    put("photos/a.jpg")
    put("photos/bad.jpg", body=b"text")
    first = make()
    tables.publish(first, settings)
    assert find_open_plan(settings, first.run_key) is None
    put("photos/b.jpg")

    second = make()

    assert second.plan_number == 2
    assert second.load_id != first.load_id
    assert second.load_id.startswith("20260504T123000Z-")
    assert [ref.rpartition("/")[2] for ref in refs(second, settings)] == ["b.jpg"]
    assert second.totals.already_moderated == 1
    assert second.totals.refused_before == {"InvalidImageFormat": 1}
    tables.publish(second, settings)
    third = make()
    assert third.is_empty
    assert (third.totals.already_moderated, third.manifests) == (2, ())


def test_an_empty_plan_is_no_obstacle_to_what_comes_later(put, make):
    empty = make()
    put("photos/a.jpg")

    later = make()

    assert (empty.totals.listed, empty.is_empty) == (0, True)
    assert (later.plan_number, later.totals.to_analyse) == (2, 1)


def test_changed_content_is_moderated_again(put, make, settings, tables):
    put("photos/a.jpg")
    tables.publish(make(), settings)
    put("photos/a.jpg", body=pictures.picture(size=(200, 200)))

    assert make("run-2").totals.to_analyse == 1


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 0),
        ({"min_confidence": 80}, 0),
        ({"min_confidence": 20}, 1),
        (asked_or_default(None, Settings(min_confidence=5.0)), 0),
        (asked_or_default(5.0, Settings()), 1),
        ({"adapter": ADAPTER}, 1),
        ({"force": True}, 1),
        ({"inspect": False}, 0),
    ],
)
def test_what_is_moderated_is_left_out_unless_more_is_asked(put, make, settings, tables, options, count):  # noqa: PLR0917 - fixtures
    put("photos/a.jpg")
    tables.publish(make(), settings)

    plan = make("run-2", **options)

    assert plan.totals.to_analyse == count
    assert plan.totals.already_moderated == 1 - count


def test_failures_that_may_pass_are_tried_again(put, make, settings, tables):
    put("photos/a.jpg")
    tables.publish(make(), settings, status="failed", error_code="Throttling")

    assert make("run-2").totals.to_analyse == 1


def test_two_runs_at_once_never_have_the_same_picture(put, make, settings):
    put(*[f"photos/{index}.jpg" for index in range(12)])
    put("photos/bad.jpg", body=b"text")
    start = threading.Barrier(4)

    def run(number):
        start.wait(timeout=60)
        return make(f"run-{number}")

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(run, range(4)))

    taken = Counter(ref for plan in made if not plan.is_empty for ref in refs(plan, settings))
    assert len(taken) == 13
    assert set(taken.values()) == {1}
    assert sorted(plan.totals.claimed_elsewhere for plan in made) == [0, 13, 13, 13]


def test_two_attempts_at_one_run_get_the_same_plan(put, make, settings):
    put("photos/a.jpg")
    start = threading.Barrier(3)

    def attempt(_):
        start.wait(timeout=60)
        return make()

    with ThreadPoolExecutor(3) as pool:
        uris = {plan.uri for plan in pool.map(attempt, range(3))}

    assert len(uris) == 1


def test_a_claim_that_ran_out_or_was_released_keeps_nothing(put, make, settings):
    put("photos/a.jpg")
    dead = make("dead", settings=replace(settings, claim_hours=-1))
    assert make("heir").totals.to_analyse == 1
    put("photos/b.jpg")
    waiting = make("given up")
    assert waiting.totals.to_analyse == 1
    planner.release(waiting, settings=settings)
    assert make("other").totals.to_analyse == 1
    assert dead.totals.to_analyse == 1


def test_a_run_that_comes_back_goes_on_if_nobody_took_its_pictures(put, make, settings):
    put("photos/a.jpg")
    plan = make()
    planner.release(plan, settings=settings)

    assert make() == plan
    assert make("other").totals.claimed_elsewhere == 1


@pytest.mark.parametrize("how", ["claimed", "published"])
def test_a_run_that_comes_back_too_late_plans_what_is_left(put, make, settings, tables, s3_client, how):  # noqa: PLR0917 - fixtures
    put("photos/a.jpg")
    plan = make()
    planner.release(plan, settings=settings)
    other = make("other")
    if how == "published":
        tables.publish(other, settings)
    put("photos/b.jpg")

    again = make()

    assert is_closed(plan, s3=s3_client)
    assert again.plan_number == 2
    assert [ref.rpartition("/")[2] for ref in refs(again, settings)] == ["b.jpg"]


def test_a_claim_for_less_does_not_hold_back_who_asks_for_more(put, make):
    put("photos/a.jpg")
    make("strict", min_confidence=80)

    assert make("broad", min_confidence=50).totals.to_analyse == 1
    assert make("as strict", min_confidence=90).totals.claimed_elsewhere == 1


def test_a_renewed_claim_holds(put, make, settings, tables):
    put("photos/a.jpg")
    plan = make("long", settings=replace(settings, claim_hours=-1))

    planner.renew_claim(plan, settings=settings, published=tables)

    assert make("other").totals.claimed_elsewhere == 1


@pytest.mark.parametrize("how", ["claimed", "published"])
def test_a_claim_that_others_came_after_is_not_renewed(put, make, settings, tables, how):
    put("photos/a.jpg")
    plan = make("waits", settings=replace(settings, claim_hours=-1))
    other = make("quick")
    if how == "published":
        tables.publish(other, settings)

    with pytest.raises(PlanError, match="other runs took some of its images; clear the task discover"):
        planner.renew_claim(plan, settings=settings, published=tables)


def test_the_claims_of_runs_that_died_are_deleted_by_the_next_plan(put, make, settings, s3_client):
    put("photos/a.jpg")
    held = claims.uri_of(settings, make("alive"))
    put("photos/b.jpg")
    dead = claims.uri_of(settings, make("dead", settings=replace(settings, claim_hours=-1)))
    torn = held.replace("alive", "torn").rpartition("/")[0] + "/torn.json"
    s3_objects.put(s3_client, torn, b"{")

    make("next", settings=replace(settings, claim_hours=0))

    assert [s3_objects.exists(s3_client, uri) for uri in (held, dead, torn)] == [True, False, False]


@pytest.mark.parametrize(
    "crash_at", ["write_inputs", "claims.write", "s3_objects.put_if_absent", "_reference", "estimate"]
)
def test_a_crash_at_any_step_leaves_no_plan_and_a_retry_makes_it(put, make, settings, monkeypatch, crash_at):
    put("photos/a.jpg", "photos/b.jpg")
    target = {
        "write_inputs": "moderation.plan.draft.write_inputs",
        "claims.write": "moderation.plan.claims.write",
        "s3_objects.put_if_absent": "moderation.plan.planner.s3_objects.put_if_absent",
        "_reference": "moderation.plan.draft.Draft._reference",
        "estimate": "moderation.plan.draft.estimate",
    }[crash_at]

    def crash(*arguments, **options):
        if crash_at.endswith("put_if_absent") and not arguments[1].endswith("/plan.json"):
            return real(*arguments, **options)
        if crash_at.endswith("put_if_absent") and "/locks/" in arguments[1]:
            return real(*arguments, **options)
        raise KeyboardInterrupt

    real = s3_objects.put_if_absent
    with monkeypatch.context() as patch:
        patch.setattr(target, crash)
        with suppress(KeyboardInterrupt):
            make()
            pytest.fail("did not crash")
    assert find_open_plan(settings, run_key("dag", "run-1")) is None

    plan = make()

    assert (plan.plan_number, plan.totals.to_analyse) == (1, 2)


def test_who_lost_the_lock_while_planning_writes_no_plan(put, make, settings, monkeypatch):
    put("photos/a.jpg")
    real = claims.write

    def slow(s3, settings, plan):
        real(s3, settings, plan)
        uri = s3_objects.join_uri(settings.work_uri, "locks", "plan.json")
        s3_objects.put(s3, uri, b'{"owner":"thief","token":"t","released":true}')

    with monkeypatch.context() as patch:
        patch.setattr("moderation.plan.claims.write", slow)
        with pytest.raises(lease.LeaseLost):
            make()

    assert find_open_plan(settings, run_key("dag", "run-1")) is None
    assert make().totals.to_analyse == 1


def test_a_dry_run_prices_and_leaves_no_trace(put, make, s3_client, bucket, tmp_path):
    put("photos/a.jpg", "photos/b.jpg")
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "c.jpg").write_bytes(pictures.picture())

    plan = make(dry_run=True)
    local = make(dry_run=True, source=str(tmp_path / "local"))

    assert (plan.totals.to_analyse, plan.expected_cost_usd) == (2, 0.002)
    assert local.totals.to_analyse == 1
    keys = [entry["Key"] for entry in s3_client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["photos/a.jpg", "photos/b.jpg"]


def test_a_local_folder_is_uploaded_planned_and_known_again(make, settings, tables, tmp_path, s3_client):
    folder = tmp_path / "local"
    (folder / "deep").mkdir(parents=True)
    names = ["a b.jpg", "#%+.jpg", "new\nline.jpg", "deep/e\u0301 \U0001f600.jpg"]
    for name in names:
        (folder / name).write_bytes(pictures.picture() + name.encode())
    (folder / "text.jpg").write_bytes(b"text")
    (folder / "huge.jpg").write_bytes(pictures.picture() + bytes(limits.IMAGE_MAX_BYTES))

    plan = make(source=str(folder))

    assert (plan.totals.to_analyse, plan.totals.rejected) == (4, 2)
    origins = read_inputs(plan, settings=settings)["origin"].to_pylist()
    assert sorted(origins) == sorted(str(folder / name) for name in [*names, "text.jpg", "huge.jpg"])
    sent = read_manifest(plan, plan.manifests[0].manifest_id, settings=settings)
    bodies = {s3_objects.read(s3_client, source_ref).body for source_ref in sent}
    assert bodies == {pictures.picture() + name.encode() for name in names}
    tables.publish(plan, settings)
    again = make("run-2", source=str(folder))
    assert again.is_empty
    assert again.totals.already_moderated == 4
    assert again.totals.refused_before == {"ImageTooLarge": 1, "InvalidImageFormat": 1}
    said = "4 already moderated, 2 refused before, unchanged (ImageTooLarge 1, InvalidImageFormat 1)."
    assert said in nothing_new(again)
    told = Spending(plan=again, backend="bulk", cost_usd=0.0, limit_usd=None).text()
    assert "refused before        2, unchanged (ImageTooLarge 1, InvalidImageFormat 1)\n" in told


def test_what_exceeds_the_plans_size_waits_for_the_next_run(put, make, settings, tables, monkeypatch):
    put(*[f"photos/{index}.jpg" for index in range(7)])

    first = make(max_images=3)
    assert (first.totals.to_analyse, first.totals.postponed) == (3, 4)
    tables.publish(first, settings)
    monkeypatch.setattr(draft, "MAX_MANIFESTS", 2)
    second = make("run-2", max_lines=1)
    assert (second.totals.to_analyse, second.totals.postponed, len(second.manifests)) == (2, 2, 2)


def test_an_object_named_twice_is_analysed_once(put, make, settings, bucket, s3_client):
    put("photos/a.jpg")
    row = f'"{bucket}","photos/a.jpg","10","2026-01-0%d","%s"\n'
    content = gzip.compress((row % (1, "old") + row % (2, "new")).encode())
    put("inv/0.csv.gz", body=content)
    manifest = {
        "destinationBucket": f"arn:aws:s3:::{bucket}",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
        "files": [{"key": "inv/0.csv.gz"}],
    }
    put("inv/manifest.json", body=json.dumps(manifest).encode())

    plan = make(source=f"s3://{bucket}/inv/manifest.json", inspect=False)

    assert (plan.totals.listed, plan.totals.ignored, plan.totals.to_analyse) == (2, 1, 1)
    assert plan.left_out == {"mentioned again": 1}
    assert read_inputs(plan, settings=settings)["etag"].to_pylist() == ["new"]


@pytest.mark.parametrize("flip", [1, 4, 32, 255])
def test_every_single_damaged_byte_of_a_plan_is_noticed(put, make, s3_client, flip):
    put("photos/a.jpg")
    plan = make()
    body = s3_objects.read(s3_client, plan.uri).body

    for position in range(len(body)):
        damaged = bytearray(body)
        damaged[position] ^= flip
        with pytest.raises(PlanError, match=re.escape(plan.uri)):
            Plan.from_json(bytes(damaged), plan.uri)


@pytest.mark.parametrize("name", ["published", "abandoned"])
def test_every_single_damaged_byte_of_a_marker_is_noticed(put, make, settings, s3_client, name):
    put("photos/a.jpg")
    plan = make()
    close(plan, name, s3=s3_client)
    uri = f"{plan.folder_uri}/{name}.json"
    body = s3_objects.read(s3_client, uri).body
    assert is_closed(plan, s3=s3_client)

    for position in range(len(body)):
        damaged = bytearray(body)
        damaged[position] ^= 1
        s3_objects.put(s3_client, uri, bytes(damaged))
        with pytest.raises(PlanError, match=re.escape(uri)):
            is_closed(plan, s3=s3_client)


def test_every_single_damaged_byte_of_a_sealed_file_is_noticed():
    content = {"load_id": "20261122T020000Z-4f1c0a9b77de", "hours": 24.0, "adapter": None, "list": [1, "ü"]}
    body = seal(content)
    assert unseal(body) == content

    for position in range(len(body)):
        for value in range(256):
            damaged = bytearray(body)
            damaged[position] = value
            if damaged != body:
                with pytest.raises(SealBroken):
                    unseal(bytes(damaged))
    for length in range(len(body)):
        with pytest.raises(SealBroken):
            unseal(body[:length])


def test_a_manifest_that_was_changed_stops_the_run_before_anything_is_paid(put, make, settings, s3_client):
    put("photos/a.jpg")
    plan = make()
    manifest = plan.manifests[0]
    body = bytearray(s3_objects.read(s3_client, manifest.uri).body)
    body[20] ^= 1
    s3_objects.put(s3_client, manifest.uri, bytes(body))
    with pytest.raises(ManifestError, match=manifest.manifest_id):
        stages.job_arguments(plan.uri, settings=settings)


def test_damaged_inputs_and_claims_are_noticed(put, make, settings, s3_client):
    put("photos/a.jpg")
    plan = make()
    s3_objects.put(s3_client, claims.uri_of(settings, plan), b"{")
    with pytest.raises(PlanError, match="is damaged"):
        make("other")
    planner.release(plan, settings=settings)
    body = bytearray(s3_objects.read(s3_client, plan.inputs_uri).body)
    body[100] ^= 1
    s3_objects.put(s3_client, plan.inputs_uri, bytes(body))
    with pytest.raises(PlanError, match="was changed"):
        read_inputs(plan, settings=settings)
    with pytest.raises(PlanError, match="there is no plan"):
        load_plan(plan.uri.replace("plan-001", "plan-009"), settings=settings)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"min_confidence": 150}, "min_confidence=150"),
        ({"min_confidence": -1}, "min_confidence=-1"),
        ({"min_confidence": float("nan")}, "min_confidence=nan"),
        ({"adapter": "my-adapter"}, "adapter='my-adapter'"),
        ({"backend": "fast"}, "backend='fast'"),
        ({"job_name": "my job"}, "job_name='my job'"),
        ({"max_images": 0}, "max_images=0"),
        ({"max_lines": 10_001}, "max_lines=10001"),
        ({"logical_time": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001 - that is the fault
        ({"run_key": "a/b"}, "run_key='a/b'"),
    ],
)
def test_a_request_out_of_range_is_an_error_that_names_the_argument(options, says):
    arguments = {"run_key": "r", "source": "s3://b/p", "logical_time": NOON, **options}

    with pytest.raises(PlanError, match=re.escape(says)):
        PlanRequest(**arguments)


def test_a_source_that_cannot_be_read_is_an_error(make):
    with pytest.raises(PlanError, match="is no folder"):
        make(source="/no/such/folder")
    with pytest.raises(s3_objects.S3Error, match="NoSuchBucket"):
        make(source="s3://no-such-bucket-anywhere/x")
