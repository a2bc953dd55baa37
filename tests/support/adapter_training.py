"""Training sets for the offline endpoint: coloured squares, which its quick moderator tells apart."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

import local_aws
from support import pictures
from support.rekognition_server import wait_until

ADAPTER_IMAGES = Path(local_aws.__file__).parent / "adapter_images"
RED, BLUE = (200, 30, 30), (30, 30, 200)
EASY = {"training_false_positives": 1, "training_false_negatives": 1, "training_test_images": 1}
"""Settings with which a handful of images is enough."""


def truth() -> list[tuple[str, str]]:
    """File and label of each image that comes with the package; "" for no label."""
    with (ADAPTER_IMAGES / "truth.csv").open(encoding="utf-8") as file:
        return [(row["file"], row["label"]) for row in csv.DictReader(file)]


def square(colour: tuple[int, int, int], number: int) -> bytes:
    """A PNG of one colour, a little different for each number."""
    red, green, blue = colour
    return pictures.encode(Image.new("RGB", (80, 80), (red + number % 50, green, blue + number // 50)), "PNG")


def line(ref: str, labels: Iterable[str]) -> dict[str, Any]:
    """A line of a ground truth manifest."""
    return {
        "source-ref": ref,
        "content-moderation-groundtruth": {"ModerationLabels": [{"Name": name} for name in labels]},
    }


def put_squares(s3: Any, bucket: str, count: int = 20, *, label: str = "Gambling") -> list[dict[str, Any]]:
    """Store red squares, which show the label, and blue ones, which show nothing; return their lines."""
    lines = []
    for number in range(count):
        for name, colour, labels in (("red", RED, [label]), ("blue", BLUE, [])):
            key = f"{name}-{number:04}.png"
            s3.put_object(Bucket=bucket, Key=key, Body=square(colour, number))
            lines.append(line(f"s3://{bucket}/{key}", labels))
    return lines


def put_lines(s3: Any, bucket: str, lines: Sequence[dict[str, Any] | str], key: str = "truth.jsonl") -> None:
    """Store a ground truth manifest; a line that is text is stored as it is."""
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
    s3.put_object(Bucket=bucket, Key=key, Body=text.encode())


def assets(bucket: str, key: str = "truth.jsonl") -> dict[str, Any]:
    """TrainingData, or TestingData, of one manifest."""
    return {"Assets": [{"GroundTruthManifest": {"S3Object": {"Bucket": bucket, "Name": key}}}]}


def version_request(project: str, bucket: str, name: str = "v1", **changes: Any) -> dict[str, Any]:
    """Arguments of CreateProjectVersion for ``truth.jsonl`` of a bucket, split by AWS."""
    return {
        "ProjectArn": project,
        "VersionName": name,
        "OutputConfig": {"S3Bucket": bucket, "S3KeyPrefix": "trained"},
        "TrainingData": assets(bucket),
        "TestingData": {"AutoCreate": True},
        **changes,
    }


def describe(rekognition: Any, project: str, name: str = "v1") -> dict[str, Any]:
    """One version as DescribeProjectVersions shows it."""
    answer = rekognition.describe_project_versions(ProjectArn=project, VersionNames=[name])
    (found,) = answer["ProjectVersionDescriptions"]
    return dict(found)


def wait_for_training(
    rekognition: Any, project: str, name: str = "v1", *, timeout: float = 240.0
) -> dict[str, Any]:
    """Wait until a training is over and return the version."""

    def over() -> dict[str, Any] | None:
        found = describe(rekognition, project, name)
        return None if found["Status"] == "TRAINING_IN_PROGRESS" else found

    done: dict[str, Any] = wait_until(over, timeout=timeout, what=f"the end of the training of {name}")
    return done


def read_output(s3: Any, place: dict[str, str]) -> bytes:
    """The bytes of an output file."""
    with s3.get_object(Bucket=place["Bucket"], Key=place["Name"])["Body"] as body:
        return bytes(body.read())


def output_lines(s3: Any, result: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of a TrainingDataResult's or TestingDataResult's output manifest."""
    (asset,) = result["Output"]["Assets"]
    text = read_output(s3, asset["GroundTruthManifest"]["S3Object"])
    return [json.loads(one) for one in text.splitlines()]
