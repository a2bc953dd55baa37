"""Erasures of published loads: what stays is as it was, what went does not come back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from moderation.maintenance.erasure import erase as erasing
from moderation.maintenance.erasure import steps
from moderation.maintenance.erasure.erase import Elsewhere, Found
from moderation.maintenance.erasure.plans import OpenRunError
from moderation.maintenance.erasure.receipt import Receipt
from moderation.maintenance.erasure.search import names_any
from moderation.maintenance.erasure.wanted import Wanted
from moderation.maintenance.rebuild import rebuild
from moderation.maintenance.verify import verify
from moderation.plan import claims
from moderation.plan.planner import mark_published, release
from moderation.publish.commit import PublishedLoad
from moderation.publish.gone import mark
from moderation.publish.raw_answers import AnswersChangedError
from moderation.reference.content import content_id
from moderation.sources.gone import Looked
from moderation.storage.tombstones import TombstonesError, UnfinishedErasureError
from moderation.tables.ledger import upkeep
from moderation.warehouses.duckdb import DuckDBWarehouse
from support import planned_runs
from support.copied_images import Gallery
from support.killed import killed_at
from support.published_loads import expected, rows
from support.put_back import Install

NAMES = {"aardvark": 1, "badger": 1, "cormorant": 2, "dormouse": 1, "echidna": 2, "ferret": 3}


@pytest.fixture
def gallery(
    tmp_path: Path, bucket: str, aws_env: Any, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> Gallery:
    monkeypatch.setenv("MODERATION_SPOOL_DIR", str(tmp_path / "spool"))
    settings = planned_runs.make_settings(tmp_path, bucket, tables="local")
    settings = replace(settings, parquet_mirror=tmp_path / "mirror", warehouse_path=tmp_path / "w.duckdb")
    made = Gallery(settings, s3_client, bucket)
    made.put(**NAMES)
    return made


@pytest.fixture
def night(gallery: Gallery) -> PublishedLoad:
    """All images published: of each content one was sent, the others are copies of it."""
    plan = gallery.plan("night")
    load = gallery.publish(plan)
    mark_published(plan, settings=gallery.settings)
    upkeep.bring_up(gallery.settings)
    DuckDBWarehouse(gallery.settings).load(load.load_id)
    return load


def nothing_else(found: Found) -> Elsewhere:
    return Elsewhere()


def erase(gallery: Gallery, *names: str, **options: Any) -> Receipt:
    wanted = Wanted(frozenset(map(gallery.ref, names)))
    return erasing.erase(gallery.settings, wanted, elsewhere=nothing_else, **options)


def sent(gallery: Gallery, content: int) -> str:
    """The image of a content that was sent for all of them."""
    own = {name for name, row in gallery.images().items() if row["answer_of_load_id"] is None}
    return next(name for name in own if NAMES[name] == content)


def traces(gallery: Gallery, *names: str, etag: str | None = None) -> list[str]:
    """Whatever holds the key of an image, or this ETag; its source apart."""
    folder = Path(gallery.settings.warehouse_path).parent
    files = Install(gallery.settings, gallery.s3, gallery.bucket, folder).files()
    texts = [f"photos/{name}.jpg".encode() for name in names]
    texts += [etag.encode()] if etag else []
    return [
        name for name, body in files.items() if names_any(body, texts) and not name.startswith("s3:photos/")
    ]


def told(gallery: Gallery) -> dict[str, list[Any]]:
    """All that readers find, but for how files are called."""
    return {
        name: rows(
            table.drop_columns([one for one in ("digest", "files", "bytes") if one in table.schema.names])
        )
        for name, table in expected(gallery.settings).items()
    }


def others(table: pa.Table, gone: set[str]) -> list[Any]:
    return rows(table.filter(pa.array([ref not in gone for ref in table["source_ref"].to_pylist()])))


def test_nothing_names_an_image_any_more_and_what_others_got_of_it_stays_also_after_a_rebuild(
    gallery: Gallery, night: PublishedLoad
) -> None:
    name = sent(gallery, 1)
    gone = pa.array([gallery.ref(name)])
    mark(gallery.settings, Looked(source="s", at=datetime.now(UTC), missing=gone, back=gone[:0], still=0))
    assert len(traces(gallery, name)) > 5
    assert any("/gone/" in place for place in traces(gallery, name))
    before = expected(gallery.settings)
    receipt = erase(gallery, name)
    assert not receipt.left
    assert traces(gallery, name) == []
    after = expected(gallery.settings)
    for table in ("images", "labels_l1", "labels_l2", "labels_l3"):
        assert rows(after[table]) == others(before[table], {gallery.ref(name)})
    (load,) = after["loads"].to_pylist()
    assert (load["images"], load["copies"], load["billed"]) == (5, 3, 3)
    assert load["cost_usd"] == before["loads"].to_pylist()[0]["cost_usd"]
    found = told(gallery)
    (rebuilt,) = rebuild(gallery.settings)
    assert rebuilt.is_proven
    assert told(gallery) == found
    assert not verify(gallery.settings).damaged
    assert traces(gallery, name) == []


@pytest.mark.slow
def test_an_erased_content_goes_under_every_key_and_its_answer_with_it(
    gallery: Gallery, night: PublishedLoad
) -> None:
    row = gallery.images()["badger"]
    content = content_id(row["etag"], row["size_bytes"])
    assert content is not None
    assert any("/ledger/" in name for name in traces(gallery, etag=row["etag"]))
    wanted = Wanted(contents=frozenset([content]))
    receipt = erasing.erase(gallery.settings, wanted, elsewhere=nothing_else)
    assert not receipt.left
    assert sorted(gallery.images()) == ["cormorant", "echidna", "ferret"]
    gone = ("aardvark", "badger", "dormouse")
    assert traces(gallery, *gone, etag=row["etag"]) == []
    found = told(gallery)
    rebuild(gallery.settings)
    assert told(gallery) == found
    gallery.put(zebra=1)
    plan = gallery.plan("later")
    assert (plan.totals.inputs, plan.left_out["erased on request"]) == (0, 4)


@pytest.mark.slow
def test_a_load_of_which_no_image_is_left_stays_with_what_it_cost(
    gallery: Gallery, night: PublishedLoad
) -> None:
    receipt = erase(gallery, *NAMES)
    assert not receipt.left
    assert traces(gallery, *NAMES) == []
    (load,) = expected(gallery.settings)["loads"].to_pylist()
    assert (load["images"], load["contents"], load["billed"]) == (0, 0, 3)
    found = told(gallery)
    rebuild(gallery.settings)
    assert told(gallery) == found


@pytest.mark.slow
def test_a_later_listing_leaves_an_erased_key_out_whatever_it_holds_and_names_it_nowhere(
    gallery: Gallery, night: PublishedLoad
) -> None:
    erase(gallery, "ferret")
    gallery.put(ferret=7, gnu=8)
    plan = gallery.plan("next")
    assert plan.totals.to_analyse == 1
    assert plan.left_out == {"erased on request": 1}
    assert traces(gallery, "ferret") == []


@pytest.mark.slow
def test_the_same_asked_again_finds_nothing_to_do(gallery: Gallery, night: PublishedLoad) -> None:
    first = erase(gallery, "ferret")
    found = told(gallery)
    again = erase(gallery, "ferret")
    assert (again.name, again.counts["images"], again.left) == (first.name, 1, [])
    assert told(gallery) == found


@pytest.mark.slow
def test_a_run_under_way_keeps_its_images_and_may_be_given_up_once_it_holds_them_no_more(
    gallery: Gallery,
) -> None:
    plan = gallery.plan("open")
    gallery.answer(plan)
    assert claims.is_held(gallery.s3, gallery.settings, plan)
    with pytest.raises(OpenRunError, match="under way"):
        erase(gallery, "ferret")
    release(plan, settings=gallery.settings)
    with pytest.raises(OpenRunError, match="--abandon"):
        erase(gallery, "ferret")
    assert not erase(gallery, "ferret", abandon=True).left
    assert traces(gallery, "ferret") == []
    assert gallery.plan("open").left_out == {"erased on request": 1}


STEPS = (
    *("noted", "found", "reports", "ledger", "gone", "known", "answers of a manifest", "answers", "inputs"),
    "plans",
    *("erased images", "counted", "expired images", "removed images", "warehouse duckdb"),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [pytest.param(step, marks=() if step == "erased images" else pytest.mark.long) for step in STEPS],
)
def test_killed_at_any_step_an_erasure_is_finished_by_the_same_request(
    gallery: Gallery, night: PublishedLoad, step: str
) -> None:
    name = sent(gallery, 1)
    with killed_at(step, steps):
        erase(gallery, name)
    if step != "noted":
        with pytest.raises(UnfinishedErasureError, match="moderation erase"):
            rebuild(gallery.settings)
    assert not erase(gallery, name).left
    assert traces(gallery, name) == []
    found = told(gallery)
    rebuild(gallery.settings)
    assert told(gallery) == found
    assert len(gallery.images()) == 5


def test_without_its_list_of_erasures_nothing_is_planned(gallery: Gallery) -> None:
    receipt = erase(gallery, "ferret")
    uri = f"work/erased/{receipt.name}.json"
    gallery.s3.delete_object(Bucket=gallery.bucket, Key=uri)
    with pytest.raises(TombstonesError, match="backup"):
        gallery.plan("next")


def change_answers(gallery: Gallery) -> None:
    """Turn a digit of each confidence among the raw answers."""
    found = gallery.s3.list_objects_v2(Bucket=gallery.bucket, Prefix="work/runs/")["Contents"]
    bodies = {
        entry["Key"]: gallery.s3.get_object(Bucket=gallery.bucket, Key=entry["Key"])["Body"].read()
        for entry in found
        if entry["Key"].endswith("/results.jsonl")
    }
    changed = {key: body.replace(b'"Confidence": 7', b'"Confidence": 6') for key, body in bodies.items()}
    assert changed != bodies
    for key, body in changed.items():
        gallery.s3.put_object(Bucket=gallery.bucket, Key=key, Body=body)


@pytest.mark.slow
@pytest.mark.usefixtures("night")
def test_raw_answers_that_were_changed_are_noticed_before_and_after_lines_of_them_are_erased(
    gallery: Gallery,
) -> None:
    erase(gallery, sent(gallery, 1))
    change_answers(gallery)
    for read in (lambda: rebuild(gallery.settings), lambda: erase(gallery, sent(gallery, 2))):
        with pytest.raises(AnswersChangedError, match=r"results\.jsonl was changed .* bring back"):
            read()
