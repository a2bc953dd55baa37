from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moderation.errors import WarehouseError
from moderation.publish.commit import publish
from moderation.report.counts import LabelCount, Report, build_report
from moderation.report.earlier import earlier
from moderation.report.run_report import _redo_command
from moderation.report.text import WIDTH, queries, to_text
from moderation.settings import Settings
from moderation.warehouses.duckdb import DuckDBWarehouse
from moderation.warehouses.reading import open_warehouse
from support import planned_runs
from support.planned_runs import Run, answer, content_types, label, line, weapon_violence


@pytest.fixture
def settings(tmp_path: Path, bucket: str, aws_env: Any) -> Settings:
    return planned_runs.make_settings(tmp_path, bucket, tables="local")


@pytest.fixture
def report(settings: Settings, s3_client: Any) -> Report:
    """Eight images: three with weapons (one drawn), one trimmed, one clean, two too large, one owed."""
    run = Run(settings, s3_client)
    refs = [f"s3://archive/odd \n name/{n}.jpg" for n in range(8)]
    bodies = [
        answer(weapon_violence(), ContentTypes=content_types(Illustrated=60, Animated=72.7257)),
        answer(weapon_violence(80)),
        answer([label("Weapons", "Violence", 2, 70), label("Violence", "", 1, 70)]),
        answer([label("Middle Finger", "Rude Gestures", 2, 66)]),
        answer(),
    ]
    errors = [
        {"source-ref": ref, "code": "ImageTooLargeException", "message": "16,000,000 bytes " * 20}
        for ref in refs[5:7]
    ]
    lines = [line(ref, body) for ref, body in zip(refs, bodies, strict=False)]
    run.manifest(refs, b"\n".join([*lines, b"{torn"]), summary={"errors": errors})
    load = publish(settings, run.store(), run.records)
    DuckDBWarehouse(settings).load(load.load_id)
    return build_report(settings, load.load_id)


def test_labels_are_counted_by_image_as_a_tree_with_the_most_frequent_first(report):
    assert report.labels == (
        LabelCount(path=("Violence",), images=3),
        LabelCount(path=("Violence", "Graphic Violence"), images=2),
        LabelCount(path=("Violence", "Graphic Violence", "Weapon Violence"), images=2),
        LabelCount(path=("Violence", "Weapons"), images=1),
        LabelCount(path=("Rude Gestures",), images=1),
        LabelCount(path=("Rude Gestures", "Middle Finger"), images=1),
    )
    assert report.flagged == 4
    assert report.content_types == {"none": 4, "illustrated_animated": 1}


def test_failures_have_a_code_an_example_and_a_remedy(report):
    large, missing = report.failures
    assert (large.code, large.status, large.images) == ("ImageTooLarge", "failed", 2)
    assert large.example == "s3://archive/odd \n name/5.jpg"
    assert "15 MB" in large.remedy
    assert (missing.code, missing.status, missing.images) == ("ResultMissing", "not_attempted", 1)
    assert report.anomalies == {"MalformedLine": 1}


def test_a_load_that_still_owes_images_is_not_complete(report):
    assert not report.is_complete
    assert replace(report, load=report.load | {"failed": 3, "not_attempted": 0}).is_complete


def test_the_numbers_are_those_of_a_query_on_the_warehouse(report, settings):
    with open_warehouse(settings.warehouse_path) as connection:
        by_l1 = dict(connection.execute(queries(report)[0].replace("ORDER BY 2 DESC", "")).fetchall())
    assert by_l1 == {entry.path[0]: entry.images for entry in report.labels if len(entry.path) == 1}


def test_the_text_fits_a_terminal_and_tells_everything(report, settings):
    text = to_text(report)
    paths = (report.tables_uri, report.warehouse)
    assert not [row for row in text.splitlines() if not row.endswith(paths) and len(row) > WIDTH]
    assert all(character.isprintable() or character == "\n" for character in text)
    for expected in (
        report.load["load_id"],
        "› Weapon Violence",
        "illustrated + animated",
        "ImageTooLarge (failed)",
        "odd \\n name/5.jpg",
        "ResultMissing (not attempted)",
        "MalformedLine: result lines that could not be read",
        "$0.0050 for 5 analysed images",
        str(settings.warehouse_path),
        "not attempted",
    ):
        assert expected in text


def test_the_queries_work_when_pasted(report, settings):
    text = to_text(report, command="RUN")
    pasted = text.partition("Ask further\n")[2].replace("\\\n", " ").strip().splitlines()
    assert len(pasted) == 4
    for row in pasted:
        run, asked, flag, load_id, query = shlex.split(row)
        assert (run, asked, flag) == ("RUN", "query", "--load")
        with open_warehouse(settings.warehouse_path, load_id=load_id) as connection:
            assert connection.execute(query).fetchall()


def test_the_way_to_the_images_is_named_for_a_load_that_has_some(report, settings, s3_client):
    load_id = report.load["load_id"]
    assert f"Images        RUN console --job {load_id}\n" in to_text(report, command="RUN")
    assert f"Images        {settings.command} console --job {load_id}\n" in earlier(settings)
    told = to_text(report, command="moderation --local")
    assert f"Images        make services && moderation --local console --job {load_id}\n" in told


def test_what_failed_is_asked_again_by_the_command_that_is_printed_after_the_services_have_stopped(
    settings, s3_client
):
    local = replace(settings, command="moderation --local")
    assert _redo_command(local, "L") == "make services && moderation --local redo L"
    assert _redo_command(replace(settings, command="RUN"), "L") == "RUN redo L"


def test_names_from_outside_cannot_steer_a_terminal_or_forge_a_line(report):
    hostile = "offline-7.1\x1b[2J\nImages forged"
    told = to_text(
        replace(
            report,
            models={hostile: 4, "7.0": 1},
            labels=(LabelCount(path=(hostile,), images=1),),
            content_types={hostile: 1},
            load=report.load | {"source": hostile, "adapter": hostile},
        )
    )
    assert "\x1b" not in told
    assert "\nImages forged" not in told
    assert told.count(r"offline-7.1\u001b[2J\u000aImages forged") >= 4


def test_a_load_without_an_answer_names_no_model(report):
    assert report.load["model_version"]
    assert "· model –\n" in to_text(replace(report, models={}))
    assert f"· model {' and '.join(filter(None, report.models))}\n" in to_text(report)


def test_an_empty_load_says_that_nothing_is_new(settings, s3_client):
    run = Run(settings, s3_client)
    publish(settings, run.store(), [])
    text = to_text(build_report(settings, run.load_id))
    assert "Nothing new: there was no image to moderate." in text
    assert "Labels" not in text
    assert "Ask further" not in text


def test_the_report_is_plain_data(report):
    assert json.loads(json.dumps(report.as_data(), default=str))["flagged"] == 4


def test_a_load_that_is_not_published_has_no_report(settings):
    with pytest.raises(WarehouseError, match="not published"):
        build_report(settings, "no-such-load")
