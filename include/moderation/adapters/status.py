"""Whether an adapter version can answer at all: asked before anything is started.

An EXPIRED adapter in a request is silently ignored and the base model answers, at a price; so its status is
looked up first, and the answers are checked afterwards (`moderation.flatten.reconcile`, ``AdapterIgnored``).
"""

from __future__ import annotations

import logging
import re
from typing import Any

from botocore.exceptions import ClientError

from moderation.errors import NeedsAPersonError

_log = logging.getLogger(__name__)

USABLE = frozenset({"TRAINING_COMPLETED", "DEPRECATED"})
_VERSION = re.compile(
    r"arn:[^:]+:rekognition:(?P<region>[^:]+):(?P<account>\d+)"
    r":project/(?P<project>[^/]+)/version/(?P<name>[^/]+)/\d+"
)
_FEATURES = ["CONTENT_MODERATION"]  # without it, projects of adapters are invisible
_ITS_OWN = "an adapter answers in the account and the region alone in which it was trained"


class AdapterUnusableError(NeedsAPersonError):
    """The adapter is missing, or is not in a state in which it answers; nothing was started."""


def check_adapter(rekognition: Any, arn: str) -> str:
    """Look up the status of an adapter version and return it.

    :param rekognition: a boto3 client.
    :raises AdapterUnusableError: there is no such adapter, it is of another account or region, or its status
        is none of :data:`USABLE`.
    :raises ClientError: AWS refuses the look-up for another reason.
    """
    found = describe(rekognition, arn)
    status = None if found is None else str(found["Status"])
    if status is None:
        raise AdapterUnusableError(
            f"there is no adapter {arn} in this account and region{whose(rekognition, arn)}; take the ARN "
            "of a version from the Rekognition console (Custom moderation) or leave the adapter out"
        )
    if status == "TRAINING_IN_PROGRESS":
        raise AdapterUnusableError(
            f"the adapter {arn} is TRAINING_IN_PROGRESS: run again when its training has ended, or leave the "
            "adapter out"
        )
    if status not in USABLE:
        raise AdapterUnusableError(
            f"the adapter {arn} is {status}: Rekognition would answer with the base model, or not at all. "
            "Train a new version and name it, or leave the adapter out"
        )
    if status == "DEPRECATED":
        _log.warning("the adapter %s is DEPRECATED and expires within 90 days: train a new version", arn)
    return status


def describe(rekognition: Any, arn: str) -> dict[str, Any] | None:
    """The version's entry of DescribeProjectVersions, None when there is no such version.

    A version's ARN does not hold its project's: that one ends with the project's own time of creation.

    :raises AdapterUnusableError: it is no ARN of a version, is of another region than the client's, or who
        asks may not look it up.
    """
    match = _VERSION.fullmatch(arn)
    if match is None:
        raise AdapterUnusableError(f"{arn!r} is not the ARN of an adapter version")
    if (here := rekognition.meta.region_name) != match["region"]:
        raise AdapterUnusableError(
            f"the adapter {arn} is of the region {match['region']}, and Rekognition is asked in {here}: "
            f"{_ITS_OWN}. Ask there (AWS_DEFAULT_REGION, or the region of the Airflow connection), train one "
            "here, or leave the adapter out"
        )
    try:
        projects = rekognition.describe_projects(ProjectNames=[match["project"]], Features=_FEATURES)
        for found in projects["ProjectDescriptions"]:
            versions = rekognition.describe_project_versions(
                ProjectArn=found["ProjectArn"], VersionNames=[match["name"]]
            )
            for entry in versions["ProjectVersionDescriptions"]:
                if entry["ProjectVersionArn"] == arn:
                    return dict(entry)
    except ClientError as error:
        code = error.response["Error"].get("Code")
        if code == "AccessDeniedException":
            raise AdapterUnusableError(
                f"the state of the adapter {arn} may not be looked up: grant rekognition:DescribeProjects "
                f"and rekognition:DescribeProjectVersions ({error})"
            ) from error
        if code != "ResourceNotFoundException":
            raise
    return None


def whose(rekognition: Any, arn: str) -> str:
    """Words about the account of an adapter that was not found, as far as the account asked tells its own."""
    match = _VERSION.fullmatch(arn)
    theirs = match["account"] if match else ""
    try:
        found = rekognition.describe_projects(Features=_FEATURES)["ProjectDescriptions"]
    except ClientError as error:
        _log.info("which account is asked is not known: %s", error)
        found = []
    ours = next((str(one["ProjectArn"]).split(":")[4] for one in found), None)
    if ours == theirs:
        return ""
    return (
        f": by its ARN it is of the account {theirs}"
        + (f", and {ours} is asked" if ours else "")
        + f", and {_ITS_OWN}"
    )
