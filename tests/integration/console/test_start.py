"""Start analysis: images go to a place of the person's own, and nothing starts by itself."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from moderation.sources.open import open_source
from support.console_load import served
from support.planned_runs import make_settings


@pytest.fixture
def console(tmp_path, bucket, aws_env):
    from dataclasses import replace  # noqa: PLC0415

    settings = replace(make_settings(tmp_path, bucket, tables="local"), input_uri=f"s3://{bucket}/input")
    with served(settings, tmp_path / "cache") as client:
        yield client


ODD = "a folder/ü & 100% #1?.jpg"


def test_what_was_sent_is_there_under_its_path_and_is_told(console, s3_client, bucket):
    from urllib.parse import quote  # noqa: PLC0415

    assert console.put(f"/uploads/holiday/{quote(ODD)}", content=b"12345").status_code == 201
    assert console.get("/uploads/holiday").json() == {"files": {ODD: 5}}
    (entry,) = s3_client.list_objects_v2(Bucket=bucket)["Contents"]
    assert entry["Key"].endswith(f"-holiday/{ODD}")


@pytest.mark.parametrize(
    "path", ["..%2F..%2Fx.jpg", "a%2F..%2Fb.jpg", "a%2F%2Fb.jpg", ".%2Fa.jpg", "%00", "a" * 901]
)
def test_no_path_leaves_the_uploads_folder(console, s3_client, bucket, path):
    assert console.put(f"/uploads/holiday/{path}", content=b"1").status_code in {400, 404, 405}
    assert "Contents" not in s3_client.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("name", ["..", ".", "a b", "x" * 65])
def test_an_upload_has_a_plain_name(console, name):
    assert console.put(f"/uploads/{name}/a.jpg", content=b"1").status_code in {400, 404, 405}


def test_a_file_that_is_too_large_is_refused_and_not_stored(console, s3_client, bucket, monkeypatch):
    monkeypatch.setattr("moderation.console.pages.start.MAX_FILE_BYTES", 1000)
    assert console.put("/uploads/u/a.jpg", content=b"1" * 1001).status_code == 413
    assert "Contents" not in s3_client.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(("images", "cost"), [(0, 0.0), (1, 0.001), (1_000, 1.0), (25_000, 25.0)])
def test_the_price_is_told_before_the_start(console, images, cost):
    assert console.get(f"/start/price?images={images}").json()["cost_usd"] == pytest.approx(cost)


def test_a_place_in_s3_is_looked_at_before_the_start(console, s3_client, bucket):
    for number in range(3):
        s3_client.put_object(Bucket=bucket, Key=f"p/{number}.jpg", Body=b"12")
    found = console.get("/start/look", params={"source": f"s3://{bucket}/p/"}).json()
    assert found == {"objects": 3, "bytes": 6, "more": False}


@pytest.mark.parametrize("source", ["", "bucket/p", "file:///etc", "s3://", "https://x"])
def test_what_is_no_place_in_s3_is_refused(console, source):
    assert console.get("/start/look", params={"source": source}).status_code == 400
    assert console.post("/start", json={"source": source}).status_code == 400


@pytest.mark.parametrize(("name", "status"), [("a" * 24, 200), ("a" * 25, 400), ("a b", 400)])
def test_a_name_is_taken_as_the_run_takes_it(console, name, status):
    assert console.post("/start", json={"upload": "holiday", "name": name}).status_code == status


def test_where_nothing_can_start_a_run_the_command_is_told(console):
    console.put("/uploads/holiday/a.jpg", content=b"1")
    wanted = {"upload": "holiday", "name": "it's", "min_confidence": 5}
    assert console.post("/start", json=wanted).status_code == 400
    answer = console.post("/start", json=wanted | {"name": "mine"}).json()
    words = shlex.split(answer["command"])
    assert words[:4] == ["airflow", "dags", "trigger", "moderate_images"]
    conf = json.loads(words[-1])
    assert conf["min_confidence"] == 5
    assert conf["job_name"] == "mine"
    assert re.fullmatch(r"s3://test-[0-9a-f]+/input/uploads/console/[0-9a-f]{8}-holiday/", conf["source"])
    assert open_source(conf["source"])
