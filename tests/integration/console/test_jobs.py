"""Counts, tiles and exports of a job are what SQL says of the published tables."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from moderation.console.index.load_index import FORMAT
from moderation.publish.commit import publish
from moderation.query.published_views import open_published
from moderation.query.queries import query
from moderation.report.counts import build_report
from moderation.report.text import to_text
from support.console_load import FLAGGED, ODD, PICTURES
from support.planned_runs import Run, answer, line, make_settings

MODERATED = sum(picture.labels is not None for picture in PICTURES.values())


def counts_of(page: str) -> dict[str, int]:
    found = re.findall(r'id="count-(\w+)">([\d,]+)<', page)
    return {name: int(number.replace(",", "")) for name, number in found}


def tiles(console, load_id, **query):
    answer = console.get(f"/jobs/{load_id}/tiles", params={"offset": 0, "limit": 100, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("at", [None, 0, 52.25, 52.26, 60, 71, 94.5, 94.6, 100])
def test_counts_are_those_of_sql_at_every_threshold(console, console_world, load_id, at):
    settings = console_world[0]
    with open_published(settings) as published:
        sql = "SELECT count(DISTINCT source_ref) FROM labels WHERE confidence >= ?"
        ((flagged,),) = published.execute(sql, [50 if at is None else at]).fetchall()
    page = console.get(f"/jobs/{load_id}", params={} if at is None else {"at": at}).text
    found = counts_of(page)
    assert found == {
        "flagged": flagged,
        "unflagged": MODERATED - flagged,
        "all": MODERATED,
        "failed": len(PICTURES) - MODERATED + 1,
    }


def test_the_tree_counts_images_under_every_label_above(console, load_id):
    page = console.get(f"/jobs/{load_id}").text
    tree = re.findall(r'<li class="l(\d)"><a [^>]*>([^<]+)</a> <span class="n">(\d+)', page)
    found = {name: (int(level), int(images)) for level, name, images in tree}
    assert found["Violence"] == (1, 2)
    assert found["Graphic Violence"] == (2, 2)
    assert found["Weapon Violence"] == (3, 2)
    assert found["Gambling"] == (1, 1)


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({"label": "Violence"}, ["a/gun.jpg", "a/faint.jpg"]),
        ({"label": "Violence", "at": 60}, ["a/gun.jpg"]),
        ({"label": "Violence › Graphic Violence", "order": "doubtful"}, ["a/faint.jpg", "a/gun.jpg"]),
        ({"show": "unflagged"}, ["a/plain.jpg", "b/clear.png"]),
        ({"show": "all", "type": "animated"}, ["b/clear.png"]),
        ({"show": "all", "q": "B/PLAIN"}, ["b/plain-again.jpg"]),
        ({"show": "all", "q": "%"}, []),
        ({"show": "failed", "order": "name"}, ["c/broken.jpg", "c/too-long-a-key.jpg"]),
        ({"show": "failed", "code": "KeyTooLong"}, ["c/too-long-a-key.jpg"]),
        ({"show": "all", "q": "'; DROP TABLE image; --"}, []),
    ],
)
def test_a_filter_shows_just_those_images(console, load_id, query, keys):
    found = tiles(console, load_id, **query)
    assert [tile["name"] for tile in found["tiles"]] == keys
    assert found["total"] == len(keys)


def test_identical_content_is_one_tile_with_its_copies(console, load_id):
    found = tiles(console, load_id, show="unflagged")["tiles"]
    assert {tile["name"]: tile["copies"] for tile in found} == {"a/plain.jpg": 2, "b/clear.png": 1}


def test_pages_of_tiles_are_the_whole_in_its_order(console, load_id):
    whole = tiles(console, load_id, show="all")
    parts = [
        console.get(f"/jobs/{load_id}/tiles", params={"show": "all", "offset": place, "limit": 3}).json()
        for place in range(0, whole["total"], 3)
    ]
    assert [tile for part in parts for tile in part["tiles"]] == whole["tiles"]


@pytest.mark.parametrize(
    "query", [{}, {"show": "all", "order": "name"}, {"show": "failed"}, {"label": "Violence"}]
)
def test_a_selection_comes_with_its_first_tiles(console, load_id, query):
    for part in ({}, {"part": "side"}):
        page = console.get(f"/jobs/{load_id}", params=query | part).text
        (given,) = re.findall(r'<script type="application/json" id="tiles">(.*?)</script>', page, re.DOTALL)
        asked = tiles(console, load_id, **query)["tiles"]
        assert asked
        assert json.loads(given) == asked


def test_names_and_labels_are_text_whatever_they_hold(console, load_id):
    page = console.get(f"/jobs/{load_id}?show=all").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<i>c</i>" not in page
    assert ODD in {tile["name"] for tile in tiles(console, load_id, show="all")["tiles"]}


def test_the_ladder_tells_the_flagged_images_at_each_step(console, load_id):
    page = console.get(f"/jobs/{load_id}").text
    ladder = [int(number) for number in re.search(r'data-ladder="\[([^"]*)\]"', page)[1].split(",")]
    assert len(ladder) == 101
    for step in (0, 50, 53, 61, 72, 95, 100):
        assert ladder[step] == counts_of(console.get(f"/jobs/{load_id}?at={step}").text)["flagged"]


def test_the_jobs_page_counts_what_is_flagged(console, load_id):
    assert load_id in console.get("/").text
    answer = console.get("/flagged", params={"load": [load_id, "20260101T000000Z-000000000000"]})
    assert answer.json() == {load_id: FLAGGED}


def test_the_jobs_page_tells_the_name_the_backend_and_the_model_of_each_load(console, load_id):
    answer = console.get("/described", params={"load": [load_id, "20260101T000000Z-000000000000"]})
    assert answer.json() == {load_id: {"name": "job", "backend": "bulk", "model": "7.0"}}


def test_a_load_whose_plan_is_gone_has_a_backend_and_no_name(console_world, load_id, tmp_path, aws_env):
    from support.console_load import served  # noqa: PLC0415 - another console than the fixture's

    moved = replace(console_world[0], work_uri=f"{console_world[0].work_uri}/elsewhere")
    with served(moved, tmp_path / "cache") as other:
        answer = other.get("/described", params={"load": load_id})
    assert answer.json() == {load_id: {"name": "", "backend": "bulk", "model": "7.0"}}


@pytest.mark.slow
def test_the_model_that_is_told_is_the_one_that_answered_and_not_the_least_that_counts(
    tmp_path, bucket, s3_client, aws_env
):
    from support.console_load import served  # noqa: PLC0415 - another console than the fixture's

    settings = make_settings(tmp_path, bucket, tables="local")
    run = Run(settings, s3_client)
    for model in ("7.2", "7.1", None):
        ref = f"s3://{bucket}/{model}.jpg"
        errors = [{"source-ref": ref, "code": "InvalidImageFormatException", "message": "no"}]
        results = line(ref, answer(model=model)) if model else b""
        summary = None if model else {"errors": errors}
        run.manifest([ref], results, summary=summary, model_version=model)
    plan = run.store()
    assert plan.model_version == "7.0"
    load_id = publish(settings, plan, run.records).load_id
    with served(settings, tmp_path / "cache") as console:
        assert console.get("/described", params={"load": load_id}).json()[load_id]["model"] == "7.1 and 7.2"
        page = console.get(f"/jobs/{load_id}").text
    assert re.search(r"<dt>Model</dt><dd[^>]*>7\.1 and 7\.2</dd>", page)
    assert "model 7.1 and 7.2\n" in to_text(build_report(settings, load_id))


def test_thresholds_in_use_decide_what_is_flagged_everywhere(
    console, load_id, tmp_path, aws_env, console_world
):
    from support.console_load import served  # noqa: PLC0415 - another console than the fixture's

    file = tmp_path / "thresholds.toml"
    file.write_text('version = "v2"\ndefault = 58\n[labels]\n"Gambling" = 90\n')
    aws_env.setenv("MODERATION_THRESHOLDS", str(file))
    with served(console_world[0], tmp_path / "cache") as other:
        page = other.get(f"/jobs/{load_id}").text
        assert counts_of(page)["flagged"] == 2  # the gun and the odd one; Gambling has 71
        assert "As in use (v2)" in page
        assert other.get("/flagged", params={"load": load_id}).json() == {load_id: 2}
        names = {tile["name"] for tile in tiles(other, load_id)["tiles"]}
    assert names == {"a/gun.jpg", ODD}
    with open_published(console_world[0], load_id=load_id) as connection:
        flagged = "SELECT count(*) FROM images_in_use WHERE flagged"
        assert connection.execute(flagged).fetchone() == (2,)
        by_rows = "SELECT count(DISTINCT (manifest_id, line_number)) FROM labels_in_use"
        assert connection.execute(by_rows).fetchone() == (2,)
        day = connection.execute(query("images_by_day_and_status").sql).fetchall()
        assert sum(row[2] for row in day) == 2
    counted = build_report(console_world[0], load_id)
    assert counted.flagged == 2
    assert "58, 1 labels by their own (version v2)" in to_text(counted)


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_an_export_holds_every_image_of_the_selection(console, load_id, kind, console_world):
    answer = console.get(f"/jobs/{load_id}/export.{kind}", params={"show": "all"})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    if kind == "csv":
        refs = [row["source_ref"] for row in csv.DictReader(io.StringIO(answer.content.decode()))]
    elif kind == "parquet":
        refs = pq.read_table(io.BytesIO(answer.content)).column("source_ref").to_pylist()
    else:
        refs = re.findall(r'"source-ref": "(s3://[^\n]*)"}', answer.text)
        assert len(refs) == answer.text.count("\n")
    assert len(refs) == MODERATED


def test_a_spreadsheet_takes_no_cell_of_an_export_for_a_formula(console, load_id):
    rows = csv.DictReader(io.StringIO(console.get(f"/jobs/{load_id}/export.csv").content.decode()))
    assert "'=2+2.jpg" in {row["key"] for row in rows}


@pytest.mark.slow
def test_an_index_that_is_damaged_is_made_anew(console, console_world, load_id, tmp_path):
    from support.console_load import served  # noqa: PLC0415

    settings = console_world[0]
    before = counts_of(console.get(f"/jobs/{load_id}").text)
    for damage in (b"", b"no database", b"\0" * 20_000):
        cache = tmp_path / f"cache-{len(damage)}"
        (cache / "loads").mkdir(parents=True)
        (cache / "loads" / f"{load_id}-{FORMAT}.duckdb").write_bytes(damage)
        with served(settings, cache) as other:
            assert counts_of(other.get(f"/jobs/{load_id}").text) == before


@pytest.mark.slow
def test_damage_that_is_met_while_reading_is_said_and_the_index_made_anew(
    console, console_world, load_id, tmp_path
):
    from support.console_load import served  # noqa: PLC0415

    before = counts_of(console.get(f"/jobs/{load_id}").text)
    with served(console_world[0], tmp_path / "cache") as other:
        other.get(f"/jobs/{load_id}")
    (file,) = (tmp_path / "cache" / "loads").glob("*.duckdb")
    whole = file.read_bytes()
    answers = set()
    for place in range(12_288 + 100, len(whole), 262_144):  # a bit of each block of data, past the headers
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with served(console_world[0], tmp_path / "cache") as other:
            answer = other.get(f"/jobs/{load_id}")
            answers.add(answer.status_code)
            if answer.status_code == 503:
                assert "made anew" in answer.json()["error"]
                answer = other.get(f"/jobs/{load_id}")
            assert counts_of(answer.text) == before
    assert answers <= {200, 503}


@pytest.mark.parametrize("name", ["none", "20260101T000000Z-000000000000", "..%2F..%2Fetc", "%00"])
def test_a_load_that_is_not_there_is_said(console, name):
    answer = console.get(f"/jobs/{name}", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "All jobs" in answer.text
