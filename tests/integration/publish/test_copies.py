"""Images of one content are paid for once, and each has rows of its own."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from moderation import schema
from moderation.analyse.record import JobStatus
from moderation.maintenance.compaction import compact
from moderation.maintenance.rebuild import rebuild
from moderation.plan.content.answers import OF_LABELS
from moderation.plan.plan import COPIES, Plan, PlanError
from moderation.publish import commit
from moderation.publish.commit import PublishedLoad, publish
from moderation.query.replay import replay
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables import catalog
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.ledger.layout import OF_IMAGES
from moderation.tables.published import scan
from moderation.warehouses.duckdb import DuckDBWarehouse
from moderation.warehouses.reading import open_warehouse
from support import planned_runs
from support import rekognition_server as offline
from support.copied_images import Gallery
from support.hand_runs import Runs, hand_made_runs  # noqa: F401 - a fixture
from support.killed import killed_at
from support.published_loads import expected, rows
from support.put_back import MadeOnce

ADAPTER = "arn:aws:rekognition:us-east-1:123456789012:project/p/version/v/1700000000000"


@pytest.fixture
def fresh(tmp_path: Path, bucket: str, aws_env: Any, s3_client: Any) -> Gallery:
    """Six images of three contents, of which nothing is known yet."""
    return made(planned_runs.make_settings(tmp_path, bucket, tables="local"), s3_client, bucket)


def made(settings: Settings, s3_client: Any, bucket: str) -> Gallery:
    gallery = Gallery(settings, s3_client, bucket)
    gallery.put(a=1, b=1, c=2, d=1, e=2, f=3)
    return gallery


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    return MadeOnce(tmp_path_factory.mktemp("night"))


@pytest.fixture
def gallery(made_once: MadeOnce, bucket: str, aws_env: Any, s3_client: Any) -> Gallery:
    """The same after a first run, `night`, over all of it."""

    def make(settings: Settings) -> tuple[Gallery, PublishedLoad]:
        first = made(settings, s3_client, bucket)
        return first, first.run("night")

    made_once.get(s3_client, bucket, make)
    after, _ = made_once.made
    return replace(after, s3=s3_client, paid=Counter(after.paid), contents=dict(after.contents))


@pytest.fixture
def night(made_once: MadeOnce, gallery: Gallery) -> PublishedLoad:
    _, load = made_once.made
    return load


def answered(gallery: Gallery) -> dict[str, set[Any]]:
    """What stands of each content's images and labels, without whose they are."""
    tables = expected(gallery.settings)
    found: dict[str, set[Any]] = {}
    for name, columns in {
        "images": OF_IMAGES,
        **dict.fromkeys(("labels_l1", "labels_l2", "labels_l3"), OF_LABELS),
    }.items():
        for row in tables[name].to_pylist():
            content = gallery.contents[row["source_ref"]]
            told = tuple(row.get(column) for column in columns)
            found.setdefault(f"{name} {content}", set()).add(told)
    return found


def test_of_a_content_one_image_is_sent_and_each_has_rows_of_its_own(
    gallery: Gallery, night: PublishedLoad
) -> None:
    assert gallery.paid == {1: 1, 2: 1, 3: 1}
    images = gallery.images()
    assert {row["status"] for row in images.values()} == {"moderated"}
    keys = Counter((row["load_id"], row["manifest_id"], row["line_number"]) for row in images.values())
    assert len(keys) == 6
    told = ("images", "contents", "copies", "billed")
    assert [night.row[name] for name in told] == [6, 3, 3, 3]
    assert night.row["cost_usd"] == pytest.approx(0.003)
    assert all(len(said) == 1 for said in answered(gallery).values())
    labels = expected(gallery.settings)["labels_l3"]
    assert sorted(labels["source_ref"].to_pylist()) == sorted(map(gallery.ref, "abcdef"))
    for row in images.values():
        if row["manifest_id"] == COPIES:
            place = (row["answer_of_manifest_id"], row["answer_of_line"])
            (of,) = (
                name
                for name, other in images.items()
                if (other["manifest_id"], other["line_number"]) == place and other["answer_of_line"] is None
            )
            assert images[of]["etag"] == row["etag"]
            assert row["answer_of_load_id"] == night.load_id


def test_the_next_run_over_the_same_images_has_nothing_to_do(gallery: Gallery) -> None:
    plan = gallery.plan("next")
    assert plan.is_empty
    assert plan.totals.already_moderated == 6


def test_a_new_name_of_a_known_content_gets_its_answer_and_nothing_is_sent(
    gallery: Gallery, night: PublishedLoad
) -> None:
    gallery.put(x=1, y=9, z=9)
    plan = gallery.plan("next")
    assert (plan.totals.to_analyse, plan.totals.copies, plan.totals.contents) == (1, 2, 2)
    second = gallery.publish(plan)
    assert gallery.paid == {1: 1, 2: 1, 3: 1, 9: 1}
    assert second.row["billed"] == 1
    assert gallery.images()["x"]["answer_of_load_id"] == night.load_id
    assert all(len(said) == 1 for said in answered(gallery).values())


