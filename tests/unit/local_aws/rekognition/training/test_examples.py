"""The file of what the networks said, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from local_aws.rekognition.training.examples import ExampleFile, Seen

MADE = {"model": "m", "views": 1}
COUNT = 6


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = ExampleFile(tmp_path / "examples.bin", MADE)
    for number in range(COUNT - 1):
        file.add(Seen(f"s3://b/{number}", {"Gambling": number / 10}, np.full((2, 8), number, np.float16)))
    file.add(Seen("s3://b/bad", problem=("InvalidImageFormatException", "Request has invalid image format.")))
    file.close()
    return tmp_path / "examples.bin"


def read(path: Path, made: dict[str, object] = MADE) -> list[Seen]:
    file = ExampleFile(path, made)
    try:
        found = list(file.read())
        assert {seen.source_ref for seen in found} == file.refs
        return found
    finally:
        file.close()


def test_what_was_added_is_read_again(path: Path) -> None:
    *good, bad = read(path)
    assert [seen.scores for seen in good] == [{"Gambling": n / 10} for n in range(COUNT - 1)]
    assert all(seen.features is not None and (seen.features == n).all() for n, seen in enumerate(good))
    assert (bad.scores, bad.problem) == (
        None,
        ("InvalidImageFormatException", "Request has invalid image format."),
    )


@pytest.mark.parametrize("damage", ["lost", "emptied", "truncated", "one bit"])
def test_of_a_damaged_file_what_is_good_stays_and_the_rest_comes_again(path: Path, damage: str) -> None:
    body = bytearray(path.read_bytes())
    if damage == "lost":
        path.unlink()
    elif damage == "one bit":
        body[len(body) // 2] ^= 1
        path.write_bytes(body)
    else:
        path.write_bytes(b"" if damage == "emptied" else body[:-3])
    left = read(path)
    assert [seen.source_ref for seen in left] == [f"s3://b/{number}" for number in range(len(left))]
    assert len(left) == {"truncated": COUNT - 1, "one bit": len(left)}.get(damage, 0)
    assert len(left) < COUNT
    file = ExampleFile(path, MADE)
    file.add(Seen("s3://b/new", {}, np.ones((2, 8), np.float16)))
    file.close()
    assert [seen.source_ref for seen in read(path)][len(left) :] == ["s3://b/new"]


def test_a_file_of_another_model_is_begun_anew(path: Path) -> None:
    assert read(path, {**MADE, "model": "other"}) == []
