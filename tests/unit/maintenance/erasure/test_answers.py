from __future__ import annotations

import orjson

from moderation.maintenance.erasure.answers import without
from moderation.maintenance.erasure.wanted import needles

GONE = "s3://b/gone.jpg"
TEXTS = needles([GONE])


def line(ref: str) -> bytes:
    return orjson.dumps({"source-ref": ref, "detect-moderation-labels": {}})


def test_a_line_that_goes_stays_blank_so_that_the_others_keep_their_numbers() -> None:
    body = b"\n".join([line("s3://b/1"), line(GONE), line("s3://b/3")]) + b"\n"
    assert without(body, {GONE}, TEXTS) == (body.replace(line(GONE), b""), 1)


def test_the_only_line_of_a_file_goes_too() -> None:
    assert without(line(GONE) + b"\n", {GONE}, TEXTS) == (b"\n", 1)


def test_a_line_that_is_cut_off_goes_if_it_names_the_image() -> None:
    cut = line(GONE)[:-5]
    assert without(line("s3://b/1") + b"\n" + cut, {GONE}, TEXTS) == (line("s3://b/1") + b"\n", 1)


def test_entries_of_a_document_go_and_all_else_of_it_stays() -> None:
    body = orjson.dumps({"errors": [{"source-ref": GONE, "code": "x"}, {"source-ref": "s3://b/1"}], "n": 2})
    kept, gone = without(body, {GONE}, TEXTS)
    assert (orjson.loads(kept), gone) == ({"errors": [{"source-ref": "s3://b/1"}], "n": 2}, 1)


def test_a_file_that_names_none_of_them_keeps_every_byte() -> None:
    body = b'{"errors" : [ ]}'
    assert without(body, {GONE}, TEXTS) == (body, 0)
