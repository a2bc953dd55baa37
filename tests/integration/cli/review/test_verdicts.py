from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from moderation.adapters.stages import decided
from moderation.cli.boundary import DONE, SOMETHING_FAILED
from moderation.cli.main import main
from moderation.console.shared import Shared
from moderation.review.state.faults import StateLostError
from moderation.settings import Settings
from support.published_loads import publish_plain

REF = "s3://archive/plain/{}.jpg"


@pytest.fixture
def settings(
    local_settings: Settings, s3_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A load of six images of Violence › Graphic Violence › Weapon Violence, and an empty log."""
    monkeypatch.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    publish_plain(local_settings, s3_client, "plain")
    return local_settings


def told(capsys: pytest.CaptureFixture[str], settings: Settings, *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["verdicts", *words], settings=settings)
    found = capsys.readouterr()
    assert code in {DONE, SOMETHING_FAILED}, found.err
    return code, found.out, found.err


LINES = [
    ("0", "Weapon Violence", "true_positive"),
    ("1", "weapon violence", "false_positive"),  # another spelling
    ("2", "Weapons", "false_negative"),
    ("2", "Alcohol", "true_negative"),
    ("3", "Violence", "unsure"),
    ("3", "Illustrated", "false_negative"),
]
BAD = [
    ("4", "Weapons", "true_positive", "does not list Weapons"),
    ("4", "Violence", "true_negative", "lists with 64.0 % Violence"),
    ("4", "Voilence", "present", "did you mean 'Violence'?"),
    ("4", "Violence", "yes", "none of true_positive"),
    ("nowhere", "Violence", "present", "never moderated"),
]


def test_good_lines_are_taken_once_and_bad_ones_named_with_what_is_wrong(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "verdicts.csv"
    with file.open("w", newline="", encoding="utf-8-sig") as target:
        writer = csv.writer(target)
        writer.writerow(["source_ref", "label", "verdict", "reviewer", "unknown column"])
        for number, label, word, *_ in [*LINES, *BAD, LINES[0]]:
            writer.writerow([REF.format(number), label, word, "ana", ""])
    code, out, err = told(capsys, settings, "import", str(file))
    assert (code, out.splitlines()[0]) == (SOMETHING_FAILED, "12 lines: 6 new verdicts, 1 known before")
    for number, (told_line, bad) in enumerate(zip(err.splitlines(), BAD, strict=True), len(LINES) + 2):
        assert told_line.startswith(f"{file}:{number}: ")
        assert bad[3] in told_line
    assert "0 new verdicts, 7 known before" in told(capsys, settings, "import", str(file))[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["csv", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("jsonl", "parquet"))]
)
def test_the_complete_truth_of_an_image_says_what_is_there_and_that_nothing_else_is(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    file = tmp_path / f"truth.{kind}"
    truth: list[tuple[str, list[str]]] = [(REF.format(0), ["Weapons", "Alcohol"]), (REF.format(1), [])]
    if kind == "csv":
        rows = "\n".join(f"{ref},{'|'.join(labels)}" for ref, labels in truth)
        file.write_text(f"source_ref,labels\n{rows}\n")
    elif kind == "jsonl":
        file.write_text("\n\n".join(json.dumps({"source_ref": r, "labels": ls}) for r, ls in truth))
    else:
        rows = [{"source_ref": ref, "labels": labels} for ref, labels in truth]
        parquet.write_table(pa.Table.from_pylist(rows), file)
    assert told(capsys, settings, "import", str(file), "--reviewer", "ben")[0] == DONE
    assert main(["load"], settings=settings) == DONE
    assert told(capsys, settings, "publish")[0] == DONE
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
        found = connection.execute(
            "SELECT right(source_ref, 5), label, is_listed, truth FROM labels_verified "
            "WHERE truth IS NOT NULL ORDER BY ALL"
        ).fetchall()
        ended = connection.execute("SELECT count(*) FROM images_decided WHERE ends_as = 'allow'").fetchall()
    assert found == [
        ("0.jpg", "Alcohol", False, "present"),
        ("0.jpg", "Graphic Violence", True, "absent"),
        ("0.jpg", "Violence", True, "present"),  # above Weapons
        ("0.jpg", "Weapon Violence", True, "absent"),
        ("0.jpg", "Weapons", False, "present"),
        ("1.jpg", "Graphic Violence", True, "absent"),
        ("1.jpg", "Violence", True, "absent"),
        ("1.jpg", "Weapon Violence", True, "absent"),
    ]
    assert ended == [(1,)]


@pytest.mark.slow
def test_what_is_exported_published_lost_and_erased(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "one.jsonl"
    said = {"source_ref": REF.format(0), "label": "Violence", "verdict": "true_positive", "note": "=1+1"}
    file.write_text(json.dumps(said | {"decided_at": "2026-11-22T10:00:00+02:00", "reviewer": "ana"}))
    assert told(capsys, settings, "import", str(file))[0] == DONE
    target = tmp_path / "out.csv"
    assert told(capsys, settings, "export", "-o", str(target), "--safe-cells")[0] == DONE
    (row,) = csv.DictReader(target.read_text().splitlines())
    assert (row["note"], row["verdict"], row["decided_at"]) == ("'=1+1", "present", "2026-11-22 08:00:00+00")
    assert told(capsys, settings, "publish")[1].startswith("1 verdicts published")
    assert told(capsys, settings, "publish")[1].startswith("0 verdicts published; the warehouses hold 1")
    monkeypatch.setenv("MODERATION_REVIEW_DB", str(tmp_path / "new.db"))
    assert told(capsys, settings, "restore")[1].startswith("1 verdicts came back")
    assert told(capsys, settings, "erase", REF.format(0))[1].startswith("1 verdicts keep neither")
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
        rows = connection.execute("SELECT label, verdict, content, source_ref, note, erased FROM verdicts")
        assert rows.fetchall() == [("Violence", "present", None, None, None, True)]
    _, out, _ = told(capsys, settings, "export", "--format", "jsonl")
    assert json.loads(out)["erased"] is True
    assert "0 new verdicts, 1 known before" in told(capsys, settings, "import", str(file))[1]


@pytest.mark.slow
def test_a_log_that_was_lost_stops_whoever_works_with_it_until_it_is_restored_as_the_message_says(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "one.csv"
    file.write_text(f"source_ref,label,verdict\n{REF.format(0)},Violence,true_positive\n")
    told(capsys, settings, "import", str(file))
    told(capsys, settings, "publish")
    monkeypatch.setenv("MODERATION_REVIEW_DB", str(tmp_path / "new.db"))
    for words in (
        ["verdicts", "import", str(file)],
        ["verdicts", "publish"],
        ["verdicts", "erase", REF.format(0)],
        ["review", "stats"],
    ):
        assert main(words, settings=settings) not in {DONE, SOMETHING_FAILED}
        assert "1 verdicts were there, 0 are" in capsys.readouterr().err
    with pytest.raises(StateLostError) as caught:
        decided(settings)
    shared = Shared(settings, tmp_path / "cache")
    with pytest.raises(StateLostError):
        _ = shared.review
    remedy = str(caught.value).split("`")[1].removeprefix(settings.command).split()
    assert main(remedy, settings=settings) == DONE
    assert shared.review.log.count() == 1
    shared.close()
    assert "0 new verdicts, 1 known before" in told(capsys, settings, "import", str(file))[1]


def test_what_people_chose_in_label_studio_is_taken_as_the_whole_truth_of_each_image(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def annotation(*chosen: str, **given: Any) -> dict[str, Any]:
        result = [{"type": "choices", "value": {"choices": list(chosen)}}] if chosen else []
        return {"result": result, "completed_by": 7, "created_at": "2026-11-22T10:00:00.250000Z"} | given

    person = {"id": 3, "email": "ana@example.org"}
    tasks = [
        {"data": {"image": REF.format(0)}, "annotations": [annotation("Weapons", "Alcohol")]},
        {"data": {"image": REF.format(1)}, "annotations": [annotation(completed_by=person)]},
        {"data": {"image": REF.format(2)}, "annotations": [annotation("Weapons", was_cancelled=True)]},
        {"data": {"image": REF.format(3)}, "annotations": []},
    ]
    source, target = tmp_path / "export.json", tmp_path / "truth.jsonl"
    source.write_text(json.dumps(tasks), encoding="utf-8")
    script = Path(__file__).parents[4] / "examples" / "label_studio.py"
    subprocess.run([sys.executable, str(script), str(source), str(target)], check=True)
    code, out, err = told(capsys, settings, "import", str(target))
    assert (code, out.splitlines()[0].split(":")[0]) == (DONE, "2 lines"), err
    _, out, _ = told(capsys, settings, "export", "--format", "jsonl")
    found = [json.loads(line) for line in out.splitlines()]
    present = {(row["source_ref"], row["label"]) for row in found if row["verdict"] == "present"}
    assert present == {(REF.format(0), "Weapons"), (REF.format(0), "Alcohol")}
    assert {row["reviewer"] for row in found} == {"label-studio:7", "label-studio:ana@example.org"}
    assert {row["source_ref"] for row in found} == {REF.format(0), REF.format(1)}
