"""From the (rendered) arguments of an operator to a StartMediaAnalysisJob request."""

from __future__ import annotations

from typing import Any

from rekognition.exceptions import RekognitionArgumentError

# How the operator calls the members of a StartMediaAnalysisJob request; errors use these names.
ARGUMENT_OF = {
    "Input.S3Object.Bucket": "input_uri",
    "Input.S3Object.Name": "input_uri",
    "Input.S3Object.Version": "input_version_id",
    "OutputConfig.S3Bucket": "output_uri",
    "OutputConfig.S3KeyPrefix": "output_uri",
    "OperationsConfig.DetectModerationLabels.MinConfidence": "min_confidence",
    "OperationsConfig.DetectModerationLabels.ProjectVersion": "project_version_arn",
    "JobName": "job_name",
    "KmsKeyId": "kms_key_id",
}

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off", ""})


def request_body(
    *,
    input_uri: str,
    input_version_id: str | None,
    output_uri: str,
    min_confidence: float | str | None,
    project_version_arn: str | None,
    kms_key_id: str | None,
) -> dict[str, Any]:
    """
    Build a request without name and token; optional members that are not given are left out.

    :raises RekognitionArgumentError: if a URI is none, or the manifest's is a folder's.
    """
    bucket, key = split_uri("input_uri", input_uri)
    if not key or key.endswith("/"):
        raise RekognitionArgumentError(
            f"input_uri must name the manifest (s3://bucket/key), not a bucket or folder: {input_uri!r}"
        )
    output_bucket, prefix = split_uri("output_uri", output_uri)
    labels = _given(MinConfidence=_number(min_confidence), ProjectVersion=optional(project_version_arn))
    return {
        "Input": {"S3Object": _given(Bucket=bucket, Name=key, Version=optional(input_version_id))},
        "OutputConfig": _given(S3Bucket=output_bucket, S3KeyPrefix=prefix or None),
        "OperationsConfig": {"DetectModerationLabels": labels},
        **_given(KmsKeyId=optional(kms_key_id)),
    }


def optional(value: str | None) -> str | None:
    """Read an optional text: a template renders None as "None", and an absent param as ""."""
    return None if value in (None, "", "None") else value


def flag(name: str, value: bool | str | None) -> bool:
    """
    Read a truth value, which a template renders as text.

    :raises RekognitionArgumentError: if the text says neither yes nor no.
    """
    text = str(optional(str(value)) or "").strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise RekognitionArgumentError(f"{name} must be true or false, not {value!r}")


def split_uri(name: str, uri: str) -> tuple[str, str]:
    """
    Split ``s3://bucket/key`` into bucket and key, which is "" if absent. Keys are taken as they are.

    :raises RekognitionArgumentError: naming the argument ``name``, if ``uri`` is none.
    """
    scheme, separator, rest = str(uri).partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not separator or not bucket:
        raise RekognitionArgumentError(f"{name} must look like s3://bucket/key, not {uri!r}")
    return bucket, key


def _number(value: float | str | None) -> float | str | None:
    text = optional(str(value))
    try:
        return None if text is None else float(text)
    except ValueError:
        return text  # the check against the service model names the argument and shows the value


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
