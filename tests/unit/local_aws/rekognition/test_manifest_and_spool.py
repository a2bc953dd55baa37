from __future__ import annotations

import json
from pathlib import Path

import pytest

from local_aws.rekognition.jobs.manifest import Line, count_lines, read_lines
from local_aws.rekognition.jobs.spool import Spool

ODD_KEYS = [
    "a b.jpg",
    "a%20b.jpg",
    "a#b?c.jpg",
    'quote".jpg',
    "back\\slash.jpg",
    "new\nline.jpg",
    "emoji 🎨.jpg",
    "ä/ö/ü.jpg",
    "//double//.jpg",
    "x" * 1000,
]


def manifest(tmp_path: Path, *lines: str | bytes) -> Path:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return path


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_taken_literally(tmp_path: Path, key: str) -> None:
    path = manifest(tmp_path, json.dumps({"source-ref": f"s3://my-bucket/{key}"}))
    (line,) = read_lines(path)
    assert (line.bucket, line.key, line.problem) == ("my-bucket", key, None)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("not json", "ERROR_INVALID_JSON_LINE"),
        ('{"source-ref": "s3://bucket/key"', "ERROR_INVALID_JSON_LINE"),
        (b"\xff\xfe", "ERROR_INVALID_JSON_LINE"),
        ("[" * 100_000, "ERROR_INVALID_JSON_LINE"),
        ("{}", "ERROR_MISSING_SOURCE_REF"),
        ("[]", "ERROR_MISSING_SOURCE_REF"),
        ('"s3://bucket/key"', "ERROR_MISSING_SOURCE_REF"),
        ('{"source-ref": 5}', "ERROR_MISSING_SOURCE_REF"),
        ('{"source-ref": null}', "ERROR_MISSING_SOURCE_REF"),
        ('{"source-ref": "https://x/y.jpg"}', "ERROR_INVALID_SOURCE_REF_FORMAT"),
        ('{"source-ref": "s3://bucket"}', "ERROR_INVALID_SOURCE_REF_FORMAT"),
        ('{"source-ref": "s3://bucket/"}', "ERROR_INVALID_SOURCE_REF_FORMAT"),
        ('{"source-ref": "s3:///key"}', "ERROR_INVALID_SOURCE_REF_FORMAT"),
        ('{"source-ref": "s3://arn:aws:s3:::b/key"}', "ERROR_INVALID_SOURCE_REF_FORMAT"),
        ('{"source-ref": "s3://bucket/\\ud800"}', "ERROR_INVALID_JSON_LINE"),
        (b'{"source-ref": "s3://bucket/\xed\xa0\x80"}', "ERROR_INVALID_JSON_LINE"),
        (b'{"source-ref": "s3://bucket/\xff"}', "ERROR_INVALID_JSON_LINE"),
        (b'{"source-ref": "s3://bucket/\x00"}', "ERROR_INVALID_JSON_LINE"),
        (b'\x00{"source-ref": "s3://bucket/key"}', "ERROR_INVALID_JSON_LINE"),
        ('{"source-ref": "s3://bucket/key", "x": NaN}', "ERROR_INVALID_JSON_LINE"),
        ('{"source-ref": "s3://bucket/key", "x": -Infinity}', "ERROR_INVALID_JSON_LINE"),
        ('{"source-ref": "s3://bucket/key", "x": 1e999}', "ERROR_INVALID_JSON_LINE"),
        ('{"source-ref": "s3://bucket/key", "x": ' + "9" * 5000 + "}", "ERROR_INVALID_JSON_LINE"),
        (
            '{"source-ref": "s3://bucket/key", "x": ' + "[" * 2000 + "]" * 2000 + "}",
            "ERROR_INVALID_JSON_LINE",
        ),
        ('{"source-ref": "s3://bucket/key"} x', "ERROR_INVALID_JSON_LINE"),
        ('{"source-ref": "s3://bucket/key"}{"source-ref": "s3://bucket/key"}', "ERROR_INVALID_JSON_LINE"),
        ('{"source-ref": "s3://bucket/key",}', "ERROR_INVALID_JSON_LINE"),
        ('\xa0{"source-ref": "s3://bucket/key"}', "ERROR_INVALID_JSON_LINE"),
        ('\v{"source-ref": "s3://bucket/key"}', "ERROR_INVALID_JSON_LINE"),
        ('{"source-ref": ["s3://bucket/key"]}', "ERROR_MISSING_SOURCE_REF"),
        ('{"Source-Ref": "s3://bucket/key"}', "ERROR_MISSING_SOURCE_REF"),
        ('{"source-ref": "s3://bucket/key", "source-ref": 5}', "ERROR_MISSING_SOURCE_REF"),
        ('{"source-ref": "S3://bucket/key"}', "ERROR_INVALID_SOURCE_REF_FORMAT"),
        ('{"source-ref": " s3://bucket/key"}', "ERROR_INVALID_SOURCE_REF_FORMAT"),
        ('{"source-ref": ""}', "ERROR_INVALID_SOURCE_REF_FORMAT"),
    ],
)
def test_a_bad_line_is_a_named_problem_and_the_next_line_is_read(
    tmp_path: Path, text: str | bytes, code: str
) -> None:
    path = manifest(tmp_path, text, '{"source-ref": "s3://bucket/key"}')
    bad, good = read_lines(path)
    assert bad.problem is not None
    assert bad.problem[0] == code
    assert (good.number, good.key, good.problem) == (2, "key", None)


