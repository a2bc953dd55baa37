"""One manifest read twice, by a bulk job of the offline Rekognition and by the detect backend: all alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import boto3
import pytest

from moderation.analyse.detect.errors import DetectError
from support import pictures
from support.detect import Workbench
from support.rekognition_server import output, request_for, wait_for_job

BOM = b"\xef\xbb\xbf"
NAMELESS = b'{"source-ref":"http://elsewhere/a.jpg"}\n'


def ref(key: str, bucket: str = "BUCKET") -> bytes:
    """A manifest line; the test's bucket takes the place of ``BUCKET``."""
    return json.dumps({"source-ref": f"s3://{bucket}/{key}"}).encode()


GOOD = ref("a.jpg")
LINES = {
    "good": GOOD,
    "carriage return": GOOD + b"\r",
    "white space around": b" \t" + GOOD + b" ",
    "empty": b"",
    "blanks": b"  \t \r",
    "form feed and vertical tab": b"\x0b\x0c",
    "file separator": b"\x1c",
    "no-break space": "\u00a0".encode(),
    "next line, which str.splitlines splits": '{"x":"\u0085\u2028","source-ref":"s3://BUCKET/a.jpg"}'.encode(),
    "mark of byte order": BOM + GOOD,
    "mark alone": BOM,
    "NaN": b'{"source-ref":"s3://BUCKET/a.jpg","x":NaN}',
    "Infinity": b'{"source-ref":"s3://BUCKET/a.jpg","x":Infinity}',
    "minus Infinity": b'{"source-ref":"s3://BUCKET/a.jpg","x":-Infinity}',
    "number beyond doubles": b'{"source-ref":"s3://BUCKET/a.jpg","x":1e999}',
    "number of many digits": b'{"source-ref":"s3://BUCKET/a.jpg","x":' + b"9" * 5000 + b"}",
    "minus zero": b'{"source-ref":"s3://BUCKET/a.jpg","x":-0}',
    "leading zero": b'{"source-ref":"s3://BUCKET/a.jpg","x":01}',
    "key twice, the last one good": b'{"source-ref":"s3://x","source-ref":"s3://BUCKET/a.jpg"}',
    "key twice, the last one bad": b'{"source-ref":"s3://BUCKET/a.jpg","source-ref":"s3://x"}',
    "key written with escapes": b'{"\\u0073ource-ref":"s3://BUCKET/a.jpg"}',
    "key of other case": b'{"Source-Ref":"s3://BUCKET/a.jpg"}',
    "members that nobody knows": b'{"a":[1,{"b":null}],"source-ref":"s3://BUCKET/a.jpg","c-metadata":{"t":"x"}}',
    "comma at the end": b'{"source-ref":"s3://BUCKET/a.jpg",}',
    "single quotes": b"{'source-ref':'s3://BUCKET/a.jpg'}",
    "comment": GOOD + b" // one",
    "two texts": GOOD + GOOD,
    "two texts with a comma": GOOD + b",",
    "array": b"[" + GOOD + b"]",
    "null": b"null",
    "true": b"true",
    "number": b"7",
    "text": b'"s3://BUCKET/a.jpg"',
    "no member": b"{}",
    "source-ref null": b'{"source-ref":null}',
    "source-ref number": b'{"source-ref":7}',
    "source-ref array": b'{"source-ref":["s3://BUCKET/a.jpg"]}',
    "source-ref object": b'{"source-ref":{"s3":"BUCKET/a.jpg"}}',
    "source-ref empty": b'{"source-ref":""}',
    "other scheme": b'{"source-ref":"http://elsewhere/a.jpg"}',
    "scheme in capitals": b'{"source-ref":"S3://BUCKET/a.jpg"}',
    "blank before the scheme": b'{"source-ref":" s3://BUCKET/a.jpg"}',
    "scheme alone": b'{"source-ref":"s3://"}',
    "no key": b'{"source-ref":"s3://BUCKET"}',
    "empty key": b'{"source-ref":"s3://BUCKET/"}',
    "short bucket": ref("a.jpg", "ab"),
    "long bucket": ref("a.jpg", "b" * 256),
    "bucket with a blank": ref("a.jpg", "my bucket"),
    "bucket that is not there": ref("a.jpg", "no-such-bucket-of-this-test"),
    "bucket as an ARN": ref("a.jpg", "arn:aws:s3:us-east-1:123456789012:accesspoint"),
    "cut off": b'{"source-ref":"s3://BUCKET/a',
    "nested in bounds": b'{"source-ref":"s3://BUCKET/a.jpg","x":' + b"[" * 1000 + b"]" * 1000 + b"}",
    "nested beyond bounds": b'{"source-ref":"s3://BUCKET/a.jpg","x":' + b"[" * 1100 + b"]" * 1100 + b"}",
    "nested as deep as a stack": b"[" * 100_000,
    "control character": b'{"source-ref":"s3://BUCKET/a\x01.jpg"}',
    "NUL": b'{"source-ref":"s3://BUCKET/a\x00.jpg"}',
    "escaped NUL": b'{"source-ref":"s3://BUCKET/a\\u0000.jpg"}',
    "no UTF-8": b'{"source-ref":"s3://BUCKET/\xe9.jpg"}',
    "half of a pair, escaped": b'{"source-ref":"s3://BUCKET/\\ud83d.jpg"}',
    "half of a pair, in bytes": b'{"source-ref":"s3://BUCKET/\xed\xa0\xbd.jpg"}',
    "UTF-16": GOOD.decode().encode("utf-16"),
    "very long": b'{"source-ref":"s3://BUCKET/a.jpg","x":"' + b"y" * 2_000_000 + b'"}',
    "key that is not there": ref("gone.jpg"),
    "key of 1,024 bytes": ref("k" * 1024),
    "key of 1,025 bytes": ref("k" * 1025),
    "key of 1,024 characters and more bytes": ref("é" * 1024),
    "key of 4,000 characters": ref("é" * 4000),
    "key with a dot folder": ref("x/../a.jpg"),
    "key with two slashes": ref("/a.jpg"),
    "key that ends in a slash": ref("a.jpg/"),
    "key with blanks at its ends": ref(" a.jpg "),
    "key of a blank": ref(" "),
    "key with percent signs": ref("%61.jpg"),
    "key with a line break": ref("new\nline.jpg"),
    "key like a version": ref("a.jpg?versionId=null"),
    "twice": GOOD,
}
FILES = {
    "mark of byte order": BOM + GOOD + b"\n" + GOOD,
    "mark and no more": BOM,
    "two marks": BOM + BOM + GOOD + b"\n" + GOOD,
    "mark before a blank line": BOM + b"\n" + GOOD,
    "no line break at the end": GOOD,
    "carriage returns alone": GOOD + b"\r" + GOOD + b"\r",
    "nothing": b"",
    "blank lines": b"\n \n\r\n",
    "no line names an image": NAMELESS + b"{}\n",
    "UTF-16": (GOOD + b"\n").decode().encode("utf-16"),
    "one array of all": b"[\n" + GOOD + b",\n" + GOOD + b"\n]\n",
    "too many lines": NAMELESS * 10_001,
    "blank lines beyond the bound": b"\n" * 10_001 + GOOD,
}


