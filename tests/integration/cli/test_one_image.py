"""``moderation detect``: one image, a file or an object in S3, told as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition.launch import Rekognition
from moderation.cli import main
from support import pictures

Run = Callable[..., tuple[int, str, str]]
WINE = next((Path(main.__file__).parents[2] / "local_aws" / "demo_images").rglob("wine*.jpg"))


@pytest.fixture
def run(
    aws_env: pytest.MonkeyPatch, rekognition_server: Rekognition, capsys: pytest.CaptureFixture[str]
) -> Run:
    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", rekognition_server.endpoint_url)

    def run(*words: object) -> tuple[int, str, str]:
        code = main.main(["detect", *map(str, words)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_labels_are_told_with_level_parent_and_confidence(run: Run) -> None:
    _, text, _ = run(WINE, "--json")
    labels = json.loads(text)["ModerationLabels"]
    code, out, err = run(WINE)
    assert labels
    assert (code, err) == (0, "")
    told = [line.split(maxsplit=2) for line in out.partition("confidence  level  label\n")[2].splitlines()]
    assert told == [
        [
            f"{label['Confidence']:.2f}",
            str(label["TaxonomyLevel"]),
            label["Name"] + (f" (in {label['ParentName']})" if label["ParentName"] else ""),
        ]
        for label in labels
    ]


def test_a_file_and_an_object_get_the_same_answer(run: Run, s3_client: Any, bucket: str) -> None:
    s3_client.put_object(Bucket=bucket, Key="a b#.jpg", Body=WINE.read_bytes())
    answers = [json.loads(run(image, "--json")[1]) for image in (WINE, f"s3://{bucket}/a b#.jpg")]
    assert answers[0] == answers[1]
    assert "ResponseMetadata" not in answers[0]


def test_an_image_without_labels_says_so(run: Run) -> None:
    code, out, _ = run(WINE, "--min-confidence", "100")
    assert code == 0
    assert "none of at least 100 %" in out


def test_a_file_of_more_than_five_megabytes_is_for_s3(
    run: Run, tmp_path: Path, s3_client: Any, bucket: str
) -> None:
    body = pictures.picture() + bytes(5 * 2**20)
    (tmp_path / "big.jpg").write_bytes(body)
    s3_client.put_object(Bucket=bucket, Key="big.jpg", Body=body)
    code, out, err = run(tmp_path / "big.jpg")
    assert (code, out) == (2, "")
    assert "a file may have 5 MB, an object in S3 15 MB" in err
    assert run(f"s3://{bucket}/big.jpg")[0] == 0


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"text", "The content is text; only PNG and JPEG are taken. Nothing was asked and nothing was paid"),
        (b"", "The file is empty."),
        (pictures.forty_px(), "each side must have 80 to 10000"),
        (None, "is no file; name an image"),
    ],
)
def test_what_would_be_refused_is_not_asked(run: Run, tmp_path: Path, body: bytes | None, says: str) -> None:
    if body is not None:
        (tmp_path / "a.jpg").write_bytes(body)
    code, out, err = run(tmp_path / "a.jpg")
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (".", "is a folder; name one image in it"),
        ("s3://bucket/photos/", "is a folder; name one image"),
        ("s3://", "s3://"),
        ("s3://no-such-bucket-of-this-test/a.jpg", "S3"),
    ],
)
def test_what_is_no_image_is_named(run: Run, image: str, says: str) -> None:
    code, out, err = run(image)
    assert (code, out) == (2, "")
    assert says in err


def test_an_adapter_that_is_not_there_is_refused_before_anything_is_paid(run: Run) -> None:
    arn = "arn:aws:rekognition:us-east-1:123456789012:project/none/version/none/1700000000000"
    code, _, err = run(WINE, "--adapter", arn)
    assert code == 2
    assert "none" in err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"moderation {version('rekognition-bulk-moderation')}\n"