def test_a_run_of_copies_alone_is_published_without_a_job(gallery: Gallery) -> None:
    gallery.put(x=1, y=2)
    load = gallery.run("next")
    assert (load.row["images"], load.row["billed"], load.row["manifests"]) == (2, 0, 0)
    assert load.row["cost_usd"] == 0


@pytest.mark.slow
def test_a_copy_of_a_copy_names_the_image_that_was_sent(gallery: Gallery, night: PublishedLoad) -> None:
    gallery.put(x=1)
    second = gallery.run("second")
    with catalog.open_catalog(gallery.settings) as opened:
        table = catalog.load_table(opened, schema.LOADS)
        assert table is not None
        table.delete(f"load_id = '{night.load_id}'")  # rolled back, or erased
    for name in "abcdef":
        gallery.s3.delete_object(Bucket=gallery.bucket, Key=f"photos/{name}.jpg")
    gallery.put(y=1)
    third = gallery.run("third")
    assert (second.row["billed"], third.row["billed"]) == (0, 0)
    assert gallery.images()["y"]["answer_of_load_id"] == night.load_id


@pytest.mark.slow
def test_a_copy_tells_the_base_model_behind_the_answer_that_it_gets(fresh: Gallery) -> None:
    first, second = ({"adapter": ADAPTER, "base_model_version": version} for version in ("7.1", "7.2"))
    fresh.run("night", **first)
    fresh.put(x=1, y=9, z=9)
    fresh.run("next", **second)
    told = {name: row["base_model_version"] for name, row in fresh.images().items()}
    assert told == dict.fromkeys("abcdefx", "7.1") | dict.fromkeys("yz", "7.2")
    assert all(load.is_proven and load.is_same_digest for load in rebuild(fresh.settings))
    again = {name: row["base_model_version"] for name, row in fresh.images().items()}
    assert again == told


def test_a_plan_whose_known_answers_lack_a_later_column_is_published(gallery: Gallery) -> None:
    gallery.put(x=1)
    plan = gallery.plan("next")
    known = dict(plan.known)
    uri = next(uri for uri in known if "/known-labels" not in uri)
    earlier = pq.read_table(io.BytesIO(s3_objects.read(gallery.s3, uri).body)).drop_columns(
        ["base_model_version"]
    )
    written = io.BytesIO()
    pq.write_table(earlier, written)
    s3_objects.put(gallery.s3, uri, written.getvalue())
    known[uri] = hashlib.sha256(written.getvalue()).hexdigest()
    gallery.publish(replace(plan, known=known))
    assert gallery.images()["x"]["base_model_version"] is None
    assert gallery.images()["x"]["status"] == "moderated"


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        pytest.param({"min_confidence": 20.0}, 3, id="lower threshold"),
        pytest.param({"force": True}, 3, id="force", marks=pytest.mark.long),
        pytest.param({"adapter": ADAPTER}, 3, id="adapter"),
        pytest.param({}, 0, id="the same", marks=pytest.mark.long),
    ],
)
def test_an_answer_to_another_question_is_no_answer(
    gallery: Gallery, change: dict[str, Any], asked: int
) -> None:
    gallery.put(x=1)
    assert gallery.plan("next", **change).totals.to_analyse == asked


@pytest.mark.slow
def test_what_lies_in_the_content_is_the_copies_too_and_anything_else_leaves_them_owed(
    fresh: Gallery,
) -> None:
    plan = fresh.plan("night")
    sent = {row["source_ref"]: row for row in fresh.inputs(plan) if row["copies"]}
    codes = {1: "InvalidImageFormatException", 2: "AccessDeniedException"}
    fresh.fails = {ref: codes[fresh.contents[ref]] for ref in sent}
    load = fresh.publish(plan)
    outcomes = {
        (fresh.contents[row["source_ref"]], row["manifest_id"] == COPIES): (
            row["status"],
            row["error_code"],
        )
        for row in fresh.images().values()
    }
    assert outcomes == {
        (1, False): ("failed", "InvalidImageFormat"),
        (1, True): ("failed", "InvalidImageFormat"),
        (2, False): ("failed", "AccessDenied"),
        (2, True): ("not_attempted", "SameContentOwed"),
        (3, False): ("moderated", None),
    }
    assert load.row["copies"] == 2
    fresh.fails = {}
    fresh.put(x=1)
    again = fresh.plan("next")
    assert (again.totals.to_analyse, again.totals.copies) == (1, 2)  # x is refused for its content
    assert again.totals.refused == 3
    fresh.publish(again)
    assert fresh.paid == {2: 1, 3: 1}


