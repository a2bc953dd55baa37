"""DetectModerationLabels against real S3."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.inference import moderator
from local_aws.rekognition.launch import Rekognition
from local_aws.rekognition.settings import ServerSettings
from local_aws.seaweedfs import Credentials
from support.hash_moderator import MODEL_VERSION, HashModerator
from support.pictures import GOOD, HOSTILE, jpeg
from support.rekognition_server import client, ledger, quick

ARN = "arn:aws:rekognition:{region}:{account}:project/p/version/v1/1700000000000"


def detect(rekognition: Any, bucket: str, key: str, **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = rekognition.detect_moderation_labels(
        Image={"S3Object": {"Bucket": bucket, "Name": key}}, **options
    )
    return answer


def refused(rekognition: Any, code: str, call: Any) -> str:
    with pytest.raises(rekognition.exceptions.ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] == code
    return str(caught.value.response["Error"]["Message"])


@pytest.mark.parametrize("name", sorted(GOOD.keys() - {"huge_icc"}))  # which is too large for a request
def test_a_good_picture_gets_the_same_answer_from_s3_and_in_the_request(
    rekognition: Any, s3_client: Any, bucket: str, name: str
) -> None:
    data = GOOD[name]()
    s3_client.put_object(Bucket=bucket, Key="picture", Body=data)
    stored = detect(rekognition, bucket, "picture")
    sent = rekognition.detect_moderation_labels(Image={"Bytes": data})
    assert stored["ModerationModelVersion"] == MODEL_VERSION
    expected = HashModerator().moderate(data)
    assert [label["Name"] for label in stored["ModerationLabels"]] == [
        label.name for label in expected.labels
    ]
    for part in ("ModerationLabels", "ContentTypes", "ModerationModelVersion"):
        assert stored[part] == sent[part]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_picture_is_refused_with_awss_exception(
    rekognition: Any, s3_client: Any, bucket: str, name: str
) -> None:
    hostile = HOSTILE[name]
    s3_client.put_object(Bucket=bucket, Key="picture", Body=hostile.make())
    refused(rekognition, hostile.error, lambda: detect(rekognition, bucket, "picture"))


@pytest.mark.parametrize(
    "key", ["a b%20#?.jpg", "quote'\".jpg", "new\nline.jpg", "emoji 🎨.jpg", "/".join(["x" * 199] * 5)]
)
def test_odd_keys_are_found(rekognition: Any, s3_client: Any, bucket: str, key: str) -> None:
    s3_client.put_object(Bucket=bucket, Key=key, Body=jpeg())
    assert detect(rekognition, bucket, key)["ModerationModelVersion"] == MODEL_VERSION


def test_a_version_of_an_object_can_be_named(rekognition: Any, s3_client: Any, bucket: str) -> None:
    s3_client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3_client.put_object(Bucket=bucket, Key="k", Body=jpeg(seed=1))["VersionId"]
    s3_client.put_object(Bucket=bucket, Key="k", Body=b"no picture")
    image = {"S3Object": {"Bucket": bucket, "Name": "k", "Version": old}}
    answer = rekognition.detect_moderation_labels(Image=image)
    assert (
        answer["ModerationLabels"]
        == rekognition.detect_moderation_labels(Image={"Bytes": jpeg(seed=1)})["ModerationLabels"]
    )
    refused(rekognition, "InvalidImageFormatException", lambda: detect(rekognition, bucket, "k"))


def test_the_real_model_answers_by_default_and_says_that_it_is_not_rekognition(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    s3_client.put_object(Bucket=bucket, Key="k", Body=jpeg(320, 240))
    server = start_rekognition(settings=quick(moderator=ServerSettings().moderator))
    with client(server, credentials) as rekognition:
        answer = detect(rekognition, bucket, "k", MinConfidence=0)
    assert answer["ModerationModelVersion"] == moderator.MODEL_VERSION
    assert answer["ModerationModelVersion"].startswith("offline")


def test_min_confidence_is_honoured(rekognition: Any) -> None:
    for seed in range(8):
        image = {"Bytes": jpeg(seed=seed)}
        assert rekognition.detect_moderation_labels(Image=image, MinConfidence=100)["ModerationLabels"] == []


@pytest.mark.parametrize("place", [("nonexistent-bucket-x", "k"), (None, "nonexistent"), (None, "folder/")])
def test_an_object_that_is_not_there_is_an_invalid_s3_object(
    rekognition: Any, bucket: str, place: tuple[str | None, str]
) -> None:
    text = refused(
        rekognition, "InvalidS3ObjectException", lambda: detect(rekognition, place[0] or bucket, place[1])
    )
    assert text.startswith("Unable to get object metadata from S3.")


@pytest.mark.parametrize(
    ("image", "code", "text"),
    [
        ({}, "InvalidParameterException", "Request has invalid parameters."),
        ({"Bytes": b"x", "S3Object": {"Bucket": "b" * 3}}, "InvalidParameterException", None),
        ({"S3Object": {}}, "InvalidS3ObjectException", "Request has invalid S3 object."),
        ({"S3Object": {"Bucket": "bucket"}}, "InvalidS3ObjectException", "Request has invalid S3 object."),
    ],
)
def test_an_image_must_be_one_of_bytes_and_a_whole_address(
    rekognition: Any, image: dict[str, Any], code: str, text: str | None
) -> None:
    said = refused(rekognition, code, lambda: rekognition.detect_moderation_labels(Image=image))
    assert said == (text or "Request has invalid parameters.")


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        (ARN.format(region="us-east-1", account="123456789012"), "ResourceNotFoundException"),
        (ARN.format(region="eu-west-1", account="123456789012"), "InvalidParameterException"),
        (ARN.format(region="us-east-1", account="999999999999"), "InvalidParameterException"),
        ("arn:aws:rekognition:us-east-1:1:project/p", "ValidationException"),
    ],
)
def test_an_adapter_that_cannot_answer_is_refused(rekognition: Any, arn: str, code: str) -> None:
    call = lambda: rekognition.detect_moderation_labels(Image={"Bytes": jpeg()}, ProjectVersion=arn)  # noqa: E731 - read once
    refused(rekognition, code, call)


def test_a_human_loop_that_is_not_there_is_refused(rekognition: Any) -> None:
    loop = {"HumanLoopName": "loop", "FlowDefinitionArn": "arn:aws:sagemaker:us-east-1:1:flow-definition/x"}
    call = lambda: rekognition.detect_moderation_labels(Image={"Bytes": jpeg()}, HumanLoopConfig=loop)  # noqa: E731 - read once
    refused(rekognition, "ResourceNotFoundException", call)


def test_the_callers_own_rights_are_used_on_s3(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    """The second key may call Rekognition, but S3 does not know it."""
    s3_client.put_object(Bucket=bucket, Key="k", Body=jpeg())
    stranger = Credentials("AKIASTRANGER", "known-to-rekognition-only")
    server = start_rekognition(keys=[credentials, stranger])
    with client(server, stranger) as theirs, client(server, credentials) as ours:
        refused(theirs, "InvalidS3ObjectException", lambda: detect(theirs, bucket, "k"))
        assert theirs.detect_moderation_labels(Image={"Bytes": jpeg()})
        assert detect(ours, bucket, "k")


def test_limits_on_images_can_be_set(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    limits = {"image_bytes": 5_000, "raw_image_bytes": 100, "min_side": 10, "max_side": 100}
    server = start_rekognition(settings=quick(limits=limits))
    for key, width in (("tiny", 9), ("small", 20), ("wide", 101)):
        s3_client.put_object(Bucket=bucket, Key=key, Body=jpeg(width, 20))
    s3_client.put_object(Bucket=bucket, Key="heavy", Body=jpeg(50, 50) + bytes(5_000))
    with client(server, credentials) as rekognition:
        assert detect(rekognition, bucket, "small")
        for key in ("tiny", "wide"):
            refused(
                rekognition, "InvalidParameterException", lambda key=key: detect(rekognition, bucket, key)
            )
        refused(rekognition, "ImageTooLargeException", lambda: detect(rekognition, bucket, "heavy"))
        sent = lambda: rekognition.detect_moderation_labels(Image={"Bytes": jpeg(50, 50)})  # noqa: E731 - read once
        refused(rekognition, "ImageTooLargeException", sent)


def test_a_call_is_in_the_ledger_once_it_is_answered_and_a_refused_one_never(
    rekognition: Any, rekognition_server: Rekognition, s3_client: Any, bucket: str
) -> None:
    s3_client.put_object(Bucket=bucket, Key="good", Body=jpeg())
    s3_client.put_object(Bucket=bucket, Key="bad", Body=b"text")
    request_id = detect(rekognition, bucket, "good")["ResponseMetadata"]["RequestId"]
    refused(rekognition, "InvalidImageFormatException", lambda: detect(rekognition, bucket, "bad"))
    found = [
        entry
        for entry in ledger(rekognition_server)
        if (entry["source_ref"] or "").startswith(f"s3://{bucket}/")
    ]
    assert [(entry["event"], entry["source_ref"], entry["request_id"]) for entry in found] == [
        ("detect_billed", f"s3://{bucket}/good", request_id)
    ]


def test_rates_are_kept_and_refused_calls_cost_nothing(
    start_rekognition: Any, credentials: Credentials
) -> None:
    settings = quick(limits={"calls_per_second": {"DetectModerationLabels": 0.001}})
    server = start_rekognition(settings=settings)
    with client(server, credentials) as rekognition:
        call = lambda: rekognition.detect_moderation_labels(Image={"Bytes": jpeg()})  # noqa: E731 - called thrice
        assert call()
        refused(rekognition, "ThrottlingException", call)
        with client(server, credentials, region="eu-west-1") as elsewhere:
            assert elsewhere.detect_moderation_labels(Image={"Bytes": jpeg()})
    assert len(ledger(server)) == 2
