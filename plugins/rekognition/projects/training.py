"""
The request that starts a training, and the name under which it is found again.

CreateProjectVersion takes no ClientRequestToken, and AWS keeps a version until it is deleted: so the name is
the token. It tells the first training from the next one only where somebody wants a next one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from rekognition.arguments import optional, split_uri
from rekognition.exceptions import RekognitionArgumentError, RekognitionNameTaken

# How the operator calls the members of a CreateProjectVersion request; errors use these names.
ARGUMENT_OF = {
    "ProjectArn": "project_arn",
    "VersionName": "version_name",
    "OutputConfig.S3Bucket": "output_uri",
    "OutputConfig.S3KeyPrefix": "output_uri",
    "FeatureConfig.ContentModeration.ConfidenceThreshold": "confidence_threshold",
    "KmsKeyId": "kms_key_id",
}
_LONGEST_NAME = 255  # VersionName [service-2.json]
_ROOM_FOR_GENERATION = len("-g9999")
_ARN = re.compile(r"arn:[^:]+:rekognition:[^:]+:\d+:project/([^/]+)/version/([^/]+)/\d+")


def request_body(
    *,
    project_arn: str,
    training_uri: str,
    testing_uri: str | None,
    output_uri: str,
    confidence_threshold: float | str | None,
    kms_key_id: str | None,
    tags: Mapping[str, str] | None,
) -> dict[str, Any]:
    """
    Build a CreateProjectVersion request without its name.

    :param testing_uri: manifest of the test images; None lets AWS take a fifth of the training images.
    :raises RekognitionArgumentError: a URI is none, or names no file.
    """
    bucket, prefix = split_uri("output_uri", output_uri)
    testing = optional(testing_uri)
    body: dict[str, Any] = {
        "ProjectArn": project_arn,
        "OutputConfig": {"S3Bucket": bucket, **({"S3KeyPrefix": prefix} if prefix else {})},
        "TrainingData": {"Assets": [_asset("training_uri", training_uri)]},
        "TestingData": {"Assets": [_asset("testing_uri", testing)]} if testing else {"AutoCreate": True},
    }
    threshold = optional(str(confidence_threshold))
    if threshold is not None:
        try:
            number = float(threshold)
        except ValueError:
            raise RekognitionArgumentError(
                f"confidence_threshold must be a number, not {threshold!r}"
            ) from None
        body["FeatureConfig"] = {"ContentModeration": {"ConfidenceThreshold": number}}
    if key := optional(kms_key_id):
        body["KmsKeyId"] = key
    if tags:
        body["Tags"] = dict(tags)
    body["VersionDescription"] = f"request {_digest(body)}"
    return body


def base_name(body: Mapping[str, Any], *, version_name: str | None, asker: tuple[Any, ...]) -> str:
    """
    Name the first generation of a training.

    :param version_name: taken as it is, where given: whoever asks for it finds the same training.
    :param asker: Dag, run, task and map index; without a name of one's own the trainings of two runs differ.
    """
    if version_name:
        return version_name
    digest = hashlib.sha256(json.dumps([*asker, body], sort_keys=True).encode()).hexdigest()[:12]
    spoken = re.sub(r"[^a-zA-Z0-9_.\-]+", "-", f"{asker[0]}-{asker[2]}")
    return f"{spoken[: _LONGEST_NAME - len(digest) - 1 - _ROOM_FOR_GENERATION]}-{digest}"


def generation_name(base: str, generation: int) -> str:
    """The name of the first training, or of one that follows after so many have failed."""
    return base if generation == 1 else f"{base}-g{generation}"


def is_generation(name: str, base: str) -> bool:
    """Whether ``name`` is one of :func:`generation_name`."""
    return name == base or re.fullmatch(r"-g\d+", name.removeprefix(base)) is not None


def name_in(version_arn: str) -> str:
    """
    Read the version's name in its ARN.

    :raises RekognitionArgumentError: it is none.
    """
    return _parts(version_arn)[1]


def project_in(version_arn: str) -> str:
    """
    Read the project's name in the ARN of a version.

    :raises RekognitionArgumentError: it is none.
    """
    return _parts(version_arn)[0]


def check_same(found: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """
    Check that a version found by name is the one that ``request`` asks for.

    Its description holds the digest of its request; of one that others made, the manifests are compared.

    :raises RekognitionNameTaken: it is not.
    """
    described, asked = found.get("VersionDescription"), request["VersionDescription"]
    if described == asked:
        return
    trained_on = (found.get("TrainingDataResult") or {}).get("Input")
    if described is None and trained_on in (None, request["TrainingData"]):
        return
    raise RekognitionNameTaken(
        f"the version {found['ProjectVersionArn']} ({described or 'trained elsewhere'}) is another training "
        f"than the one asked for ({asked}); give another version_name, or delete that version",
        code="ResourceInUseException",
    )


def _parts(version_arn: str) -> tuple[str, str]:
    match = _ARN.fullmatch(version_arn)
    if match is None:
        raise RekognitionArgumentError(f"{version_arn!r} is not the ARN of an adapter version")
    return match[1], match[2]


def _asset(name: str, uri: str) -> dict[str, Any]:
    bucket, key = split_uri(name, uri)
    if not key or key.endswith("/"):
        raise RekognitionArgumentError(
            f"{name} must name a manifest (s3://bucket/key), not a bucket or folder: {uri!r}"
        )
    return {"GroundTruthManifest": {"S3Object": {"Bucket": bucket, "Name": key}}}


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