def test_a_job_that_never_ran_leaves_its_copies_owed(fresh: Gallery) -> None:
    load = fresh.publish(
        fresh.plan("night"), status=JobStatus.NOT_STARTED, results_uri=None, summary_uri=None
    )
    assert load.row["not_attempted"] == 6
    assert load.row["copies"] == 0


@pytest.mark.slow
def test_without_the_setting_each_image_is_paid_for(fresh: Gallery) -> None:
    fresh.settings = replace(fresh.settings, share_answers=False)
    load = fresh.run("night")
    assert fresh.paid == {1: 3, 2: 2, 3: 1}
    assert (load.row["contents"], load.row["copies"]) == (3, 0)


def test_what_no_digest_proves_is_never_shared(fresh: Gallery) -> None:
    for name in ("m1", "m2"):
        upload = fresh.s3.create_multipart_upload(Bucket=fresh.bucket, Key=f"photos/{name}.jpg")
        where = {"Bucket": fresh.bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
        body = fresh.s3.get_object(Bucket=fresh.bucket, Key="photos/a.jpg")["Body"].read()
        part = fresh.s3.upload_part(**where, PartNumber=1, Body=body)
        parts = [{"ETag": part["ETag"], "PartNumber": 1}]
        fresh.s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    plan = fresh.plan("night")
    sent = {row["key"] for row in fresh.inputs(plan) if row["manifest"] is not None}
    assert {"photos/m1.jpg", "photos/m2.jpg"} <= sent
    assert plan.totals.contents == 5


@pytest.mark.slow
def test_what_is_beyond_the_plan_is_left_to_the_next_run_with_its_copies(fresh: Gallery) -> None:
    plan = fresh.plan("night", max_images=1)
    totals = plan.totals
    assert totals.to_analyse == 1
    assert totals.to_analyse + totals.copies + totals.postponed == 6
    fresh.publish(plan)
    for number in range(2):
        fresh.run(f"later {number}", max_images=1)
    assert fresh.paid == {1: 1, 2: 1, 3: 1}
    assert fresh.plan("last").is_empty


def test_a_dry_run_counts_the_same_and_writes_nothing(gallery: Gallery) -> None:
    gallery.put(x=1, y=9, z=9)
    dry = gallery.plan("dry", dry_run=True)
    assert (dry.totals.to_analyse, dry.totals.copies, dry.totals.contents) == (1, 2, 2)
    assert not dry.known


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [
        "added images",
        *(pytest.param(step, marks=pytest.mark.long) for step in ("built", "uploaded loads", "committed")),
    ],
)
def test_killed_anywhere_copies_are_published_once(gallery: Gallery, step: str) -> None:
    gallery.put(x=1, y=9, z=9)
    plan = gallery.plan("next")
    records = gallery.answer(plan)
    with killed_at(step, commit):
        publish(gallery.settings, plan, records)
    publish(gallery.settings, plan, records)
    assert len(gallery.images()) == 9
    assert expected(gallery.settings)["images"].num_rows == 9
    assert expected(gallery.settings)["labels_l3"].num_rows == 9


@pytest.mark.slow
def test_rebuilt_and_compacted_the_tables_tell_the_same_whatever_became_of_the_earlier_load(
    gallery: Gallery,
) -> None:
    gallery.put(x=1, y=9, z=9)
    gallery.run("next")
    before = {name: rows(table) for name, table in expected(gallery.settings).items()}
    assert all(load.is_proven and load.is_same_digest for load in rebuild(gallery.settings))
    assert {name: rows(table) for name, table in expected(gallery.settings).items()} == before
    compact(gallery.settings)
    assert {name: rows(table) for name, table in expected(gallery.settings).items()} == before
    gallery.put(w=1)
    assert gallery.plan("last").totals.copies == 1


@pytest.mark.slow
def test_a_redo_sends_one_image_of_what_is_owed_and_answers_its_copies(fresh: Gallery) -> None:
    plan = fresh.plan("night")
    fresh.fails = {
        row["source_ref"]: "AccessDeniedException"
        for row in fresh.inputs(plan)
        if fresh.contents[row["source_ref"]] == 1
    }
    load = fresh.publish(plan)
    fresh.fails = {}
    again = fresh.plan("redo", source=f"load:{load.load_id}")
    assert (again.totals.to_analyse, again.totals.copies) == (1, 2)
    fresh.publish(again)
    assert fresh.paid == {1: 1, 2: 1, 3: 1}
    assert {row["status"] for row in fresh.images(again.load_id).values()} == {"moderated"}
    assert fresh.plan("last").is_empty


