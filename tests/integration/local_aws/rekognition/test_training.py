"""Versions train really, through kills, to files in AWS's layout, or to a failure in AWS's words."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from local_aws.inference.adapters.views import CHANGES
from local_aws.rekognition.launch import Rekognition
from local_aws.rekognition.training.examples import ExampleFile
from local_aws.seaweedfs import Credentials
from support.adapter_training import (
    BLUE,
    EASY,
    RED,
    assets,
    describe,
    line,
    output_lines,
    put_lines,
    put_squares,
    read_output,
    square,
    version_request,
    wait_for_training,
)
from support.hash_moderator import MODEL_VERSION
from support.rekognition_server import (
    client,
    ledger,
    local,
    put_manifest,
    quick,
    request_for,
    result_lines,
    wait_for_job,
    wait_until,
)

OUTCOMES = {"TruePositive", "TrueNegative", "FalsePositive", "FalseNegative"}
ADAPTERS = {"Feature": "CONTENT_MODERATION", "AutoUpdate": "DISABLED"}


@pytest.fixture
def server(start_rekognition: Any) -> Rekognition:
    started: Rekognition = start_rekognition(settings=quick(**EASY))
    return started


@pytest.fixture
def project(server: Rekognition, credentials: Credentials) -> Any:
    with client(server, credentials) as rekognition:
        yield rekognition, rekognition.create_project(ProjectName="cards", **ADAPTERS)["ProjectArn"]


def gambling(answer: dict[str, Any]) -> float:
    return max(
        [one["Confidence"] for one in answer["ModerationLabels"] if one["Name"] == "Gambling"], default=0
    )


@pytest.mark.slow
def test_a_trained_version_answers_otherwise_than_the_base_model_and_says_by_whom(
    server: Rekognition, project: Any, s3_client: Any, bucket: str
) -> None:
    """In calls and in jobs; in each state that an adapter can come to."""
    rekognition, arn = project
    put_lines(s3_client, bucket, put_squares(s3_client, bucket, 30))
    version = rekognition.create_project_version(**version_request(arn, bucket))["ProjectVersionArn"]
    assert wait_for_training(rekognition, arn)["Status"] == "TRAINING_COMPLETED"

    unseen = {name: square(colour, 49) for name, colour in (("red", RED), ("blue", BLUE))}
    for name, body in unseen.items():
        s3_client.put_object(Bucket=bucket, Key=f"unseen-{name}.png", Body=body)

    def both(adapter: str | None) -> list[tuple[bool, str | None, str]]:
        by = {"ProjectVersion": adapter} if adapter else {}
        answers = [
            rekognition.detect_moderation_labels(Image={"Bytes": body}, **by) for body in unseen.values()
        ]
        put_manifest(s3_client, bucket, [f"s3://{bucket}/unseen-{name}.png" for name in unseen])
        job = rekognition.start_media_analysis_job(
            **request_for(bucket, OperationsConfig={"DetectModerationLabels": by})
        )
        lines = result_lines(s3_client, wait_for_job(rekognition, job["JobId"]))
        shown = ["ModerationLabels", "ModerationModelVersion", "ProjectVersion", "ContentTypes"]
        for answer, one in zip(answers, lines, strict=True):
            assert {name: value for name, value in answer.items() if name in shown} == one[
                "detect-moderation-labels"
            ]
        return [
            (gambling(one) >= 50, one.get("ProjectVersion"), one["ModerationModelVersion"]) for one in answers
        ]

    base, found = both(None), [(True, version, MODEL_VERSION), (False, version, MODEL_VERSION)]
    assert both(version) == found
    assert found != base
    for status, expected in (("DEPRECATED", found), ("EXPIRED", base), ("TRAINING_COMPLETED", found)):
        code, answer = local(server, "/adapters", method="PATCH", body={version: status})
        assert (code, answer["trained"]) == (200, {version: status})
        assert describe(rekognition, arn)["Status"] == status
        assert both(version) == expected
    assert local(server, "/adapters", method="PATCH", body={version: "STOPPED"})[0] == 400
    assert local(server, "/adapters", method="PATCH", body={version + "1": "EXPIRED"})[0] == 400


def test_training_leaves_files_in_awss_layout(project: Any, s3_client: Any, bucket: str) -> None:
    rekognition, arn = project
    lines = put_squares(s3_client, bucket, 20)
    put_lines(s3_client, bucket, lines[:30])
    put_lines(s3_client, bucket, lines[30:], key="test.jsonl")
    config = {"ContentModeration": {"ConfidenceThreshold": 70.0}}
    request = version_request(
        arn, bucket, TestingData=assets(bucket, "test.jsonl"), FeatureConfig=config, VersionDescription="why"
    )
    version = rekognition.create_project_version(**request)["ProjectVersionArn"]
    found = wait_for_training(rekognition, arn)
    assert found["BillableTrainingTimeInSeconds"] >= 1
    assert found["TrainingEndTimestamp"] >= found["CreationTimestamp"]
    assert (found["BaseModelVersion"], found["Feature"]) == (MODEL_VERSION, "CONTENT_MODERATION")
    assert (found["FeatureConfig"], found["VersionDescription"]) == (config, "why")
    assert found["TestingDataResult"]["Input"] == request["TestingData"]
    assert output_lines(s3_client, found["TrainingDataResult"]) == lines[:30]
    tested = output_lines(s3_client, found["TestingDataResult"])
    assert [
        {name: one[name] for name in ("source-ref", "content-moderation-groundtruth")} for one in tested
    ] == lines[30:]
    for one in tested:
        for by in ("detect-moderation-labels", "detect-moderation-labels-base-model"):
            assert one[by]["ModerationModelVersion"] == MODEL_VERSION
            assert one[by]["ProjectVersion"] == version
            for label in one[by]["ModerationLabels"]:
                assert label.keys() == {"Confidence", "Name", "ParentName"}
                assert label["Confidence"] >= 5
    summary = json.loads(read_output(s3_client, found["EvaluationResult"]["Summary"]["S3Object"]))
    details, results = summary["EvaluationDetails"], summary["ContentModeration"]
    assert (details["NumberOfTrainingImages"], details["NumberOfTestingImages"]) == (30, 10)
    assert details["ProjectVersionArn"] == version
    at_input = results["InputConfidenceThresholdEvalResults"]
    everywhere = results["AllConfidenceThresholdsEvalResults"]
    assert [one["ConfidenceThreshold"] for one in everywhere] == list(range(5, 101, 5))
    assert at_input == {**everywhere[13], "ConfidenceThreshold": 70.0}
    for model, by in (("Adapter", ""), ("BaseModel", "-base-model")):
        (counts,) = [one[model] for one in at_input["LabelEvaluationResults"] if one["Label"] == "Gambling"]
        assert counts.keys() == OUTCOMES
        assert sum(counts.values()) == 10
        said = [gambling(one[f"detect-moderation-labels{by}"]) >= 70 for one in tested]
        true = [bool(one["content-moderation-groundtruth"]["ModerationLabels"]) for one in tested]
        assert counts["TruePositive"] == sum(a and b for a, b in zip(said, true, strict=True))
        assert counts["FalsePositive"] == sum(a and not b for a, b in zip(said, true, strict=True))
    total = at_input["AggregatedEvaluationResults"]["Adapter"]
    hits = 2 * total["TruePositive"]
    f1 = hits / (hits + total["FalsePositive"] + total["FalseNegative"])
    assert summary["AggregatedEvaluationResults"]["F1Score"] == pytest.approx(f1)
    assert found["EvaluationResult"]["F1Score"] == pytest.approx(f1)


def broken(s3: Any, bucket: str, lines: list[dict[str, Any]], keep: int) -> None:
    for one in lines[keep:]:
        s3.put_object(Bucket=bucket, Key=one["source-ref"].rpartition("/")[2], Body=b"no picture")


def two_buckets(s3: Any, bucket: str, lines: list[Any]) -> list[Any]:
    return [*lines, line("s3://another-bucket/x.png", [])]


FAILURES: dict[str, tuple[Callable[[Any, str, list[Any]], list[Any]], str]] = {
    "an unknown label": (
        lambda s3, bucket, lines: [*lines, line(lines[0]["source-ref"], ["Cards"])],
        "The manifest file contains an invalid label. Line 41 names 'Cards'",
    ),
    "two buckets": (two_buckets, "The manifest file contains images from multiple S3 buckets."),
    "too many images": (lambda s3, bucket, lines: lines * 3, "The manifest file has too many rows."),
    "no image": (lambda s3, bucket, lines: [], "The manifest file is empty."),
    "nothing to correct": (
        lambda s3, bucket, lines: [line(one["source-ref"], ["Pills"]) for one in lines[:4]],
        "The manifest file contains too few",
    ),
}


def test_trainings_fail_in_awss_words(
    start_rekognition: Any, credentials: Credentials, s3_client: Any, bucket: str
) -> None:
    limits = {"training_images": 100, "running_trainings": len(FAILURES)}
    server = start_rekognition(settings=quick(**EASY, limits=limits))
    lines = put_squares(s3_client, bucket)
    with client(server, credentials) as rekognition:
        arn = rekognition.create_project(ProjectName="fails", **ADAPTERS)["ProjectArn"]
        for number, (make, _) in enumerate(FAILURES.values()):
            put_lines(s3_client, bucket, make(s3_client, bucket, lines), key=f"{number}.jsonl")
            request = version_request(
                arn, bucket, f"v{number}", TrainingData=assets(bucket, f"{number}.jsonl")
            )
            rekognition.create_project_version(**request)
        for number, (_, said) in enumerate(FAILURES.values()):
            found = wait_for_training(rekognition, arn, f"v{number}")
            assert found["Status"] == "TRAINING_FAILED"
            assert found["StatusMessage"].startswith(said)
            assert not found.keys() & {"BillableTrainingTimeInSeconds", "EvaluationResult"}
    assert {entry["event"] for entry in ledger(server)} == {"training_started"}


@pytest.mark.parametrize(("unreadable", "status"), [(8, "TRAINING_COMPLETED"), (20, "TRAINING_FAILED")])
def test_unreadable_images_are_left_out_and_named_until_they_are_too_many(
    project: Any, s3_client: Any, bucket: str, unreadable: int, status: str
) -> None:
    rekognition, arn = project
    lines = put_squares(s3_client, bucket, 25)
    test, lines = lines[:10], lines[10:]
    broken(s3_client, bucket, lines, 40 - unreadable)
    s3_client.delete_object(Bucket=bucket, Key=lines[-1]["source-ref"].rpartition("/")[2])
    put_lines(s3_client, bucket, lines)
    put_lines(s3_client, bucket, test, key="test.jsonl")
    rekognition.create_project_version(
        **version_request(arn, bucket, TestingData=assets(bucket, "test.jsonl"))
    )
    found = wait_for_training(rekognition, arn)
    assert found["Status"] == status
    summary = json.loads(read_output(s3_client, found["ManifestSummary"]["S3Object"]))
    assert summary["statistics"]["invalid-json-lines"] == unreadable
    refs = [one["source-ref"] for one in lines[40 - unreadable :]]
    assert [entry["source-ref"] for entry in summary["errors"]] == refs
    if status == "TRAINING_FAILED":
        assert "too many invalid rows. 20 of 40 images cannot be read" in found["StatusMessage"]
    else:
        assert len(output_lines(s3_client, found["TrainingDataResult"])) == 40 - unreadable


@pytest.mark.slow
def test_too_few_mistakes_are_refused_with_the_counts(
    start_rekognition: Any, credentials: Credentials, s3_client: Any, bucket: str
) -> None:
    """AWS's own minimum: 20 false positives or 50 false negatives of a label, and 20 test images."""
    server = start_rekognition()
    lines = put_squares(s3_client, bucket, 49, label="Smoking")
    put_lines(s3_client, bucket, [one for one in lines if "red" in one["source-ref"]])
    put_lines(s3_client, bucket, lines[-40:], key="test.jsonl")
    put_lines(s3_client, bucket, lines[-19:], key="few.jsonl")
    with client(server, credentials) as rekognition:
        arn = rekognition.create_project(ProjectName="few", **ADAPTERS)["ProjectArn"]
        for name, key in (("v1", "test.jsonl"), ("v2", "few.jsonl")):
            request = version_request(arn, bucket, name, TestingData=assets(bucket, key))
            rekognition.create_project_version(**request)
        said = [wait_for_training(rekognition, arn, name)["StatusMessage"] for name in ("v1", "v2")]
    assert "Smoking has 0 false positives and 49 false negatives" in said[0]
    assert "19 images are there to test with, at least 20 are needed" in said[1]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["kill", pytest.param("stop", marks=pytest.mark.long)])
