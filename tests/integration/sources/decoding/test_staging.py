"""Images of formats that Rekognition refuses, from their listing to their rows, before the offline one."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from moderation.cli.main import main
from moderation.schema import IMAGES
from moderation.sources.decoding.staged import folder_uri
from moderation.sources.decoding.staging import Staging
from moderation.storage import s3_objects
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.published import scan
from support import pictures
from support.hand_runs import Runs, hand_made_runs  # noqa: F401 - a fixture

DATA = Path(__file__).parents[3] / "data" / "phones"

TOLD = ["source_ref", "status", "error_code", "transcoded_from", "etag", "answer_of_line"]


@pytest.fixture
def runs(hand_made_runs: Runs, monkeypatch: pytest.MonkeyPatch) -> Runs:  # noqa: F811 - a fixture
    monkeypatch.setenv("MODERATION_TRANSCODE", "1")
    return hand_made_runs


def several(kind: str, seed: int) -> bytes:
    first, *others = (pictures.noise(90, 100, seed=number) for number in (seed, seed + 1))
    file = io.BytesIO()
    first.save(file, kind, save_all=True, append_images=others)
    return file.getvalue()


def put(runs: Runs, **bodies: bytes) -> dict[str, str]:
    """Store them; their ETags by name."""
    etags = {}
    for name, body in bodies.items():
        stored = runs.s3.put_object(Bucket=runs.bucket, Key=f"photos/{name}", Body=body)
        etags[name] = stored["ETag"].strip('"')
    return etags


def rows(runs: Runs, *, but: str = "") -> dict[str, dict[str, Any]]:
    """The published rows by name, without those of a status."""
    with open_catalog(runs.settings) as catalog:
        found = [
            row for batch in scan(load_table(catalog, IMAGES), IMAGES, TOLD) for row in batch.to_pylist()
        ]
    return {row["source_ref"].rpartition("/")[2]: row for row in found if row["status"] != but}


def staged(runs: Runs, name: str) -> list[str]:
    where = folder_uri(runs.settings, name).removesuffix(name)
    return [entry["Key"] for entry in s3_objects.list_objects(runs.s3, where)]


@pytest.mark.slow
def test_other_formats_are_sent_as_jpeg_and_their_rows_say_so_under_their_own_names(
    runs: Runs, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    same = several("GIF", 1)
    etags = put(
        runs,
        animated=same,
        copy=same,
        pages=several("TIFF", 3),
        still=pictures.encode(pictures.noise(90, 100, seed=5), "WEBP"),
        modern=pictures.encode(pictures.noise(90, 100, seed=9), "AVIF"),
        phone=(DATA / "turned.heic").read_bytes(),
        small=pictures.encode(pictures.noise(20, 20), "GIF"),
        broken=several("GIF", 6)[:400],
        text=b"no image",
        plain=pictures.jpeg(seed=8),
    )
    dry = runs.discover("dry", backend="detect", dry_run=True)
    assert dry.totals.to_analyse == 8, "without the copy, and as far as nobody looked inside"
    assert staged(runs, dry.run_key) == []

    plan = runs.discover("first", backend="detect")
    assert (plan.totals.to_analyse, plan.totals.copies, plan.totals.rejected) == (6, 1, 3)
    bodies = [s3_objects.read(runs.s3, manifest.uri).body.decode() for manifest in plan.manifests]
    assert "animated" not in "".join(bodies)
    assert len(staged(runs, plan.run_key)) == 6
    for number in range(len(plan.manifests)):
        runs.call(plan, number)
    runs.publish(plan)

    found = rows(runs)
    assert {name: row["transcoded_from"] for name, row in found.items() if row["status"] == "moderated"} == {
        "animated": "GIF, first frame",
        "copy": "GIF, first frame",
        "pages": "TIFF, first page",
        "still": "WebP",
        "modern": "AVIF",
        "phone": "HEIC",
        "plain": None,
    }
    assert {name: row["etag"] for name, row in found.items()} == etags
    assert {name: row["error_code"] for name, row in found.items() if row["status"] == "failed"} == {
        "small": "InvalidParameter",
        "broken": "InvalidImageFormat",
        "text": "InvalidImageFormat",
    }
    assert staged(runs, plan.run_key) == []
    assert runs.discover("second", backend="detect").is_empty, "nothing is decoded, sent or paid once more"

    keys = tmp_path / "keys"
    keys.write_text(f"s3://{runs.bucket}/photos/pages\n")
    assert main(["erase", "--keys", str(keys), "--yes"], settings=runs.settings) == 0, capsys.readouterr()
    assert "pages" not in rows(runs)


@pytest.mark.long
def test_an_erasure_takes_what_is_staged_and_what_was_answered_to_it(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(runs, a=several("GIF", 1), b=several("GIF", 3))
    dead = runs.discover("dead", backend="detect")
    runs.call(dead, 0)
    keys = tmp_path / "keys"
    keys.write_text(f"s3://{runs.bucket}/photos/a\n")
    command = ["erase", "--keys", str(keys), "--yes"]
    assert main(command, settings=runs.settings) == 2
    assert main([*command, "--abandon"], settings=runs.settings) == 0, capsys.readouterr()
    (left,) = staged(runs, dead.run_key)
    kept = [
        s3_objects.read(runs.s3, f"s3://{runs.bucket}/{entry['Key']}").body
        for entry in s3_objects.list_objects(runs.s3, f"{dead.folder_uri}/")
    ]
    named = {name for body in kept for name in re.findall(rb"transcoded/[^/]+/([0-9a-f]{40})", body)}
    assert named <= {left.rpartition("/")[2].removesuffix(".jpg").encode()}


@pytest.mark.parametrize("code", ["KMS.DisabledException", "ServiceUnavailable"])
def test_an_image_that_s3_does_not_give_to_be_transcoded_is_its_row(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    put(runs, bad=several("GIF", 1), good=several("GIF", 3))
    real = Staging._read

    def read(staging: Staging, row: dict[str, Any]) -> bytes:
        if row["key"].endswith("bad"):
            raise s3_objects.s3_error(code, bucket=row["bucket"], key=row["key"], action="read", cause="no")
        return real(staging, row)

    monkeypatch.setattr(Staging, "_read", read)
    plan = runs.discover("first", backend="detect")
    assert (plan.totals.to_analyse, plan.totals.rejected) == (1, 1)


def test_without_the_setting_other_formats_are_refused(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERATION_TRANSCODE", "0")
    put(runs, a=several("GIF", 1))
    assert runs.discover("first", backend="detect").totals.rejected == 1


@pytest.mark.slow
def test_a_local_folders_other_formats_are_uploaded_and_sent_as_jpeg_once(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    bodies = {"a.gif": several("GIF", 1), "b.jpg": pictures.jpeg(seed=2), "c.txt.jpg": b"no image"}
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
    runs.source = str(folder)
    monkeypatch.setenv("MODERATION_TRANSCODE", "0")
    (folder / "b.jpg").rename(tmp_path / "b.jpg")
    runs.publish(runs.discover("refused", backend="detect"))
    assert rows(runs)["a.gif"]["error_code"] == "InvalidImageFormat"

    (tmp_path / "b.jpg").rename(folder / "b.jpg")
    monkeypatch.setenv("MODERATION_TRANSCODE", "1")
    assert runs.discover("dry", backend="detect", dry_run=True).totals.to_analyse == 2
    plan = runs.discover("first", backend="detect")
    assert (plan.totals.to_analyse, plan.totals.rejected) == (2, 0)
    runs.call(plan, 0)
    runs.publish(plan)
    found = rows(runs, but="failed")
    assert {name: row["transcoded_from"] for name, row in found.items()} == {
        "a.gif": "GIF, first frame",
        "b.jpg": None,
    }
    assert found["a.gif"]["source_ref"].startswith(runs.settings.input_uri)
    assert staged(runs, plan.run_key) == []
    monkeypatch.setattr(Staging, "_read", None)
    assert runs.discover("second", backend="detect").is_empty, "nothing is decoded, sent or paid once more"