def test_a_replay_tells_of_a_copy_what_it_tells_of_the_image_that_was_sent(
    gallery: Gallery, night: PublishedLoad
) -> None:
    DuckDBWarehouse(gallery.settings).load(night.load_id)
    with open_warehouse(gallery.settings.warehouse_path) as connection:
        told = replay(connection, min_confidence=60.5).project("source_ref, label_count, top_l1").fetchall()
    assert len(told) == 6
    by_content = {gallery.contents[ref]: set[tuple[Any, ...]]() for ref, *_ in told}
    for ref, *said in told:
        by_content[gallery.contents[ref]].add(tuple(said))
    assert [len(said) for said in by_content.values()] == [1, 1, 1]
    assert by_content[1] != by_content[2]  # of one the labels are below what is asked for


@pytest.mark.slow
def test_runs_that_are_open_at_once_pay_a_content_each_and_the_next_one_pays_none(fresh: Gallery) -> None:
    first = fresh.plan("first")
    fresh.put(x=1)
    second = fresh.plan("second")
    assert (second.totals.to_analyse, second.totals.copies) == (1, 0)
    fresh.publish(second)
    fresh.publish(first)
    assert fresh.paid == {1: 2, 2: 1, 3: 1}
    assert {name: row["status"] for name, row in fresh.images().items()} == dict.fromkeys(
        "abcdefx", "moderated"
    )
    fresh.put(y=1)
    third = fresh.run("third")
    assert (third.row["images"], third.row["billed"]) == (1, 0)


def test_known_answers_that_were_changed_stop_the_publish(gallery: Gallery) -> None:
    gallery.put(x=1)
    plan = gallery.plan("next")
    uri = next(iter(plan.known))
    gallery.s3.put_object(
        Bucket=gallery.bucket, Key=uri.removeprefix(f"s3://{gallery.bucket}/"), Body=b"other"
    )
    with pytest.raises(PlanError, match="was changed after it was planned"):
        gallery.publish(plan)


def test_labels_keep_the_order_of_the_answer(gallery: Gallery) -> None:
    for level in schema.LABELS:
        table = expected(gallery.settings)[f"labels_l{level}"]
        by_image = {
            ref: table.filter(pc.equal(table["source_ref"], ref)).select(["name", "confidence"]).to_pylist()
            for ref in table["source_ref"].to_pylist()
        }
        for ref, said in by_image.items():
            same = [
                other for name, other in by_image.items() if gallery.contents[name] == gallery.contents[ref]
            ]
            assert all(other == said for other in same)


@pytest.mark.long
def test_bulk_jobs_and_single_calls_give_each_copy_the_same_rows(
    hand_made_runs: Runs,  # noqa: F811 - a fixture
) -> None:
    runs = hand_made_runs
    runs.put("a", "b", "c")
    for name, copied in {"d": "a", "e": "a", "f": "b"}.items():
        source = {"Bucket": runs.bucket, "Key": f"photos/{copied}.jpg"}
        runs.s3.copy_object(Bucket=runs.bucket, Key=f"photos/{name}.jpg", CopySource=source)

    def told(plan: Plan) -> dict[str, list[dict[str, Any]]]:
        with open_catalog(runs.settings) as catalog:
            tables = {
                spec.name: [
                    row
                    for batch in scan(
                        load_table(catalog, spec), spec, spec.schema.names, load_ids={plan.load_id}
                    )
                    for row in batch.to_pylist()
                ]
                for spec in (schema.IMAGES, *schema.LABELS.values())
            }
        ways = {"load_id", "job_id", "manifest_id", "line_number", "moderated_at", "backend"}
        ways |= {"answer_of_load_id", "answer_of_manifest_id", "answer_of_line"}
        # Which image of a content is sent is drawn anew for each load: copies and originals are told alike.
        kept = {
            name: [{key: value for key, value in row.items() if key not in ways} for row in found]
            for name, found in tables.items()
        }
        return {
            name: sorted(found, key=lambda row: json.dumps(row, default=str)) for name, found in kept.items()
        }

    by_jobs = runs.discover("jobs", backend="bulk")
    for number in range(len(by_jobs.manifests)):
        offline.wait_for_job(runs.rekognition, runs.start_job(by_jobs, number)["JobId"])
    runs.publish(by_jobs)
    by_calls = runs.discover("calls", backend="detect", force=True)
    for number in range(len(by_calls.manifests)):
        runs.call(by_calls, number)
    runs.publish(by_calls)

    assert (by_jobs.totals.to_analyse, by_jobs.totals.copies) == (3, 3)
    assert (by_calls.totals.to_analyse, by_calls.totals.copies) == (3, 3)
    first, second = told(by_jobs), told(by_calls)
    assert len(first["images"]) == 6
    assert any(first[spec.name] for spec in schema.LABELS.values())
    assert first == second
