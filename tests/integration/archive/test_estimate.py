from __future__ import annotations

import json
from dataclasses import replace

import pytest

from moderation.archive import survey as surveying
from moderation.archive.survey import survey
from moderation.cli.main import main
from moderation.plan.ledger import Question
from moderation.sources.open import open_source
from support.copied_images import Gallery, picture
from support.input_fixtures import put, settings  # noqa: F401 - fixtures

QUESTION = Question("7.0", None, 50.0)


@pytest.fixture
def archive(put, s3_client, bucket):  # noqa: F811 - fixtures
    """Seven images, three of them copies of others, beside what is none."""
    for key, body in {
        "a": b"1",
        "copy of a": b"1",
        "c": b"22",
        "d": b"333",
        "copy of d": b"333",
        "again": b"333",
    }.items():
        s3_client.put_object(Bucket=bucket, Key=f"archive/{key}.jpg", Body=body * 100)
    put("archive/empty.jpg", body=b"")
    put("archive/notes.txt", body=b"x")
    return f"s3://{bucket}/archive"


def test_an_archive_is_counted_from_its_listing_alone(archive, settings, s3_client):  # noqa: F811
    found = survey(settings, s3_client, open_source(archive), question=QUESTION, published=None)

    assert (found.listed, found.no_images) == (8, {"*.txt": 1})
    assert found.cannot_be_sent == {"EmptyFile": 1}
    assert (found.to_analyse, found.contents) == (6, 3)
    assert found.size_bytes == 100 + 100 + 200 + 3 * 300


def test_what_was_uploaded_in_parts_is_a_content_of_its_own(settings, s3_client, bucket):  # noqa: F811
    for key in ("a", "b"):
        where = {"Bucket": bucket, "Key": f"parts/{key}.jpg"}
        upload = s3_client.create_multipart_upload(**where)["UploadId"]
        part = s3_client.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"same")
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        s3_client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)

    source = open_source(f"s3://{bucket}/parts")
    found = survey(settings, s3_client, source, question=QUESTION, published=None)
    assert (found.to_analyse, found.contents) == (2, 2)


def test_the_command_tells_images_price_and_end_for_people_and_programs(archive, settings, capsys):  # noqa: F811
    known = replace(settings, catalog_uri=f"sqlite:///{settings.tables_uri}.db")

    assert main(["archive", "estimate", archive, "--nightly", "10", "--json"], settings=known) == 0
    told = json.loads(capsys.readouterr().out)
    assert main(["archive", "estimate", f"{archive} | c*, *c.jpg"], settings=known) == 0
    text = capsys.readouterr().out

    assert told["survey"]["to_analyse"] == 6
    assert told["nightly_images_a_day"] == 10
    assert (told["paid_images"], told["jobs"]) == (3, 1)
    assert told["fastest"]["cost_usd"] == pytest.approx(0.003)  # copies are paid for once
    assert (told["calls_per_second"], told["calls_by"]) == (50, "AWS's published default")
    assert told["dry_run"] is None
    assert {way["backend"] for way in told["ways"]} == {"bulk", "detect", "both"}
    assert "to analyse:           1; 0 of them are copies of others" in text
    assert "cheapest:             0.00 USD by" in text


def test_the_whole_is_worked_off_in_virtual_time_and_shown_as_a_page(
    archive,
    settings,  # noqa: F811 - fixture
    s3_client,
    tmp_path,
    capsys,
):
    known = replace(settings, catalog_uri=f"sqlite:///{settings.tables_uri}.db", share_answers=False)
    bucket = archive.split("/")[2]
    before = [entry["Key"] for entry in s3_client.list_objects_v2(Bucket=bucket)["Contents"]]
    page = tmp_path / "new folder" / "estimate.html"
    given = ["archive", "estimate", archive, "--chunk-images", "4", "--day-usd", "0.004", "-o", str(page)]

    assert main([*given, "--json"], settings=known) == 0
    run = json.loads(capsys.readouterr().out)["dry_run"]
    assert main(given, settings=known) == 0
    text = capsys.readouterr().out

    assert [(chunk["images"], chunk["paid"]) for chunk in run["chunks"]] == [(4, 4), (2, 2)]
    assert run["waited"] == {"budget of the day": 1}
    assert run["cost_usd"] == pytest.approx(0.006)
    assert "1 day for budget of the day" in text
    assert archive in page.read_text(encoding="utf-8")
    assert page.stat().st_mode & 0o777 == 0o600
    assert [entry["Key"] for entry in s3_client.list_objects_v2(Bucket=bucket)["Contents"]] == before


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (["--day-usd", "0.001", "--chunk-images", "4"], "--chunk-images 1"),
        (["--dry-run", "--time-zone", "Mars/Olympus"], "Mars/Olympus"),
        (["--month-usd", "-1"], "month_usd=-1.0"),
    ],
)
def test_a_dry_run_refuses_what_archive_start_would(archive, settings, capsys, given, word):  # noqa: F811
    known = replace(settings, catalog_uri=f"sqlite:///{settings.tables_uri}.db", share_answers=False)
    assert main(["archive", "estimate", archive, *given], settings=known) == 2
    assert word in capsys.readouterr().err


@pytest.mark.slow
def test_contents_that_earlier_loads_answered_under_other_keys_cost_nothing(
    settings,  # noqa: F811 - fixture
    s3_client,
    bucket,
    capsys,
    monkeypatch,
):
    monkeypatch.setattr(surveying, "_ASKED_AT_ONCE", 1)
    known = replace(settings, catalog_uri=f"sqlite:///{settings.tables_uri}.db")
    gallery = Gallery(known, s3_client, bucket)
    gallery.put(a=1, b=2, c=3)
    gallery.run("first")
    for key, content in {"x": 1, "copy of x": 1, "y": 2, "z": 4}.items():
        s3_client.put_object(Bucket=bucket, Key=f"archive/{key}.jpg", Body=picture(content))

    assert main(["archive", "estimate", f"s3://{bucket}/archive", "--json"], settings=known) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["survey"]["contents"], told["survey"]["known"], told["paid_images"]) == (3, 2, 1)

    for asked, settled in ((["--min-confidence", "10"], known), ([], replace(known, share_answers=False))):
        command = ["archive", "estimate", f"s3://{bucket}/archive", "--json", *asked]
        assert main(command, settings=settled) == 0
        assert json.loads(capsys.readouterr().out)["survey"]["known"] == 0


def test_a_source_that_is_none_is_refused_with_its_name(settings, capsys):  # noqa: F811
    assert main(["archive", "estimate", "gs://bucket/x"], settings=settings) == 2
    assert "gs://bucket/x" in capsys.readouterr().err