@pytest.mark.parametrize(
    "text",
    [
        '{"source-ref": 5, "source-ref": "s3://bucket/key"}',
        '{"x": {"deep": [1, null]}, "source-ref": "s3://bucket/key"}',
        '{"x": 123456789012345678901234567890, "source-ref": "s3://bucket/key"}',
        '\t {"source-ref": "s3:\\/\\/bucket\\/k\\u0065y"} \r',
    ],
)
def test_a_line_may_hold_more_than_its_source_ref(tmp_path: Path, text: str) -> None:
    (line,) = read_lines(manifest(tmp_path, text))
    assert (line.bucket, line.key, line.problem) == ("bucket", "key", None)


def test_a_byte_order_mark_is_no_part_of_the_first_line_and_of_no_other(tmp_path: Path) -> None:
    ref = b'{"source-ref": "s3://bucket/key"}'
    mark = b"\xef\xbb\xbf"
    first, second = read_lines(manifest(tmp_path, mark + ref, mark + ref))
    assert (first.key, first.problem) == ("key", None)
    assert second.problem is not None
    assert second.problem[0] == "ERROR_INVALID_JSON_LINE"
    (twice,) = read_lines(manifest(tmp_path, mark + mark + ref))
    assert twice.problem is not None
    path = manifest(tmp_path, mark, ref)
    assert ([line.number for line in read_lines(path)], count_lines(path)) == ([2], 1)
    path = manifest(tmp_path, mark + ref, ref)
    whole = list(read_lines(path))
    assert list(read_lines(path, number=1, offset=whole[0].end)) == whole[1:]


def test_blank_lines_and_line_ends_of_windows_are_no_lines_to_analyse(tmp_path: Path) -> None:
    ref = '{"source-ref": "s3://bucket/key"}'
    path = manifest(tmp_path, "", ref + "\r", " \t\v\f\r", ref, "")
    assert [line.number for line in read_lines(path)] == [2, 4]
    assert count_lines(path) == 2


def test_reading_can_go_on_at_the_end_of_any_line(tmp_path: Path) -> None:
    path = manifest(tmp_path, *[json.dumps({"source-ref": f"s3://bucket/{key}"}) for key in ODD_KEYS])
    whole = list(read_lines(path))
    for position, line in enumerate(whole):
        assert list(read_lines(path, number=line.number, offset=line.end)) == whole[position + 1 :]


def fill(spool: Spool, first: int, last: int) -> None:
    for number in range(first, last + 1):
        line = Line(number, number, f"s3://b/{number}")
        spool.add_result(line, {"ModerationLabels": []})
        spool.add_error(line, "Code", "why", line_key="line-numer")


def test_what_lies_behind_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "job", results_bytes=0, errors_bytes=0)
    fill(spool, 1, 3)
    results_bytes, errors_bytes = spool.flush()
    fill(spool, 4, 9)
    spool.close()  # as a killed process leaves it: more written than noted
    spool = Spool(tmp_path / "job", results_bytes=results_bytes, errors_bytes=errors_bytes)
    fill(spool, 4, 5)
    spool.close()
    refs = [json.loads(line)["source-ref"] for line in spool.results_path.read_text().splitlines()]
    assert refs == [f"s3://b/{n}" for n in range(1, 6)]
    summary = json.loads(spool.write_summary(lines=7, valid=5).read_text())
    assert [error["line-numer"] for error in summary["errors"]] == [1, 2, 3, 4, 5]


def test_files_shorter_than_the_checkpoint_are_an_error_not_a_gap(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="100 were noted"):
        Spool(tmp_path / "job", results_bytes=100, errors_bytes=0)


def test_the_summary_has_the_published_form(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "job", results_bytes=0, errors_bytes=0)
    spool.add_error(Line(2, 9), "ERROR_INVALID_JSON_LINE", "bad", line_key="line-numer")
    spool.close()
    text = spool.write_summary(lines=3, valid=2).read_text()
    assert json.loads(text) == {
        "version": "1.0",
        "statistics": {"total-json-lines": 3, "valid-json-lines": 2, "invalid-json-lines": 1},
        "errors": [{"line-numer": 2, "code": "ERROR_INVALID_JSON_LINE", "message": "bad"}],
    }


def test_the_summary_of_a_job_without_errors_has_an_empty_list(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "job", results_bytes=0, errors_bytes=0)
    spool.close()
    assert json.loads(spool.write_summary(lines=1, valid=1).read_text())["errors"] == []


def test_a_result_line_has_the_published_form(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "job", results_bytes=0, errors_bytes=0)
    answer = {
        "ModerationLabels": [],
        "ModerationModelVersion": "7.0",
        "ContentTypes": [{"Confidence": 72.7257, "Name": "Animated"}],
    }
    spool.add_result(Line(1, 1, "s3://foo/bar/1.jpg"), answer)
    spool.add_result(Line(2, 2, "s3://foo/bar/2.jpg"), None)
    spool.close()
    assert spool.results_path.read_text() == (
        '{"source-ref":"s3://foo/bar/1.jpg","detect-moderation-labels":{"ModerationLabels":[],'
        '"ModerationModelVersion":"7.0","ContentTypes":[{"Confidence":72.7257,"Name":"Animated"}]}}\n'
        '{"source-ref":"s3://foo/bar/2.jpg"}\n'
    )
