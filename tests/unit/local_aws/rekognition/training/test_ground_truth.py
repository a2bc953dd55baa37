"""What is read out of ground truth manifests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local_aws.rekognition.training.ground_truth import Example, TrainingFailed, is_whole, read, seal, split
from support.adapter_training import line


def manifest(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "truth.jsonl"
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines))
    return path


def read_one(path: Path) -> list[Example]:
    examples, bad = read([path], most_images=100, most_bytes=10_000)
    assert not bad
    return examples


def test_a_label_is_read_in_any_case_and_shows_all_above_it(tmp_path: Path) -> None:
    (example,) = read_one(manifest(tmp_path, "", line("s3://one/a b.png", ["weapons"]), "  "))
    assert (example.number, example.source.key, example.labels) == (2, "a b.png", ("Weapons",))
    assert [name for name in ("Weapons", "Violence", "Gambling") if example.shows(name)] == [
        "Weapons",
        "Violence",
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "The manifest file is empty"),
        ([line("s3://one/a", ["Cards"])], "Line 1 names 'Cards'"),
        ([line("s3://one/a", []), line("s3://two/a", [])], "multiple S3 buckets. It names one, two"),
        ([line(f"s3://one/{n}", []) for n in range(101)], "too many rows. The limit is 100"),
        (["x" * 10_001], "size exceeds the maximum"),
    ],
)
def test_what_ends_a_training_is_said(tmp_path: Path, lines: list[object], said: str) -> None:
    with pytest.raises(TrainingFailed, match=said):
        read_one(manifest(tmp_path, *lines))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "ERROR_INVALID_JSON_LINE"),
        ('{"content-moderation-groundtruth": {"ModerationLabels": []}}', "ERROR_MISSING_SOURCE_REF"),
        ('{"source-ref": "s3://one/a"}', "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT"),
        (
            '{"source-ref": "s3://one/a", "content-moderation-groundtruth": {"ModerationLabels": [{}]}}',
            "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT",
        ),
    ],
)
def test_a_bad_line_is_left_out_and_named(tmp_path: Path, text: str, code: str) -> None:
    path = manifest(tmp_path, line("s3://one/good", []), text)
    examples, bad = read([path], most_images=100, most_bytes=10_000)
    assert [example.source_ref for example in examples] == ["s3://one/good"]
    assert [(one.number, one.code) for one in bad] == [(2, code)]


def test_a_split_is_the_same_in_any_order_and_keeps_the_labels_in_proportion(tmp_path: Path) -> None:
    lines = [line(f"s3://one/{n}", ["Gambling"] if n % 2 else []) for n in range(100)]
    sets = split(read_one(manifest(tmp_path, *lines)))
    again = split(read_one(manifest(tmp_path, *reversed(lines))))
    assert {one.source_ref for one in sets.testing} == {one.source_ref for one in again.testing}
    assert (len(sets.training), len(sets.testing)) == (80, 20)
    assert sum(one.shows("Gambling") for one in sets.testing) == 10


def test_lines_of_one_image_come_into_one_set(tmp_path: Path) -> None:
    lines = [line(f"s3://one/{n % 10}", []) for n in range(40)]
    sets = split(read_one(manifest(tmp_path, *lines)))
    refs = [{one.source_ref for one in part} for part in (sets.training, sets.testing)]
    assert not refs[0] & refs[1]
    assert len(sets.testing) == 8


@pytest.mark.parametrize("damage", ["none", "lost", "cut off", "one bit", "seal lost"])
def test_a_copy_of_a_manifest_that_is_not_whole_is_fetched_again(tmp_path: Path, damage: str) -> None:
    path = manifest(tmp_path, line("s3://one/a", ["Gambling"]))
    seal(path)
    whole = bytearray(path.read_bytes())
    if damage == "lost":
        path.unlink()
    elif damage == "cut off":
        path.write_bytes(whole[:-2])
    elif damage == "one bit":
        whole[12] ^= 1
        path.write_bytes(whole)
    elif damage == "seal lost":
        path.with_suffix(".sha256").unlink()
    assert is_whole(path) == (damage == "none")