def test_a_training_goes_on_where_it_stood(  # noqa: PLR0917 - fixtures
    start_rekognition: Any, credentials: Credentials, s3_client: Any, bucket: str, tmp_path: Path, end: str
) -> None:
    """Ended on the way twice, once with a torn file; what was looked at is not looked at again."""
    put_lines(s3_client, bucket, put_squares(s3_client, bucket, 40))
    settings = quick(**EASY, training_seconds=3600.0)
    server = start_rekognition(settings=settings)
    with client(server, credentials) as rekognition:
        arn = rekognition.create_project(ProjectName="killed", **ADAPTERS)["ProjectArn"]
        rekognition.create_project_version(**version_request(arn, bucket))

    def file() -> Path | None:
        return next((tmp_path / "rekognition" / "trainings").glob("*/examples.bin"), None)

    for least in (5_000, 15_000):
        wait_until(lambda least=least: (found := file()) and found.stat().st_size > least)
        if end == "kill":
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.popen.wait(timeout=240)
            torn = file()
            assert torn is not None
            torn.write_bytes(torn.read_bytes()[:-7])
        else:
            server.stop()
        left = file()
        assert left is not None
        before = left.read_bytes()[: least // 2]
        server = start_rekognition(settings=settings if least < 10_000 else quick(**EASY))
        if least < 10_000:
            assert left.read_bytes()[: least // 2] == before
    with client(server, credentials) as rekognition:
        found = wait_for_training(rekognition, arn)
        assert found["Status"] == "TRAINING_COMPLETED"
        assert len(output_lines(s3_client, found["TrainingDataResult"])) == 64
        assert rekognition.list_tags_for_resource(ResourceArn=found["ProjectVersionArn"])["Tags"] == {}
    assert [entry["event"] for entry in ledger(server)] == ["training_started", "training_billed"]
    assert not any((tmp_path / "rekognition" / "trainings").iterdir())


def test_copies_are_looked_at_of_what_is_learnt_from_and_not_of_what_tests(
    start_rekognition: Any, credentials: Credentials, s3_client: Any, bucket: str, tmp_path: Path
) -> None:
    put_lines(s3_client, bucket, put_squares(s3_client, bucket, 10))
    server = start_rekognition(settings=quick(**EASY, training_seconds=3600.0, training_views=2))
    with client(server, credentials) as rekognition:
        arn = rekognition.create_project(ProjectName="looks", **ADAPTERS)["ProjectArn"]
        rekognition.create_project_version(**version_request(arn, bucket))

    def written() -> bool:
        kept = s3_client.list_objects_v2(Bucket=bucket, Prefix="trained").get("Contents", [])
        return any(entry["Key"].endswith("/manifest-summary.json") for entry in kept)

    wait_until(written)
    (left,) = (tmp_path / "rekognition" / "trainings").glob("*/examples.bin")
    made_with = {"model": MODEL_VERSION, "views": [change.__name__ for change in CHANGES[:2]]}
    with closing(ExampleFile(Path(shutil.copy(left, tmp_path)), made_with)) as file:
        looks = Counter(len(one.features) for one in file.read() if one.features is not None)
    assert looks == {3: 16, 1: 4}


def test_trainings_at_once_are_bounded_and_one_under_way_cannot_be_deleted(
    start_rekognition: Any, credentials: Credentials, s3_client: Any, bucket: str
) -> None:
    put_lines(s3_client, bucket, put_squares(s3_client, bucket, 5))
    server = start_rekognition(
        settings=quick(**EASY, training_seconds=3600.0, limits={"running_trainings": 1})
    )
    with client(server, credentials) as rekognition:
        arn = rekognition.create_project(ProjectName="bounded", **ADAPTERS)["ProjectArn"]
        version = rekognition.create_project_version(**version_request(arn, bucket))["ProjectVersionArn"]
        errors = rekognition.exceptions
        with pytest.raises(errors.LimitExceededException, match="1 trainings are in progress"):
            rekognition.create_project_version(**version_request(arn, bucket, "v2"))
        with pytest.raises(errors.ResourceInUseException):
            rekognition.delete_project_version(ProjectVersionArn=version)
        with pytest.raises(errors.ResourceNotReadyException):
            rekognition.detect_moderation_labels(Image={"Bytes": b"x"}, ProjectVersion=version)
