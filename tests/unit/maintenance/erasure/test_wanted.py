from __future__ import annotations

import html
import json
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest

from moderation.maintenance.erasure.wanted import (
    EraseRequestError,
    Wanted,
    names_one,
    needles,
    of_request,
    read_contents,
    read_keys,
)

ODD = 's3://archive/odd "quoted" ümläut&<b>.jpg'
ETAG = "9e107d9d372bb6826bd81d3542a419d6"


@pytest.mark.parametrize(
    "text",
    [
        ODD,
        json.dumps(ODD),
        json.dumps(ODD, ensure_ascii=False),
        html.escape(ODD),
        quote(ODD),
        quote(ODD, safe=""),
    ],
    ids=("plain", "JSON", "JSON of UTF-8", "HTML", "address", "part of an address"),
)
def test_a_key_is_found_however_a_file_spells_it(text: str) -> None:
    assert names_one(f"before {text}, after".encode(), needles([ODD]))


@pytest.mark.parametrize("longer", ["s3://archive/a.jpg.bak", "s3://archive/a.jpg2", "s3://archive/a.jpg/b"])
def test_a_longer_key_that_begins_so_is_another_one(longer: str) -> None:
    assert not names_one(f'{{"source-ref":"{longer}"}}'.encode(), needles(["s3://archive/a.jpg"]))


def test_rows_are_asked_for_by_key_by_the_path_a_person_knows_and_by_content() -> None:
    rows = pa.table(
        {
            "source_ref": ["s3://b/1", "s3://b/2", "s3://b/3", "s3://b/4"],
            "origin": [None, "/home/anna/2", None, None],
            "etag": ["0" * 32, "1" * 32, ETAG, ETAG],
            "size": [1, 2, 7, 8],
        }
    )
    wanted = Wanted(frozenset(["s3://b/1", "/home/anna/2"]), frozenset([f"{ETAG}-7"]))
    assert wanted.mask(rows).to_pylist() == [True, True, True, False]


def test_a_file_of_keys_has_one_a_line_and_in_quotes_such_with_an_end_of_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text('s3://b/a, b.jpg\n\n"s3://b/a\\nb.jpg"\n/home/anna/c.jpg\n')
    assert read_keys(file) == ["s3://b/a, b.jpg", "s3://b/a\nb.jpg", "/home/anna/c.jpg"]


def test_a_line_that_is_no_key_is_told_by_its_number_and_not_printed(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("s3://b/a.jpg\nsecret-name.jpg\n")
    with pytest.raises(EraseRequestError, match="line 2: ") as caught:
        read_keys(file)
    assert "secret-name" not in str(caught.value)


def test_a_content_is_named_as_the_table_of_verdicts_has_it(tmp_path: Path) -> None:
    file = tmp_path / "contents"
    file.write_text(f"{ETAG}-183204\n")
    assert read_contents(file) == [f"{ETAG}-183204"]
    file.write_text(f"{ETAG}\n")
    with pytest.raises(EraseRequestError, match="line 1"):
        read_contents(file)


@pytest.mark.parametrize("keys", [[], ["a.jpg"], ["s3://bucket"]])
def test_a_request_that_names_nothing_or_no_key_is_refused(keys: list[str]) -> None:
    with pytest.raises(EraseRequestError):
        of_request(keys, [])
