from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from moderation.review.exchange.lines import ImportFileError, Line, Refused, format_of, read


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"key,label\n", "expected the columns source_ref,label,verdict or source_ref,labels"),
        ("a.csv", b"", "and found none"),
        ("a.csv", b"source_ref,label,verdict\n\xff,x,y\n", "cannot be read as csv"),
        ("a.jsonl", b"\xff\n", "cannot be read as jsonl"),
        ("a.parquet", b"not parquet", "cannot be read as parquet"),
        ("a.xlsx", b"", "the name must end in .csv"),
        ("missing.csv", None, "No such file"),
    ],
)
def test_a_file_that_is_none_is_refused_with_what_is_expected(
    tmp_path: Path, name: str, content: bytes | None, expected: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImportFileError, match=expected):
        list(read(path, format_of(path)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "it is no JSON"),
        ("[]", "it is no JSON object"),
        ("{}", "it has no source_ref"),
        ('{"source_ref": 7}', "its source_ref is no text"),
        ('{"source_ref": "s3://a/b", "label": "Violence"}', "its verdict None is none of true_positive"),
        ('{"source_ref": "s3://a/b", "verdict": "present"}', "it has no label"),
        ('{"source_ref": "s3://a/b", "labels": "Violence"}', "labels is no list of names"),
        ('{"source_ref": "s3://a/b", "labels": [1]}', "labels is no list of names"),
        ('{"source_ref": "s3://a/b", "labels": [], "verdict": "present"}', "one of the two forms"),
        ('{"source_ref": "s3://a/b", "labels": [], "decided_at": "yesterday"}', "is no time such as"),
        ('{"source_ref": "s3://a/b", "labels": [], "decided_at": 5}', "is no time such as"),
        ('{"source_ref": "s3://a/b", "labels": [], "decided_at": [5]}', "is no time such as"),
    ],
)
def test_a_line_that_cannot_be_read_is_told_by_its_number_and_the_rest_is_read(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'\n{text}\n{{"source_ref": "s3://a/b", "labels": []}}\n')
    refused, line = read(path, "jsonl")
    assert isinstance(refused, Refused)
    assert (refused.number, expected in refused.reason) == (2, True), refused
    assert line == Line(number=3, source_ref="s3://a/b", labels=())


def test_a_cell_too_many_is_told_and_times_are_those_of_utc(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "source_ref,label,verdict,decided_at\n"
        "s3://a/b,Violence,present,2026-11-22T10:00:00+02:00,x\n"
        "s3://a/b,Violence,present,2026-11-22T10:00:00+02:00\n"
    )
    refused, line = read(path, "csv")
    assert refused == Refused(2, "it has more cells than the first line")
    assert isinstance(line, Line)
    assert line.decided_at == datetime(2026, 11, 22, 8, tzinfo=UTC)