@pytest.fixture
def told_by_both(bench: Workbench) -> Callable[[dict[str, bytes]], dict[str, tuple[Any, Any]]]:
    """What a bulk job says of each of some manifests, and what the detect backend says."""
    bench.s3.put_object(Bucket=bench.bucket, Key="a.jpg", Body=pictures.jpeg(80, 80))

    def tell(manifests: dict[str, bytes]) -> dict[str, tuple[Any, Any]]:
        with closing(boto3.session.Session().client("rekognition")) as rekognition:
            jobs = {}
            for number, (name, content) in enumerate(manifests.items()):
                body = content.replace(b"BUCKET", bench.bucket.encode())
                bench.s3.put_object(Bucket=bench.bucket, Key=f"m{number}", Body=body)
                place = {"S3Object": {"Bucket": bench.bucket, "Name": f"m{number}"}}
                try:
                    started = rekognition.start_media_analysis_job(**request_for(bench.bucket, Input=place))
                    jobs[name] = started["JobId"]
                except rekognition.exceptions.InvalidManifestException:
                    jobs[name] = None
            single = {name: _by_calls(bench, f"m{number}") for number, name in enumerate(manifests)}
            return {name: (_by_job(bench, rekognition, job), single[name]) for name, job in jobs.items()}

    return tell


def _by_job(bench: Workbench, rekognition: Any, job_id: str | None) -> Any:
    if job_id is None:  # refused before it began
        return "INVALID_MANIFEST"
    job = wait_for_job(rekognition, job_id)
    if job["Status"] == "FAILED":
        return job["FailureDetails"]["Code"]
    results = [json.loads(line) for line in output(bench.s3, job, "Results").splitlines()]
    return results, json.loads(output(bench.s3, job, "ManifestSummary"))


def _by_calls(bench: Workbench, name: str) -> Any:
    request = bench.request([], name="unused", manifest_uri=f"s3://{bench.bucket}/{name}")
    try:
        outcome = bench.run(request)
    except DetectError as error:
        return {"ManifestInvalid": "INVALID_MANIFEST"}.get(type(error).__name__, repr(error))
    return bench.results(outcome), bench.summary(outcome)


def test_each_line_has_the_same_outcome(told_by_both: Any) -> None:
    bulk, single = told_by_both({"lines": b"\n".join(LINES.values())})["lines"]
    names = dict(enumerate(LINES, start=1))

    def by_name(said: Any) -> dict[str, Any]:
        return {names[error["line-numer"]]: (error["code"], error["message"]) for error in said[1]["errors"]}

    assert by_name(single) == by_name(bulk)
    assert single == bulk


@pytest.mark.slow
def test_each_file_has_the_same_outcome(told_by_both: Any) -> None:
    said = told_by_both(FILES)
    assert {name: single for name, (_, single) in said.items()} == {
        name: bulk for name, (bulk, _) in said.items()
    }
